import * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import { batchTensors, meanNll } from '../ops/batch-tensors.js';
import { headLosses } from '../ops/head-losses.js';
import { HEAD_CHUNK_BYTES, readoutNll } from '../ops/readout.js';
import { runOnce, runRecomputed, runTidied } from '../ops/recompute.js';
import type { TrainingTask } from '../train/task.js';
import { teacherReadout } from './forward.js';
import type { Teacher } from './parameters.js';

/** What a teacher's training is made of. */
export interface TeacherTaskOptions {
  /** Initial weights; copied into variables. */ readonly teacher: Teacher;
  /** L */ readonly context: number;
  /** Keep only the streams between layers for the backward pass, which runs every layer again: less memory, the same gradients. */
  readonly recompute: boolean;
  /** Writes the teacher folder. */ readonly exportTeacher: (teacher: Teacher, folder: string) => Promise<void>;
}

/** Next-token training of a dense model, as a task for the trainer; its one loss term is `hta`. The caller disposes it. */
export function createTeacherTask(options: TeacherTaskOptions): TrainingTask {
  const parameters = new Map(Array.from(options.teacher.parameters, ([name, tensor]) => [name, tf.variable(tensor)] as const));
  const teacher: Teacher = { config: options.teacher.config, parameters };
  const loss = (batch: TokenBatch): tf.Scalar => {
    const { ids, labels, labelled } = batchTensors(batch.tokens, options.context);
    return headLosses(teacherReadout(teacher, ids, options.recompute ? runRecomputed : runTidied), { labels, labelled, teacher: null }, {
      softWeight: 0, hardWeight: 1, temperature: 1, chunkBytes: HEAD_CHUNK_BYTES,
    }).total;
  };
  return {
    parameters,
    lowerBounds: new Map(),
    losses: (batch) => {
      const total = loss(batch);
      return { total, terms: { hta: total }, rates: null };
    },
    termLoss: loss,
    validNll: (windows) => teacherNll(teacher, windows),
    exportModel: (folder) => options.exportTeacher(teacher, folder),
    dispose: () => tf.dispose([...parameters.values()]),
  };
}

/** Mean next-token loss of a teacher over windows of L + 1 tokens, nats per token. */
export function teacherNll(teacher: Teacher, windows: readonly Int32Array[]): Promise<number> {
  return meanNll(windows, ({ ids, labels }) => readoutNll(teacherReadout(teacher, ids, runOnce), labels, HEAD_CHUNK_BYTES));
}
