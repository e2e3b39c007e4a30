import { expect } from 'chai';

import { describeOnOurKernels } from '../support/backends.js';
import { awaitKernel, numbers } from '../support/kernel-cases.js';

function logSoftmax(row: readonly number[], temperature: number): number[] {
  const most = Math.max(...row);
  const total = Math.log(row.reduce((sum, v) => sum + Math.exp((v - most) / temperature), 0));
  return row.map((v) => (v - most) / temperature - total);
}

const rowsOf = (values: ArrayLike<number>, width: number): number[][] =>
  Array.from({ length: values.length / width }, (_, r) => Array.from({ length: width }, (_value, c) => values[r * width + c]!));

const SLOPES = { soft: 0.75, hard: 1.5 };
const slopeTensor = { values: Float32Array.of(SLOPES.hard), shape: [] };

describeOnOurKernels('kernels: both losses of a head at once', () => {
  for (const [rows, width, scale, temperature] of [[1, 1, 1, 2], [5, 7, 3, 2], [3, 64, 20, 1.3], [4, 513, 80, 2], [2, 1030, 5, 4]] as const) {
    const random = numbers(width);
    const [student, teacher] = [random.floats(rows * width, scale), random.floats(rows * width, scale)];
    const labels = Int32Array.from({ length: rows }, (_, r) => (r === 1 ? -1 : random.below(width)));
    const inputs = { logits: { values: student, shape: [rows, width] }, hardSlope: slopeTensor };
    const [withLabels, withTeacher] = [{ labels: { values: labels, shape: [rows] } }, { teacher: { values: teacher, shape: [rows, width] } }];
    for (const [title, given] of [['both', { ...withLabels, ...withTeacher }], ['labels only', withLabels], ['a teacher only', withTeacher]] as const) {
      it(`(${rows}, ${width}) logits up to ±${scale}, τ ${temperature}, ${title}: float64`, async () => {
        const [soft, hard, gradient] = await awaitKernel('BispikHeadLosses', { ...inputs, ...given }, { temperature, softSlope: SLOPES.soft });
        const [hasLabels, hasTeacher] = ['labels' in given, 'teacher' in given];
        rowsOf(student, width).forEach((row, r) => {
          const [logP, logS, logT] = [logSoftmax(row, 1), logSoftmax(row, temperature), logSoftmax(rowsOf(teacher, width)[r]!, temperature)];
          const label = hasLabels ? labels[r]! : -1;
          const [nats, divergence] = [label < 0 ? 0 : -logP[label]!, hasTeacher ? logT.reduce((sum, t, c) => sum + Math.exp(t) * (t - logS[c]!), 0) : 0];
          expect(hard?.values[r]).to.be.closeTo(nats, 1e-6 * Math.max(1, nats));
          expect(soft?.values[r]).to.be.closeTo(divergence, 2e-6 * Math.max(1, divergence));
          row.forEach((_, c) => {
            const fromHard = label < 0 ? 0 : SLOPES.hard * (Math.exp(logP[c]!) - Number(c === label));
            const fromSoft = hasTeacher ? SLOPES.soft * (Math.exp(logS[c]!) - Math.exp(logT[c]!)) / temperature : 0;
            expect(gradient?.values[r * width + c]).to.be.closeTo(fromHard + fromSoft, 8e-7);
          });
        });
      });
    }
  }

  it('a label beyond the vocabulary gives NaN, never a wrong number; other rows stay what they are', async () => {
    const given = { logits: { values: new Float32Array(6), shape: [2, 3] }, hardSlope: slopeTensor, labels: { values: Int32Array.of(3, 0), shape: [2] } };
    for (const more of [{}, { teacher: { values: new Float32Array(6), shape: [2, 3] } }]) {
      const [, hard, gradient] = await awaitKernel('BispikHeadLosses', { ...given, ...more }, { temperature: 2, softSlope: 1 });
      expect([hard!.values[0]!, ...gradient!.values.slice(0, 3)].every(Number.isNaN)).to.equal(true);
      expect(hard!.values[1]).to.be.closeTo(Math.log(3), 1e-6);
      [-1, 0.5, 0.5].forEach((v, i) => expect(gradient!.values[3 + i]).to.be.closeTo(v, 1e-6));
    }
  });

  it('the divergence of a distribution from itself is 0, however far the logits are shifted', async () => {
    const teacher = numbers(5).floats(40, 256).map((v) => Math.round(v) / 64); // the shifted values are exact, too
    const shifted = { logits: { values: teacher.map((v) => v + 1024), shape: [1, 40] }, teacher: { values: teacher, shape: [1, 40] }, hardSlope: slopeTensor };
    const [soft] = await awaitKernel('BispikHeadLosses', shifted, { temperature: 2, softSlope: 1 });
    expect(soft?.values[0]).to.be.closeTo(0, 1e-5);
  });
});
