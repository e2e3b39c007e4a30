import * as tf from '@tensorflow/tfjs-core';

import { attentionValues } from '../ops/attention-alignment.js';
import type { SpikeTensor } from '../ops/lif.js';
import { readoutLogits } from '../ops/readout.js';
import { meanOver } from '../ops/reduce.js';
import { logitRows, tokenTensor } from '../ops/token-tensors.js';
import type { DecodingSession, LanguageModel, OpCounts, SequenceLogits, StepLogits, TokenIds } from '../types.js';
import { layerAttention } from './attention.js';
import { block } from './block.js';
import type { Student } from './forward.js';
import { embed, readout, studentForward } from './forward.js';
import { spikeCounter } from './spike-counts.js';

/** A student on the training graph, behind the interface of `eval` and `generate`; `dispose` frees its parameters. */
export function studentLanguageModel(student: Student): LanguageModel {
  return {
    kind: 'student',
    shape: student.config,
    timeSteps: student.config.neuron.timeSteps,
    backend: tf.getBackend(),
    precision: 'float32',
    threads: 1,
    work: null,
    forward: (sequences) => forward(student, sequences),
    openSession: () => openSession(student, { length: 0, spikes: [] }),
    dispose: () => tf.dispose([...student.parameters.values()]),
  };
}

async function forward(student: Student, sequences: readonly TokenIds[]): Promise<SequenceLogits[]> {
  const counter = spikeCounter(student.config);
  const logits = tf.tidy(() => {
    const ids = tokenTensor(sequences, student.config, 0);
    const trace = studentForward(student, ids, { observe: counter.observe, alignTo: null });
    return tf.reshape<tf.Rank.R3>(readoutLogits(trace.readout), [...ids.shape, student.config.vocabSize]);
  });
  const counts = await counter.read({ batch: sequences.length, length: sequences[0]?.length ?? 0, offset: 0 });
  const rows = await logitRows(logits);
  logits.dispose();
  return rows.map((row, i) => ({ logits: row, counts: counts[i] as OpCounts }));
}

/** Query, key and value spikes of the tokens so far, per layer (T, length, 3D). No membrane crosses tokens. */
interface Cache {
  readonly length: number;
  readonly spikes: readonly tf.Tensor3D[];
}

/** Incremental decoding: only new tokens pass the linears; attention sees the cached spikes. */
function openSession(student: Student, start: Cache): DecodingSession {
  let cache = start;
  return {
    get length() { return cache.length; },
    append: async (ids) => {
      const counter = spikeCounter(student.config);
      const { logits, next } = advance(student, { cache, ids, observe: counter.observe });
      tf.dispose([...cache.spikes]);
      const [counts] = await counter.read({ batch: 1, length: ids.length, offset: cache.length });
      cache = next;
      const values = Float32Array.from(await logits.data());
      logits.dispose();
      return { logits: values, counts: counts as OpCounts } satisfies StepLogits;
    },
    fork: () => openSession(student, { length: cache.length, spikes: cache.spikes.map((tensor) => tf.clone(tensor)) }),
    dispose: () => {
      tf.dispose([...cache.spikes]);
      cache = { length: 0, spikes: [] };
    },
  };
}

interface Advance {
  readonly cache: Cache;
  readonly ids: TokenIds;
  readonly observe: ReturnType<typeof spikeCounter>['observe'];
}

/** Runs the new tokens; returns the last one's logits (V) and the longer cache, both owned by the caller. */
function advance(student: Student, { cache, ids, observe }: Advance): { logits: tf.Tensor1D; next: Cache } {
  const { config, parameters } = student;
  const kept: tf.Tensor3D[] = [];
  const attend = (layer: number, qkv: SpikeTensor<tf.Rank.R3>): tf.Tensor3D => {
    const past = cache.spikes[layer];
    const all = past === undefined ? tf.clone(qkv) : tf.concat([past, qkv], 1);
    kept.push(tf.keep(all));
    const [timeSteps, length, width] = all.shape;
    const { values, counts } = attentionValues(layerAttention(tf.reshape(all, [timeSteps, 1, length, width]), layer, student), config.neuron);
    observe({ layer, site: 'attention', spikes: tf.slice(counts, [0, 0, cache.length], [-1, -1, -1]), rates: null });
    return tf.slice(tf.reshape<tf.Rank.R3>(values, [timeSteps, length, width / 3]), [0, cache.length, 0], [-1, -1, -1]);
  };
  const logits = tf.tidy(() => {
    const tokens = tokenTensor([ids], config, cache.length);
    let stream = tf.reshape<tf.Rank.R3>(tf.mul(embed(student, tokens, cache.length), config.embeddingGain), [1, ids.length, config.hiddenSize]);
    for (let layer = 0; layer < config.layers; layer++) stream = block(stream, { parameters, config, layer, attend, observe });
    const last = tf.slice(stream, [0, ids.length - 1, 0], [-1, 1, -1]);
    return tf.reshape<tf.Rank.R1>(readoutLogits(readout(student, meanOver<tf.Rank.R2>(last, [0]))), [config.vocabSize]);
  });
  return { logits, next: { length: cache.length + ids.length, spikes: kept } };
}
