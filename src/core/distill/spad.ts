import type * as tf from '@tensorflow/tfjs-core';

import type { DistillSettings } from '../config/schema.js';
import type { StudentConfig } from '../student/config.js';
import type { OptConfig } from '../teacher/config.js';
import { attentionLoss } from './attention-loss.js';
import { embeddingLoss } from './embedding-loss.js';
import { featureLoss } from './feature-loss.js';
import { logitLosses } from './logit-losses.js';
import { alignmentMap } from './maps.js';
import type { Projections } from './projections.js';
import { rateHinge } from './rate-hinge.js';
import type { LossElement } from './total-loss.js';

/** What the loss terms of a run depend on. */
export interface SpadContext {
  readonly settings: DistillSettings;
  readonly student: StudentConfig;
  readonly teacher: OptConfig;
  readonly projections: Projections;
}

/**
 * The terms of SpAD (paper, sec. "Spike-aware alignment distillation", Table 3) and the rate hinge, as configured. This list is
 * the one place that knows which terms there are; adding one takes a function that returns a `LossTerm` and a line here.
 * @throws ConfigError when a layer or head map does not fit.
 */
export function spadTerms(context: SpadContext, parameters: ReadonlyMap<string, tf.Tensor>): LossElement[] {
  const { settings, student, teacher, projections } = context;
  const { weights, gamma } = settings;
  const { neuron } = student;
  const layerMap = alignmentMap('distill.layerMap', settings.layerMap, { student: student.layers, teacher: teacher.layers });
  const headMap = alignmentMap('distill.headMap', settings.headMap, { student: student.heads, teacher: teacher.heads });
  return [
    embeddingLoss(weights.embedding, projections.embedding(parameters)),
    attentionLoss(weights.attention, { gamma, form: settings.attentionForm, layerMap, headMap }),
    featureLoss(weights.feature, {
      neuron, gamma, form: settings.featureForm, layerMap, project: projections.feature(parameters), matrices: projections.featureMatrices(parameters),
    }),
    logitLosses(weights, settings.temperature),
    rateHinge(settings.rateHinge.weight, settings.rateHinge.target, student.layers),
  ];
}
