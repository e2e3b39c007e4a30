import * as tf from '@tensorflow/tfjs-core';

import type { TeacherConfig } from '../../src/core/config/schema.js';
import { WINDOWS_AT_ONCE } from '../../src/core/ops/batch-tensors.js';
import type { OptConfig } from '../../src/core/teacher/config.js';
import { initTeacher } from '../../src/core/teacher/init.js';
import { createTeacherTask } from '../../src/core/teacher/training-task.js';
import { initAdam } from '../../src/core/train/optimizer.js';
import { soloRunner } from '../../src/core/train/passes.js';
import { trainStep } from '../../src/core/train/step.js';

/** A dense teacher in training, on the active backend. */
export interface TeacherStep {
  readonly model: OptConfig;
  /** A whole step, done when it returns. */ step(): Promise<void>;
  /** Validation of as many windows as one pass takes. */ validate(): Promise<number>;
  /** Weights and moments. */ tensors(): tf.Tensor[];
  dispose(): void;
}

/** Opens a step of `train-teacher`: weights of one value, any tokens. */
export function openTeacherStep(config: TeacherConfig, vocabSize: number): TeacherStep {
  const { batch, context, accumulate, recompute } = config.train;
  const teacher = initTeacher({ ...config.model, vocabSize, bosId: null, eosId: null, padId: null }, { normal: () => 0.1 });
  const task = createTeacherTask({ teacher, context, recompute: recompute === 'blocks', exportTeacher: () => Promise.resolve() });
  tf.dispose([...teacher.parameters.values()]);
  const tokens = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => (7 * i) % vocabSize);
  let state = initAdam(task.parameters);
  const tensors = (): tf.Tensor[] => [...task.parameters.values(), ...state.mean.values(), ...state.square.values()];
  return {
    model: teacher.config, tensors,
    step: async () => {
      const batches = Array.from({ length: accumulate }, () => ({ tokens: tokens(batch * (context + 1)), starts: new Int32Array(batch) }));
      ({ state } = await trainStep(task, { batches, state }, { adam: config.train, learningRate: 1e-3, clipNorm: 1, hasTermNorms: false, runner: soloRunner }));
      const [first] = task.parameters.values();
      await tf.tidy(() => tf.slice(tf.reshape(first as tf.Tensor, [-1]), 0, 1)).data(); // the update is only recorded when a step returns
    },
    validate: () => task.validNll(Array.from({ length: WINDOWS_AT_ONCE }, () => tokens(context + 1))),
    dispose: () => {
      task.dispose();
      tf.dispose([...state.mean.values(), ...state.square.values()]);
    },
  };
}
