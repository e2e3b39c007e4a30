import * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import type { GradientNorms } from './gradient-norm.js';
import { clipScale, readNorms } from './gradient-norm.js';
import { addGradients } from './gradient-sum.js';
import type { AdamSettings, AdamState } from './optimizer.js';
import { adamUpdate } from './optimizer.js';
import type { Pass, PassRunner } from './passes.js';
import { tensorsOf } from './passes.js';
import type { LossTerms, RateSite, TrainingTask } from './task.js';
import { termNorms } from './term-norms.js';

/** Mean firing rate of one site over the batches of a step. */
export interface SiteRateValue extends RateSite {
  /** 0–1 */ readonly rate: number;
}

/** One update and how to make it. */
export interface StepOptions {
  readonly adam: AdamSettings;
  readonly learningRate: number;
  readonly clipNorm: number;
  /** Also measure the gradient norm of each single term: one more pass per term. */ readonly hasTermNorms: boolean;
  /** Who runs the micro-batches. */ readonly runner: PassRunner;
}

/** What a step found, all means over its micro-batches. */
export interface StepReport {
  readonly loss: number;
  /** Weighted; they sum to `loss`. */ readonly terms: Readonly<Record<string, number>>;
  readonly rates: readonly SiteRateValue[];
  /** Before clipping. */ readonly gradNorm: number;
  /** Empty unless asked for. */ readonly gradNorms: Readonly<Record<string, number>>;
  /** True when something was not finite: weights and moments are as before. */ readonly isSkipped: boolean;
  /** Names of the terms and tensors that are not finite. */ readonly nonFinite: { readonly terms: readonly string[]; readonly tensors: readonly string[] };
}

/** Gradients summed over micro-batches and what each pass said. */
interface Passes {
  readonly gradients: Map<string, tf.Tensor>;
  readonly losses: LossTerms[];
}

/**
 * One optimiser step: gradients averaged over the micro-batches, clipped to `clipNorm`, applied by AdamW, parameters kept at or above the
 * task's lower bounds. A loss or gradient that is not finite changes nothing.
 * @param batches at least one. @returns the report and the next state, which has the moments of the one given; that one is used up.
 */
export async function trainStep(
  task: TrainingTask, training: { readonly batches: readonly TokenBatch[]; readonly state: AdamState }, options: StepOptions,
): Promise<{ report: StepReport; state: AdamState }> {
  const { batches, state } = training;
  const passes: Passes = { gradients: new Map(), losses: [] };
  try {
    await options.runner.run(task, batches, (pass) => addPass(pass, passes));
    const { norms, values } = await readNorms(passes.gradients, passes.losses.flatMap(tensorsOf));
    const measured = describe(passes.losses, values, scaleNorms(norms, 1 / batches.length));
    const gradNorms = options.hasTermNorms ? await termNorms(task, batches[0] as TokenBatch, Object.keys(measured.terms)) : {};
    const report = { ...measured, gradNorms };
    if (report.isSkipped) return { report, state };
    const gradientScale = clipScale(report.gradNorm, options.clipNorm) / batches.length;
    const step = { ...options.adam, learningRate: options.learningRate, gradientScale };
    return { report, state: adamUpdate(task, { gradients: passes.gradients, state }, step) };
  } finally {
    tf.dispose([...passes.gradients.values(), ...passes.losses.flatMap(tensorsOf)]);
  }
}

/** Adds the gradients of one micro-batch to the sum. */
function addPass({ gradients, losses }: Pass, passes: Passes): void {
  passes.losses.push(losses);
  addGradients(passes.gradients, gradients);
}

function scaleNorms(norms: GradientNorms, factor: number): GradientNorms {
  return { total: norms.total * factor, byTensor: new Map(Array.from(norms.byTensor, ([name, norm]) => [name, norm * factor])) };
}

/** Names the numbers read back and averages them over the micro-batches. */
function describe(passes: readonly LossTerms[], values: readonly number[], norms: GradientNorms): Omit<StepReport, 'gradNorms'> {
  const first = passes[0] as LossTerms;
  const perPass = values.length / passes.length;
  const means = Array.from({ length: perPass }, (_, i) => passes.reduce((sum, _pass, pass) => sum + (values[pass * perPass + i] as number), 0) / passes.length);
  const names = Object.keys(first.terms);
  const terms = Object.fromEntries(names.map((name, i) => [name, means[1 + i] as number]));
  const rates = (first.rates?.sites ?? []).map(({ layer, site }, i) => ({ layer, site, rate: means[1 + names.length + i] as number }));
  const loss = means[0] as number;
  return {
    loss, terms, rates, gradNorm: norms.total,
    isSkipped: !Number.isFinite(loss) || !Number.isFinite(norms.total),
    nonFinite: {
      terms: names.filter((name) => !Number.isFinite(terms[name])),
      tensors: [...norms.byTensor].filter(([, norm]) => !Number.isFinite(norm)).map(([name]) => name),
    },
  };
}
