import * as tf from '@tensorflow/tfjs-core';

import { meanOfAll } from '../ops/reduce.js';
import type { BatchTensors } from '../ops/batch-tensors.js';
import { batchTensors, meanNll } from '../ops/batch-tensors.js';
import { crossEntropy } from '../ops/logit-losses.js';
import type { TrainingTask } from '../train/task.js';
import { teacherForward } from './forward.js';
import type { Teacher } from './parameters.js';

/** What a teacher's training is made of. */
export interface TeacherTaskOptions {
  /** Initial weights; copied into variables. */ readonly teacher: Teacher;
  /** L */ readonly context: number;
  /** Writes the teacher folder. */ readonly exportTeacher: (teacher: Teacher, folder: string) => Promise<void>;
}

/** Next-token training of a dense model, as a task for the trainer; its one loss term is `hta`. The caller disposes it. */
export function createTeacherTask(options: TeacherTaskOptions): TrainingTask {
  const parameters = new Map(Array.from(options.teacher.parameters, ([name, tensor]) => [name, tf.variable(tensor)] as const));
  const teacher: Teacher = { config: options.teacher.config, parameters };
  return {
    parameters,
    losses: (batch) => {
      const total = meanOfAll(targetLosses(teacher, batchTensors(batch.tokens, options.context)));
      return { total, terms: { hta: total }, rates: [] };
    },
    validNll: (windows) => teacherNll(teacher, windows),
    exportModel: (folder) => options.exportTeacher(teacher, folder),
    dispose: () => tf.dispose([...parameters.values()]),
  };
}

/** Mean next-token loss of a teacher over windows of L + 1 tokens, nats per token. */
export function teacherNll(teacher: Teacher, windows: readonly Int32Array[]): Promise<number> {
  return meanNll(windows, (batch) => targetLosses(teacher, batch));
}

function targetLosses(teacher: Teacher, { ids, labels }: BatchTensors): tf.Tensor1D {
  const { logits } = teacherForward(teacher, ids);
  return crossEntropy(tf.reshape(logits, [labels.size, teacher.config.vocabSize]), labels);
}
