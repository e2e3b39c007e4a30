import { readFileSync } from 'node:fs';

import * as tf from '@tensorflow/tfjs-core';

import type { DistillSettings } from '../../src/core/config/schema.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import type { OptConfig } from '../../src/core/teacher/config.js';
import { uploadTeacher } from '../../src/core/teacher/parameters.js';
import type { Teacher } from '../../src/core/teacher/parameters.js';

/** Numbers of the independent implementation; see test/fixtures/student-reference/README.md. */
export interface ReferenceTensor { readonly shape: number[]; readonly values: number[] }

export interface ReferenceCase {
  readonly name: string;
  readonly config: Omit<StudentConfig, 'bosId' | 'eosId' | 'padId'>;
  readonly losses: { weights: Record<'ea' | 'saa' | 'sfa' | 'sta' | 'hta' | 'rateLoss', number>; gamma: number; temperature: number; rateTarget: number };
  readonly batch: ReferenceTensor;
  readonly teacherWeights: Record<string, ReferenceTensor>;
  readonly studentWeights: Record<string, ReferenceTensor>;
  readonly teacher: { logits: number[]; hidden: number[][]; attention: number[][] };
  readonly student: { logits: number[]; embedding: number[]; features: number[][]; attention: number[][]; rates: { layer: number; site: string; rate: number }[] };
  readonly terms: Record<string, number>;
  readonly total: number;
  readonly gradients: Record<string, number[]>;
}

/** All cases of `practical.json` or `paper.json`. */
export function referenceCases(preset: 'practical' | 'paper'): ReferenceCase[] {
  const url = new URL(`../fixtures/student-reference/${preset}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { cases: ReferenceCase[] }).cases;
}

export function studentConfigOfCase(reference: ReferenceCase): StudentConfig {
  return { ...reference.config, bosId: null, eosId: null, padId: null };
}

/** The case's student parameters on the active backend, in our own order. */
export function studentParametersOfCase(reference: ReferenceCase, names: Iterable<string>): Map<string, tf.Tensor> {
  return new Map(Array.from(names, (name) => {
    const { shape, values } = reference.studentWeights[name] ?? { shape: [0], values: [] };
    return [name, tf.tensor(values, shape)];
  }));
}

export function teacherOfCase(reference: ReferenceCase): Teacher {
  const { config } = reference;
  const teacherConfig: OptConfig = {
    family: 'opt', vocabSize: config.vocabSize, hiddenSize: config.hiddenSize, layers: config.layers, heads: config.heads,
    feedForwardSize: config.feedForwardSize, contextLength: config.contextLength, embeddingSize: config.hiddenSize,
    normPlacement: 'pre', hasFinalNorm: true, activation: 'relu', hasBias: true, hasNormAffine: true, tiedHead: true,
    layerNormEps: config.layerNormEps, bosId: null, eosId: null, padId: null,
  };
  const tensors = new Map(Object.entries(reference.teacherWeights).map(([name, { shape, values }]) => [name, { shape, values: Float32Array.from(values) }]));
  return uploadTeacher({ config: teacherConfig, tensors, sha256: '' });
}

export function distillSettingsOfCase({ losses }: ReferenceCase): DistillSettings {
  const { weights } = losses;
  return {
    weights: { embedding: weights.ea, attention: weights.saa, feature: weights.sfa, softTarget: weights.sta, hardTarget: weights.hta },
    temperature: losses.temperature, gamma: losses.gamma, attentionForm: 'raw', featureForm: 'normalised',
    rateHinge: { weight: weights.rateLoss, target: losses.rateTarget }, layerMap: null, headMap: null,
  };
}
