import * as tf from '@tensorflow/tfjs-core';

import type { DistillConfig } from '../config/schema.js';
import { hasKernel } from '../ops/kernels.js';
import { fitTiles } from '../ops/tiled-attention.js';
import { START_NUMBERS } from '../student/groups.js';
import { parameterShapes } from '../student/parameters.js';
import type { OptConfig } from '../teacher/config.js';
import { EMBEDDING_PARAMETERS } from '../teacher/forward.js';
import { expectedOptTensors, OPT_PREFIX } from '../teacher/opt.js';
import type { StepSizes } from './memory-estimate.js';
import { projectionShapes } from './projections.js';
import type { StartSizes } from './start-memory.js';
import { studentConfigOf } from './student-config.js';

/** Numbers in a tensor of a shape. */
export const numbersIn = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
export const sumOf = (sizes: Iterable<number>): number => Array.from(sizes).reduce((sum, each) => sum + each, 0);

/** What the backend has kernels for, and how it keeps memory. */
export type BackendMemory = Pick<StepSizes, 'streamsAttention' | 'hasHeadKernel' | 'hasSampleKernel' | 'packsSpikes' | 'updatesInPlace' | 'poolsBuffers'>;

/** Of the active backend. */
export function backendMemory(): BackendMemory {
  return {
    streamsAttention: hasKernel('BispikAlignedAttention'), hasHeadKernel: hasKernel('BispikHeadLosses'), packsSpikes: hasKernel('BispikPackSpikes'),
    hasSampleKernel: hasKernel('BispikSampleRows'), updatesInPlace: hasKernel('BispikAdamInPlace'), poolsBuffers: tf.getBackend() === 'webgpu',
  };
}

/** Sizes of the steps of a run, from its configuration and its teacher's. */
export function stepSizes(config: DistillConfig, teacher: OptConfig, backend: BackendMemory): StepSizes {
  const student = studentConfigOf(config, teacher);
  const { batch, context, accumulate } = config.train;
  const { weights, attentionForm, featureForm } = config.distill;
  const isCached = config.teacherCache.enabled;
  const projections = projectionShapes({ student: student.hiddenSize, teacher: teacher.hiddenSize }, featureForm);
  const trained = [...parameterShapes(student).values(), ...projections.values()].map(numbersIn);
  // With a cache the teacher is not there but for what the loss on embeddings reads, and nothing is compared inside the blocks.
  const tensors = [...expectedOptTensors(teacher)];
  const held = tensors.filter(({ name }) => !isCached || (weights.embedding > 0 && EMBEDDING_PARAMETERS.has(name.slice(OPT_PREFIX.length))));
  return {
    trains: 'student', student, teacher, batch, context, accumulate, recompute: config.train.recompute === 'blocks' ? 'blocks' : 'none', ...backend,
    streamsAttention: backend.streamsAttention && fitTiles({ headWidth: student.hiddenSize / student.heads, timeSteps: student.neuron.timeSteps }),
    trained: sumOf(trained), distinct: sumOf(new Set(trained)), frozen: sumOf(held.map(({ shape }) => numbersIn(shape))), whole: sumOf(tensors.map(({ shape }) => numbersIn(shape))), sampled: isCached ? config.teacherCache.samples : null,
    attentionLoss: isCached || weights.attention === 0 ? null : attentionForm,
    hasFeatureLoss: !isCached && weights.feature !== 0, hasProjectedFeatures: featureForm === 'projected', start: startSizes(config, teacher),
  };
}

/** Of the start of a new student; null where its weights come from an earlier one, or are random without looking at any windows. */
function startSizes({ student: { from, init, embeddings, learnedNeurons }, calibration: { sequences } }: DistillConfig, teacher: OptConfig): StartSizes | null {
  if (from !== null || !learnedNeurons) return null;
  const isShared = embeddings === 'teacher' && teacher.embeddingSize === teacher.hiddenSize;
  return { sequences, looksAtTeacher: init !== 'random', isFitted: init === 'ridge', shared: isShared ? teacher.vocabSize * teacher.hiddenSize : 0, atOnce: START_NUMBERS };
}
