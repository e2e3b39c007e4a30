import * as tf from '@tensorflow/tfjs-core';

import type { AlignmentForm, AlignmentTarget, TeacherAttention } from '../ops/attention-alignment.js';
import { scale } from '../ops/reduce.js';
import type { LossTerm } from './total-loss.js';

/** How attention maps are compared. */
export interface AttentionAlignment {
  /** Share of the rate term. */ readonly gamma: number;
  readonly form: AlignmentForm;
  /** Teacher layer of each student layer. */ readonly layerMap: readonly number[];
  /** Teacher head of each student head. */ readonly headMap: readonly number[];
}

/** SAA: the attention losses of the student's layers (`alignedAttention`), which its forward pass computed, averaged. */
export function attentionLoss(weight: number, attention: AttentionAlignment): LossTerm {
  return { name: 'saa', weight, attention, needsFeatures: true, compute: ({ student }) => scale(tf.addN([...student.alignment]), 1 / student.alignment.length) };
}

/** What a student's layer is aligned with, given the attention of the teacher's layers. */
export function alignmentTargets(teacher: readonly TeacherAttention[], { gamma, form, layerMap, headMap }: AttentionAlignment): (layer: number) => AlignmentTarget {
  return (layer) => ({ teacher: at(teacher, at(layerMap, layer)), headMap, gamma, form });
}

function at<X>(list: readonly X[], index: number): X {
  const value = list[index];
  if (value === undefined) throw new Error(`index ${index} is outside a list of ${list.length}`);
  return value;
}
