import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { logitLosses } from '../../../src/core/distill/logit-losses.js';
import type { LossInputs } from '../../../src/core/distill/total-loss.js';
import { totalLoss } from '../../../src/core/distill/total-loss.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { lossInputs, readoutOf } from '../../support/loss-inputs.js';

const LN3 = Math.log(3);

/** Weighted terms and total of the logit losses alone. */
async function evaluate(weights: { softTarget: number; hardTarget: number }, temperature: number, inputs: () => LossInputs): Promise<Record<string, number>> {
  const scalars = tf.tidy(() => {
    const { total, terms } = totalLoss([logitLosses(weights, temperature)], inputs());
    return { ...terms, total };
  });
  return Object.fromEntries(await Promise.all(Object.entries(scalars).map(async ([name, scalar]) => [name, (await scalar.data())[0] as number] as const)));
}

describeOnBackends('losses on logits', () => {
  it('soft targets, by hand: at τ = 2 the teacher says ¼ : ¾, the student ½ : ½; times τ² = 4 and the weight 3', async () => {
    const found = await evaluate({ softTarget: 3, hardTarget: 0 }, 2, () => lossInputs({ student: { readout: readoutOf([[5, 5]]) }, teacher: { readout: readoutOf([[0, 2 * LN3]]) } }));
    const expected = 3 * 4 * (0.25 * Math.log(0.5) + 0.75 * Math.log(1.5));
    expect(Object.keys(found), 'a term of weight 0 is not there').to.deep.equal(['sta', 'total']);
    expectClose([found['sta']!, found['total']!], [expected, expected], { absolute: 1e-5 });
  });

  it('soft targets average over positions and vanish where student and teacher agree', async () => {
    const [student, teacher] = [[[0, 0], [3, 6]], [[0, 2 * LN3], [1, 4]]];
    const { sta } = await evaluate({ softTarget: 1, hardTarget: 0 }, 2, () => lossInputs({ student: { readout: readoutOf(student) }, teacher: { readout: readoutOf(teacher) }, labels: [0, 0] }));
    expectClose([sta!], [2 * (0.25 * Math.log(0.5) + 0.75 * Math.log(1.5))], { absolute: 1e-6 });
  });

  it('hard targets, by hand: −ln ¾ and −ln ½; a position with label −1 does not count', async () => {
    const { hta } = await evaluate({ softTarget: 0, hardTarget: 1 }, 2, () => lossInputs({ student: { readout: readoutOf([[0, LN3], [2, 2], [9, -9]]) }, labels: [1, 0, -1] }));
    expectClose([hta!], [(Math.log(4 / 3) + Math.log(2)) / 2], { absolute: 1e-6 });
  });

  it('hard targets without any label are 0, not NaN', async () => {
    const { hta } = await evaluate({ softTarget: 0, hardTarget: 1 }, 2, () => lossInputs({ student: { readout: readoutOf([[1, 2]]) }, labels: [-1] }));
    expect(hta).to.equal(0);
  });

  it('both together are what each is alone, and their sum', async () => {
    const inputs = (): LossInputs => lossInputs({ student: { readout: readoutOf([[1, -1], [0, 3]]) }, teacher: { readout: readoutOf([[2, 0.5], [-1, 1]]) }, labels: [0, 1] });
    const [{ sta }, { hta }] = [await evaluate({ softTarget: 0.3, hardTarget: 0 }, 2, inputs), await evaluate({ softTarget: 0, hardTarget: 0.7 }, 2, inputs)];
    const both = await evaluate({ softTarget: 0.3, hardTarget: 0.7 }, 2, inputs);
    expectClose([both['sta']!, both['hta']!, both['total']!], [sta!, hta!, sta! + hta!], { absolute: 1e-6 });
  });
});
