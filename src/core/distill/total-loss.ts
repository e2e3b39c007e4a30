import * as tf from '@tensorflow/tfjs-core';

import type { TeacherAttention } from '../ops/attention-alignment.js';
import { scale } from '../ops/reduce.js';
import type { StudentTrace } from '../student/forward.js';
import type { SiteRateTensor } from '../student/observe.js';
import type { TeacherTrace } from '../teacher/forward.js';
import type { AttentionAlignment } from './attention-loss.js';

/** What a student is aligned with. */
export type TeacherTargets = Omit<TeacherTrace<TeacherAttention>, 'layers'>;

/** What every loss term can see. */
export interface LossInputs {
  readonly student: StudentTrace;
  /** A constant: no gradient reaches it. */ readonly teacher: TeacherTargets;
  /** (B·L) int32 next tokens; −1 is ignored. */ readonly labels: tf.Tensor1D;
  readonly rates: readonly SiteRateTensor[];
}

/** One term of SpAD. A new term is one more element of the list handed to `totalLoss`. */
export interface LossTerm {
  /** Key in metrics.jsonl. */ readonly name: string;
  readonly weight: number;
  /** Of the term that compares attention: how. The forward pass computes that loss layer by layer, so that no map outlives its layer. */ readonly attention?: AttentionAlignment;
  readonly compute: (inputs: LossInputs) => tf.Scalar;
}

/**
 * Spike-aware alignment distillation: L = Σ weight·term (paper, Table 3: 0.2 EA + 0.1 SAA + 0.1 SFA + 0.3 STA + 0.3 HTA).
 * @returns the weighted terms by name and their sum; terms of weight 0 are not computed.
 */
export function totalLoss(terms: readonly LossTerm[], inputs: LossInputs): { total: tf.Scalar; terms: Record<string, tf.Scalar> } {
  const weighted: Record<string, tf.Scalar> = {};
  for (const term of terms) {
    if (term.weight === 0) continue;
    if (weighted[term.name] !== undefined) throw new Error(`two loss terms are called ${term.name}`);
    weighted[term.name] = scale(term.compute(inputs), term.weight);
  }
  const parts = Object.values(weighted);
  return { total: parts.length === 0 ? tf.scalar(0) : tf.addN(parts), terms: weighted };
}
