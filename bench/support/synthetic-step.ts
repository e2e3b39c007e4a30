import * as tf from '@tensorflow/tfjs-core';

import { loadDistillConfig } from '../../src/core/config/load.js';
import type { DistillConfig } from '../../src/core/config/schema.js';
import { shippedConfigsFolder } from '../../src/core/config/shipped.js';
import type { TokenBatch } from '../../src/core/corpus/batches.js';
import type { Random } from '../../src/core/corpus/random.js';
import { createRandom } from '../../src/core/corpus/random.js';
import { cachedSource } from '../../src/core/distill/teacher-source.js';
import { createDistillation, distillationBatches } from '../../src/core/pipeline/distillation.js';
import { WINDOWS_AT_ONCE } from '../../src/core/ops/batch-tensors.js';
import type { RunTeacher } from '../../src/core/pipeline/run-teacher.js';
import { liveRunTeacher } from '../../src/core/pipeline/run-teacher.js';
import type { OptConfig } from '../../src/core/teacher/config.js';
import { initTeacher } from '../../src/core/teacher/init.js';
import type { Teacher } from '../../src/core/teacher/parameters.js';
import { initAdam } from '../../src/core/train/optimizer.js';
import { mixedRunner, soloRunner } from '../../src/core/train/passes.js';
import type { StepReport } from '../../src/core/train/step.js';
import { trainStep } from '../../src/core/train/step.js';
import { silentReporter } from '../../src/core/types.js';
import type { EngineShape } from './engine-shapes.js';

/** The shipped recipe that has each preset. */
const RECIPES = { paper: 'paper.yaml', practical: 'stories.yaml' } as const;
export type Preset = keyof typeof RECIPES;
export const isPreset = (name: string): name is Preset => name in RECIPES;

/** What is distilled, beside the shape of teacher and student. */
export interface StepSetting {
  readonly preset: Preset;
  /** T */ readonly timeSteps: number;
  /** L */ readonly context: number;
  readonly recompute: string;
  readonly precision: string;
  /** Further keys of the configuration. */ readonly overrides: readonly string[];
  /** `zero`: for a device whose values mean nothing. `random`: at once. `calibrated`: as a run starts, which takes 10 s at 125M before the first step. */ readonly weights: 'zero' | 'random' | 'calibrated';
}

/** Distillation steps at any batch size, with one teacher and student. */
export interface SyntheticStep {
  readonly config: DistillConfig;
  readonly teacher: OptConfig;
  /** Trained numbers. */ readonly parameters: number;
  /** A whole step of `train.accumulate` batches: both forward passes, losses, backward pass, clipping, AdamW; done when it returns. */ step(batch: number): Promise<StepReport>;
  /** Validation of as many windows as one pass takes. */ validate(): Promise<number>;
  dispose(): void;
}

/** Random normals, over and over: making 125 million of them one by one takes longer than the steps do. */
function repeatedNormals(random: Random): Pick<Random, 'normal'> {
  const pool = Float32Array.from({ length: 1_000_003 }, () => random.normal());
  let next = 0;
  return { normal: () => pool[next++ % pool.length] as number };
}

/** Normal matrices whose currents reach the threshold now and then, gains that lift embeddings to it, biases of 0: sites fire, at rates nobody chose. */
function fillParameters(parameters: ReadonlyMap<string, tf.Tensor>, { normal }: Pick<Random, 'normal'>): void {
  for (const [name, variable] of parameters) {
    const [inputs = 1] = variable.shape;
    const isMatrix = variable.shape.length === 2 && name.endsWith('weight');
    const std = name.startsWith('embed') ? 0.02 : 2 / Math.sqrt(inputs);
    const constant = name.endsWith('entry.gain') ? 50 : name.endsWith('gain') || name.endsWith('norm.weight') ? 1 : 0;
    const values = new Float32Array(variable.size).fill(constant);
    if (isMatrix) for (let i = 0; i < values.length; i++) values[i] = std * normal();
    const filled = tf.tensor(values, variable.shape, 'float32');
    (variable as tf.Variable).assign(filled);
    filled.dispose();
  }
}

/** A teacher of which nothing runs but its embedding. */
function cachedTeacher(config: DistillConfig, teacher: Teacher): Pick<RunTeacher, 'config' | 'source' | 'lend'> {
  return { config: teacher.config, lend: (work) => work(teacher), source: cachedSource(config.distill.weights.embedding > 0 ? teacher : null) };
}

/** A batch with what a cache would hold of it, where the run has one: N equal shares of the first tokens. */
function withSample(batch: TokenBatch, { train: { context }, teacherCache: { enabled, samples } }: DistillConfig): TokenBatch {
  if (!enabled) return batch;
  const rows = batch.starts.length * context;
  return { ...batch, sampled: { samples, ids: Int32Array.from({ length: rows * samples }, (_, i) => i % samples), weights: new Float32Array(rows * samples).fill(1 / samples), entropy: new Float32Array(rows) } };
}

/** A random teacher and a student of the same widths by a shipped recipe, on the active backend; random tokens. */
export async function openSyntheticStep(shape: EngineShape, setting: StepSetting): Promise<SyntheticStep> {
  const { preset, timeSteps, context, recompute, precision, overrides, weights } = setting;
  const config = await loadDistillConfig({
    file: `${shippedConfigsFolder()}/distill/${RECIPES[preset]}`,
    overrides: [
      `student.timeSteps=${timeSteps}`, 'student.init=random', `train.context=${context}`, `train.recompute=${recompute}`, `train.precision=${precision}`,
      'train.accumulate=1', 'calibration.sequences=1', ...overrides,
    ],
  });
  const random = createRandom(config.seed);
  const normals = weights === 'zero' ? { normal: () => 0 } : repeatedNormals(random);
  const teacher = initTeacher({ ...shape, bosId: null, eosId: null, padId: null }, normals);
  const tokens = Int32Array.from({ length: 64 * (context + 1) }, () => random.integer(shape.vocabSize));
  const task = await createDistillation({
    config, teacher: config.teacherCache.enabled ? cachedTeacher(config, teacher) : liveRunTeacher(teacher, []), trainTokens: tokens, exportStudent: () => Promise.resolve(), ctx: { reporter: silentReporter, signal: new AbortController().signal },
  }, weights !== 'calibrated');
  if (weights === 'random') fillParameters(task.parameters, normals);
  const { beta1, beta2, epsilon, weightDecay, clipNorm, learningRate } = config.train;
  const options = { adam: { beta1, beta2, epsilon, weightDecay }, learningRate: learningRate / 10, clipNorm, hasTermNorms: false, runner: config.train.precision === 'mixed' ? mixedRunner : soloRunner };
  const first = [...task.parameters.values()][0] as tf.Tensor;
  let state = initAdam(task.parameters);
  const step = async (batch: number): Promise<StepReport> => {
    const batches = distillationBatches(tokens, { ...config, train: { ...config.train, batch } });
    const next = await trainStep(task, { batches: Array.from({ length: config.train.accumulate }, () => withSample(batches.next(), config)), state }, options);
    ({ state } = next);
    await tf.tidy(() => tf.slice(tf.reshape(first, [-1]), 0, 1)).data(); // the update is only recorded when a step returns
    return next.report;
  };
  const parameters = [...task.parameters.values()].reduce((sum, { size }) => sum + size, 0);
  return {
    config, teacher: teacher.config, parameters, step,
    validate: () => task.validNll(Array.from({ length: WINDOWS_AT_ONCE }, (_, i) => tokens.subarray(i * (context + 1), (i + 1) * (context + 1)))),
    dispose: () => {
      task.dispose();
      tf.dispose([...teacher.parameters.values(), ...state.mean.values(), ...state.square.values()]);
    },
  };
}
