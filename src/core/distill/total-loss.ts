import * as tf from '@tensorflow/tfjs-core';

import type { TeacherAttention } from '../ops/attention-alignment.js';
import type { Readout } from '../ops/readout.js';
import type { SegmentRunner } from '../ops/recompute.js';
import { scale } from '../ops/reduce.js';
import type { SampledTensors } from '../ops/sampled-target.js';
import type { StudentTrace } from '../student/forward.js';
import type { JoinedRates } from '../student/observe.js';
import type { TeacherTrace } from '../teacher/forward.js';
import type { AttentionAlignment } from './attention-loss.js';

/** What a student is aligned with: what the teacher computes, or what a cache holds of it, where `hidden` and `attention` are empty. */
export interface TeacherTargets extends Omit<TeacherTrace<TeacherAttention>, 'readout'> {
  /** What its logits are made of, or a sample of the distribution they give when they are softened by `distill.temperature`. */
  readonly readout: Readout | SampledTensors;
}

/** What every loss term can see. */
export interface LossInputs {
  readonly student: StudentTrace;
  /** A constant: no gradient reaches it. */ readonly teacher: TeacherTargets;
  /** (B·L) int32 next tokens; −1 is ignored. */ readonly labels: tf.Tensor1D;
  /** How many of them are not −1. */ readonly labelled: number;
  readonly rates: JoinedRates;
  /** How a term may run a part of it that saves much, and so what of it stays in memory. */ readonly run: SegmentRunner;
}

/** One term of SpAD. A new term is one more element of the list handed to `totalLoss`. */
export interface LossTerm {
  /** Key in metrics.jsonl. */ readonly name: string;
  readonly weight: number;
  /** Of the term that compares attention: how. The forward pass computes that loss layer by layer, so that no map outlives its layer. */ readonly attention?: AttentionAlignment;
  /** Reads the teacher's attention maps or residual streams, which a teacher cache does not hold. */ readonly needsFeatures?: true;
  readonly compute: (inputs: LossInputs) => tf.Scalar;
}

/** Terms that share their work: one pass gives the value of each and the gradient of their weighted sum. */
export interface JointTerms {
  readonly parts: readonly Pick<LossTerm, 'name' | 'weight'>[];
  /**
   * @param weights of the parts by name. @returns Σ weight·term, differentiable, and the weighted terms by name, whose gradients nobody
   * asks for; those of parts of weight 0 are of no account.
   */
  readonly compute: (inputs: LossInputs, weights: Readonly<Record<string, number>>) => { total: tf.Scalar; terms: Readonly<Record<string, tf.Scalar>> };
}

/** One element of the list of terms. */
export type LossElement = LossTerm | JointTerms;

/**
 * Spike-aware alignment distillation: L = Σ weight·term (paper, Table 3: 0.2 EA + 0.1 SAA + 0.1 SFA + 0.3 STA + 0.3 HTA).
 * @returns the sum, differentiable, and the values of the weighted terms by name; terms of weight 0 are not computed.
 */
export function totalLoss(list: readonly LossElement[], inputs: LossInputs): { total: tf.Scalar; terms: Record<string, tf.Scalar> } {
  const terms: Record<string, tf.Scalar> = {};
  const totals: tf.Scalar[] = [];
  for (const element of list) {
    const active = partsOf(element).filter(({ weight }) => weight !== 0);
    if (active.length === 0) continue;
    const { total, terms: own } = computeTerms(element, inputs);
    totals.push(total);
    for (const { name } of active) {
      if (terms[name] !== undefined) throw new Error(`two loss terms are called ${name}`);
      terms[name] = own[name] as tf.Scalar;
    }
  }
  return { total: totals.length === 0 ? tf.scalar(0) : tf.addN(totals), terms };
}

/** The same list with the weights of all terms but one set to 0. */
export function onlyTerm(list: readonly LossElement[], name: string): LossElement[] {
  const only = <P extends Pick<LossTerm, 'name' | 'weight'>>(part: P): P => (part.name === name ? part : { ...part, weight: 0 });
  return list.map((element) => ('parts' in element ? { ...element, parts: element.parts.map(only) } : only(element)));
}

/** How the list compares attention, if one of its terms of weight other than 0 does. */
export function comparedAttention(list: readonly LossElement[]): AttentionAlignment | undefined {
  return list.map((element) => ('parts' in element || element.weight === 0 ? undefined : element.attention)).find((attention) => attention !== undefined);
}

/** Names and weights of an element's terms. */
export function partsOf(element: LossElement): JointTerms['parts'] {
  return 'parts' in element ? element.parts : [element];
}

function computeTerms(element: LossElement, inputs: LossInputs): ReturnType<JointTerms['compute']> {
  if ('parts' in element) return element.compute(inputs, Object.fromEntries(element.parts.map(({ name, weight }) => [name, weight])));
  const total = scale(element.compute(inputs), element.weight);
  return { total, terms: { [element.name]: total } };
}
