import * as tf from '@tensorflow/tfjs-core';

import { hardTargetLoss, softTargetLoss } from '../../../src/core/distill/logit-loss.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { lossInputs } from '../../support/loss-inputs.js';

describeOnBackends('losses on logits', () => {
  it('soft targets, by hand: at τ = 2 the teacher says ¼ : ¾, the student ½ : ½; times τ² = 4', async () => {
    const student = { logits: tf.tensor3d([5, 5], [1, 1, 2]) };
    const teacher = { logits: tf.tensor3d([0, 2 * Math.log(3)], [1, 1, 2]) };
    const value = tf.tidy(() => softTargetLoss(1, 2).compute(lossInputs({ student, teacher })));
    expectClose(await value.data(), [4 * (0.25 * Math.log(0.5) + 0.75 * Math.log(1.5))], { absolute: 1e-6 });
  });

  it('soft targets average over positions and vanish where student and teacher agree', async () => {
    const teacher = { logits: tf.tensor3d([0, 2 * Math.log(3), 1, 4], [1, 2, 2]) };
    const student = { logits: tf.tensor3d([0, 0, 3, 6], [1, 2, 2]) };
    const value = tf.tidy(() => softTargetLoss(1, 2).compute(lossInputs({ student, teacher })));
    expectClose(await value.data(), [2 * (0.25 * Math.log(0.5) + 0.75 * Math.log(1.5))], { absolute: 1e-6 });
  });

  it('hard targets, by hand: −ln ¾ and −ln ½; a position with label −1 does not count', async () => {
    const student = { logits: tf.tensor3d([0, Math.log(3), 2, 2, 9, -9], [1, 3, 2]) };
    const value = tf.tidy(() => hardTargetLoss(1).compute(lossInputs({ student, labels: [1, 0, -1] })));
    expectClose(await value.data(), [(Math.log(4 / 3) + Math.log(2)) / 2], { absolute: 1e-6 });
  });

  it('hard targets without any label are 0, not NaN', async () => {
    const value = tf.tidy(() => hardTargetLoss(1).compute(lossInputs({ student: { logits: tf.tensor3d([1, 2], [1, 1, 2]) }, labels: [-1] })));
    expectClose(await value.data(), [0], { absolute: 0 });
  });
});
