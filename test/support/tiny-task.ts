import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import type { TrainSettings } from '../../src/core/config/schema.js';
import { trainSchema } from '../../src/core/config/train-settings.js';
import type { TokenBatch } from '../../src/core/corpus/batches.js';
import { createBatches, windowsOf } from '../../src/core/corpus/batches.js';
import { createRandom } from '../../src/core/corpus/random.js';
import { writeSafetensors } from '../../src/core/hub/safetensors.js';
import type { TrainOptions } from '../../src/core/train/options.js';
import { soloRunner } from '../../src/core/train/passes.js';
import { storeParameters } from '../../src/core/train/stored-tensors.js';
import type { LossTerms, TrainingTask } from '../../src/core/train/task.js';

const VOCABULARY = 7;
const WIDTH = 5;
const CONTEXT = 6;

/** Tokens of a noisy cycle: after n mostly comes n + 1, so that a bigram model has something to learn. */
export function tinyTokens(count: number, seed: number): Int32Array {
  const random = createRandom(seed);
  let token = 0;
  return Int32Array.from({ length: count }, () => (token = (token + (random.next() < 0.9 ? 1 : 1 + random.integer(VOCABULARY))) % VOCABULARY));
}

/** What a test changes about the tiny task. */
export interface TinyTaskChanges {
  /** Replaces what a forward pass reports, e.g. by a NaN. */ readonly spoil?: (losses: LossTerms, pass: number) => LossTerms;
}

/** A real two-layer bigram model as a training task: logits = relu(E[token])·W + b; its hidden units count as one firing site. */
export function createTinyTask(changes: TinyTaskChanges = {}): TrainingTask {
  const random = createRandom(11);
  const normal = (...shape: number[]): tf.Variable =>
    tf.variable(tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 0.3 * random.normal()), shape));
  const parameters = new Map([['embed', normal(VOCABULARY, WIDTH)], ['out.weight', normal(WIDTH, VOCABULARY)], ['out.bias', normal(VOCABULARY)]]);
  let pass = 0;
  const rowLosses = (batch: Int32Array): { nll: tf.Tensor; hidden: tf.Tensor } => {
    const rows = tf.tensor2d(batch, [batch.length / (CONTEXT + 1), CONTEXT + 1], 'int32');
    const oneHot = (ids: tf.Tensor): tf.Tensor2D => tf.cast(tf.oneHot(tf.reshape<tf.Rank.R1>(ids, [-1]), VOCABULARY), 'float32') as tf.Tensor2D;
    const inputs = oneHot(tf.slice(rows, [0, 0], [-1, CONTEXT]));
    const labels = oneHot(tf.slice(rows, [0, 1], [-1, CONTEXT]));
    const hidden = tf.relu(tf.matMul(inputs, parameters.get('embed') as tf.Variable<tf.Rank.R2>));
    const logits = tf.add(tf.matMul(hidden, parameters.get('out.weight') as tf.Variable<tf.Rank.R2>), parameters.get('out.bias') as tf.Tensor);
    return { nll: tf.neg(tf.sum(tf.mul(labels, tf.logSoftmax(logits)), -1)), hidden };
  };
  const losses = (batch: TokenBatch): LossTerms => {
    const { nll, hidden } = rowLosses(batch.tokens);
    const [hta, sta] = [tf.mul(tf.mean(nll), 0.75), tf.mul(tf.mean(nll), 0.25)] as [tf.Scalar, tf.Scalar];
    const active = tf.mean(tf.cast(tf.greater(hidden, 0), 'float32'));
    const own: LossTerms = { total: tf.add(hta, sta), terms: { hta, sta }, rates: { sites: [{ layer: 0, site: 'hidden' }], values: tf.reshape<tf.Rank.R1>(active, [1]) } };
    return changes.spoil?.(own, ++pass) ?? own;
  };
  return {
    parameters,
    lowerBounds: new Map(),
    losses,
    termLoss: (batch, name) => losses(batch).terms[name] as tf.Scalar,
    validNll: async (windows) => {
      const nll = tf.tidy(() => tf.mean(rowLosses(Int32Array.from(windows.flatMap((window) => [...window]))).nll));
      const [value] = await nll.data();
      nll.dispose();
      return value as number;
    },
    exportModel: async (folder) => { await writeSafetensors(join(folder, 'model.safetensors'), await storeParameters({ parameters })); },
    dispose: () => tf.dispose([...parameters.values()]),
  };
}

/** Ten quick steps that validate and write a checkpoint every five. */
export function tinySettings(changes: Partial<TrainSettings> = {}): TrainSettings {
  return {
    ...trainSchema(0.05).parse({}), steps: 10, batch: 3, context: CONTEXT, warmupSteps: 2, validateEvery: 5, checkpointEvery: 5, logEvery: 1, ...changes,
  };
}

/** Options of a run of the tiny task in a folder. */
export function tinyOptions(runFolder: string, changes: Partial<TrainOptions> = {}): TrainOptions {
  const settings = changes.settings ?? tinySettings();
  return {
    runFolder, modelFolder: join(runFolder, 'student'), settings,
    batches: createBatches(tinyTokens(400, 1), { batch: settings.batch, context: settings.context, seed: 3 }),
    validWindows: windowsOf(tinyTokens(61, 2), CONTEXT), unigramNll: Math.log(VOCABULARY), identity: { seed: 3, train: { ...settings } },
    isResumed: false, resumeCommand: `bispik distill --resume ${runFolder}`, phase: 'distil', profiler: null, runner: soloRunner, ...changes,
  };
}
