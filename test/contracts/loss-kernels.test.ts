import { expect } from 'chai';

import { describeOnOurKernels } from '../support/backends.js';
import { awaitKernel, numbers } from '../support/kernel-cases.js';

function logSoftmax(row: readonly number[]): number[] {
  const most = Math.max(...row);
  const total = Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0));
  return row.map((v) => v - most - total);
}

const rowsOf = (values: Float32Array, width: number): number[][] =>
  Array.from({ length: values.length / width }, (_, r) => [...values.slice(r * width, (r + 1) * width)]);

describeOnOurKernels('kernels: losses of logits', () => {
  it('cross-entropy by hand: ln 4 for uniform logits, 0 where the label is −1', async () => {
    const [loss, gradient] = await awaitKernel('BispikCrossEntropy', {
      logits: { values: new Float32Array(8).fill(3), shape: [2, 4] }, labels: { values: Int32Array.of(2, -1), shape: [2] },
    });
    expect(loss?.values[0]).to.be.closeTo(Math.log(4), 1e-7);
    expect(loss?.values[1]).to.equal(0);
    [0.25, 0.25, -0.75, 0.25, 0, 0, 0, 0].forEach((v, i) => expect(gradient?.values[i]).to.be.closeTo(v, 1e-7));
  });

  it('a label beyond the vocabulary gives NaN, never a wrong number', async () => {
    const [loss, gradient] = await awaitKernel('BispikCrossEntropy', {
      logits: { values: new Float32Array(3), shape: [1, 3] }, labels: { values: Int32Array.of(3), shape: [1] },
    });
    expect([...(loss?.values ?? []), ...(gradient?.values ?? [])].every(Number.isNaN)).to.equal(true);
  });

  for (const [rows, width, scale] of [[1, 1, 1], [5, 7, 3], [3, 64, 20], [4, 513, 80]] as const) {
    it(`(${rows}, ${width}) logits up to ±${scale} match float64`, async () => {
      const random = numbers(width);
      const student = random.floats(rows * width, scale);
      const labels = Int32Array.from({ length: rows }, () => random.below(width));
      const logits = { values: student, shape: [rows, width] };
      const [loss, gradient] = await awaitKernel('BispikCrossEntropy', { logits, labels: { values: labels, shape: [rows] } });
      rowsOf(student, width).forEach((row, r) => {
        const logP = logSoftmax(row);
        const label = labels[r]!;
        expect(loss?.values[r]).to.be.closeTo(-logP[label]!, 1e-6 * Math.max(1, -logP[label]!));
        logP.forEach((v, c) => {
          expect(gradient?.values[r * width + c]).to.be.closeTo(Math.exp(v) - Number(c === label), 3e-7);
        });
      });
    });
  }
});
