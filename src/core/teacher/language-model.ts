import * as tf from '@tensorflow/tfjs-core';

import { readoutLogits } from '../ops/readout.js';
import { logitRows, tokenTensor } from '../ops/token-tensors.js';
import type { DecodingSession, LanguageModel, SequenceLogits, TokenIds } from '../types.js';
import { streamTeacher } from './forward.js';
import type { Teacher } from './parameters.js';

/** A dense teacher behind the interface of `eval` and `generate`; `dispose` frees its parameters. */
export function teacherLanguageModel(teacher: Teacher): LanguageModel {
  return {
    kind: 'teacher',
    shape: teacher.config,
    timeSteps: 1,
    backend: tf.getBackend(),
    precision: 'float32',
    threads: 1,
    work: null,
    forward: (sequences) => forward(teacher, sequences),
    openSession: () => openSession(teacher, []),
    dispose: () => tf.dispose([...teacher.parameters.values()]),
  };
}

async function forward(teacher: Teacher, sequences: readonly TokenIds[]): Promise<SequenceLogits[]> {
  const logits = tf.tidy(() => {
    const ids = tokenTensor(sequences, teacher.config, 0);
    return tf.reshape<tf.Rank.R3>(readoutLogits(streamTeacher(teacher, ids).readout), [...ids.shape, teacher.config.vocabSize]);
  });
  const rows = await logitRows(logits);
  logits.dispose();
  return rows.map((row) => ({ logits: row, counts: null }));
}

/** Decoding by running the whole sequence again: a teacher generates for comparison only, so it keeps no cache. */
function openSession(teacher: Teacher, past: readonly number[]): DecodingSession {
  const ids = [...past];
  return {
    get length() { return ids.length; },
    append: async (more) => {
      const next = [...ids, ...more];
      const [result] = await forward(teacher, [next]);
      ids.push(...more);
      const vocabulary = teacher.config.vocabSize;
      return { logits: (result as SequenceLogits).logits.slice((next.length - 1) * vocabulary), counts: null };
    },
    fork: () => openSession(teacher, ids),
    dispose: () => undefined,
  };
}
