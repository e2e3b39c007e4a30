import type { TensorInfo } from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { operationsOf } from '../../../../src/core/backend/profile/kernel-operations.js';

const of = (...shape: number[]): TensorInfo => ({ dataId: {}, shape, dtype: 'float32' });

describe('operations of a kernel', () => {
  it('a product is two for every output and inner element, whatever is transposed', () => {
    const outputs = [of(3, 4, 5)];
    expect(operationsOf('BatchMatMul', { inputs: { a: of(3, 4, 7), b: of(3, 7, 5) }, outputs, attrs: { transposeA: false, transposeB: false } })).to.equal(2 * 3 * 4 * 5 * 7);
    expect(operationsOf('BatchMatMul', { inputs: { a: of(3, 7, 4), b: of(3, 5, 7) }, outputs, attrs: { transposeA: true, transposeB: true } })).to.equal(2 * 3 * 4 * 5 * 7);
  });

  it('spikes count as if they were dense', () => {
    expect(operationsOf('BispikSpikeMatMul', { inputs: { s: of(6, 8), w: of(8, 10), b: of(10) }, outputs: [of(6, 10)], attrs: {} })).to.equal(2 * 6 * 8 * 10);
    expect(operationsOf('BispikSpikeMatMulGradW', { inputs: { s: of(6, 8), dy: of(6, 10) }, outputs: [of(8, 10), of(10)], attrs: {} })).to.equal(2 * 6 * 8 * 10);
  });

  it('attention: overlaps and values of the causal pairs only', () => {
    // T 2, B 3, L 4, D 6: 10 pairs; per pair and step D products for the overlaps of all heads and D for the values.
    expect(operationsOf('BispikSpikingAttention', { inputs: { qkv: of(2, 3, 4, 18) }, outputs: [], attrs: { heads: 2 } })).to.equal(2 * 3 * 10 * (2 * 6 + 2 * 6));
  });

  it('attention by tiles: what is computed again counts again, and the teacher’s scores wherever they are needed', () => {
    // 2·3·10 = 60 pairs of (T 2, B 3, L 4), 30 without time steps; D 6 for the student, 8 for the teacher; two operations each.
    const [student, teacher] = [2 * 60 * 6, 2 * 30 * 8];
    const teacherRows = { teacherQuery: of(12, 8), teacherKey: of(12, 8) };
    expect(operationsOf('BispikTiledAttention', { inputs: { qkv: of(2, 3, 4, 18) }, outputs: [], attrs: { heads: 2 } })).to.equal(2 * student);
    expect(operationsOf('BispikTiledAttentionGrad', { inputs: { dValues: of(2, 3, 4, 6) }, outputs: [], attrs: { heads: 2 } })).to.equal(8 * student);
    expect(operationsOf('BispikAlignedAttention', { inputs: { qkv: of(2, 3, 4, 18), ...teacherRows }, outputs: [], attrs: { heads: 2 } })).to.equal(3 * student + 2 * teacher);
    expect(operationsOf('BispikAlignedAttentionGrad', { inputs: { dValues: of(2, 3, 4, 6), ...teacherRows }, outputs: [], attrs: { heads: 2 } })).to.equal(8 * student + 2 * teacher);
    expect(operationsOf('BispikStreamedAttention', { inputs: { query: of(12, 8), key: of(12, 8), value: of(12, 8) }, outputs: [], attrs: { batch: 3, length: 4, heads: 2 } })).to.equal(3 * teacher);
  });

  it('a teacher’s attention: scores and context of the causal pairs', () => {
    expect(operationsOf('BispikReluMatMul', { inputs: { x: of(3, 7), w: of(7, 5), b: of(5) }, outputs: [of(3, 5)], attrs: {} })).to.equal(2 * 3 * 5 * 7);
    expect(operationsOf('BispikSoftmaxAttention', { inputs: { query: of(12, 8), key: of(12, 8), value: of(12, 8) }, outputs: [], attrs: { batch: 3, length: 4, heads: 2 } })).to.equal(2 * 2 * 30 * 8);
  });

  it('gradients of any number of parameters: one for each element of a gradient', () => {
    const [first, second] = [of(5, 7), of(3)];
    const list = (...tensors: ReturnType<typeof of>[]) => ({ inputs: Object.fromEntries(tensors.entries()), outputs: [], attrs: {} });
    for (const name of ['BispikSquareSums', 'BispikSquareRuns']) expect(operationsOf(name, list(first, second))).to.equal(35 + 3);
    expect(operationsOf('BispikAddInto', list(first, first, second, second))).to.equal(35 + 3);
    expect(operationsOf('BispikAdamInPlace', list(first, first, first, first, second, second, second, second))).to.equal(35 + 3);
  });

  it('anything else: one for each element of its largest tensor', () => {
    expect(operationsOf('Add', { inputs: { a: of(5, 1), b: of(1, 7) }, outputs: [of(5, 7)], attrs: {} })).to.equal(35);
    expect(operationsOf('Sum', { inputs: { x: of(5, 7) }, outputs: [of()], attrs: {} })).to.equal(35);
  });
});
