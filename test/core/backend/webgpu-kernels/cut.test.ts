import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { BackendError } from '../../../../src/core/errors.js';
import { describeOnWebGpu } from '../../../support/backends.js';
import { withBindingLimit } from '../../../support/binding-limit.js';
import type { KernelInputs } from '../../../support/kernel-cases.js';
import { awaitKernel, numbers } from '../../../support/kernel-cases.js';

const random = numbers(17);
const floats = (...shape: number[]) => ({ values: random.floats(shape.reduce((a, b) => a * b, 1)), shape });
const spikes = (...shape: number[]) => ({ values: random.spikes(shape.reduce((a, b) => a * b, 1), 0.3), shape });
const whole = (values: readonly number[], ...shape: number[]) => ({ values: Int32Array.from(values), shape });
const labels = (count: number, below: number) => whole(Array.from({ length: count }, (_, i) => (i % 7 === 3 ? -1 : random.below(below))), count);
const positive = (...shape: number[]) => { const { values } = floats(...shape); return { values: values.map(Math.abs), shape }; };

const bitsOf = (values: Float32Array): number[] => [...new Uint32Array(values.slice().buffer)];

const NEURON = { timeSteps: 3, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: false };
const ADAM = { learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1, step: 3, gradScale: 0.5, lowerBound: -0.4 };
const ATTENTION = { ...NEURON, heads: 2 };
const ALIGNED = { ...ATTENTION, teacherHeads: 3, headMap: [2, 0], gamma: 0.5, form: 'row-normalised' };

interface Case {
  readonly kernel: string;
  readonly what: string;
  /** In bytes; less than a tensor of the case takes. */ readonly limit: number;
  readonly inputs: KernelInputs;
  readonly attrs?: tf.NamedAttrMap;
}

const lifInputs = (rows: number, channels: number, of: { readonly constant: boolean; readonly onOff: boolean }) => {
  const neurons = channels * (of.onOff ? 2 : 1);
  return { x: floats(of.constant ? 1 : 3, rows, channels), gain: floats(neurons), bias: floats(neurons), neurons };
};

function lifCases(title: string, rows: number, channels: number, of: { readonly constant: boolean; readonly onOff: boolean; readonly limit: number }): Case[] {
  const { neurons, ...given } = lifInputs(rows, channels, of);
  const attrs = { ...NEURON, onOff: of.onOff, groups: 1 };
  return [
    { kernel: 'BispikLif', what: title, limit: of.limit, inputs: given, attrs },
    { kernel: 'BispikLifGrad', what: title, limit: of.limit, inputs: { ...given, dSpikes: floats(3, rows, neurons), dRates: floats(1) }, attrs },
  ];
}

/** Every tensor that work is cut for is larger than the limit, with odd extents, so that parts begin where the device can begin a binding and where it cannot. */
const CASES: readonly Case[] = [
  { kernel: 'BispikAdamStep', what: 'elements', limit: 1024, inputs: { p: floats(37, 21), g: floats(37, 21), m: floats(37, 21), v: positive(37, 21) }, attrs: ADAM },
  { kernel: 'BispikLayerNorm', what: 'rows', limit: 1024, inputs: { x: floats(70, 13), weight: floats(13), bias: floats(13) }, attrs: { eps: 1e-5 } },
  {
    kernel: 'BispikLayerNormGrad', what: 'blocks of one row and of two', limit: 40_000, attrs: { eps: 1e-5 },
    inputs: { dy: floats(2101, 5), x: floats(2101, 5), weight: floats(5), mean: floats(2101), rstd: floats(2101) },
  },
  { kernel: 'BispikLayerNorm', what: 'rows, without a weight', limit: 1024, inputs: { x: floats(70, 13) }, attrs: { eps: 1e-5 } },
  {
    kernel: 'BispikLayerNormGrad', what: 'rows, without a weight', limit: 1024, attrs: { eps: 1e-5 },
    inputs: { dy: floats(71, 13), x: floats(71, 13), mean: floats(71), rstd: floats(71) },
  },
  { kernel: 'BispikCrossEntropy', what: 'rows', limit: 2000, inputs: { logits: floats(11, 91), labels: labels(11, 91) } },
  {
    kernel: 'BispikHeadLosses', what: 'rows, written over the logits', limit: 2000, attrs: { temperature: 2, softSlope: 0.5 },
    inputs: { logits: floats(11, 91), hardSlope: floats(), labels: labels(11, 91), teacher: floats(11, 91) },
  },
  { kernel: 'BispikSquaredError', what: 'segments', limit: 20_000, inputs: { x: floats(13_001), target: floats(13_001) }, attrs: { factor: 0.3 } },
  { kernel: 'BispikSquareRuns', what: 'runs', limit: 20_000, inputs: { a: floats(13_001), b: floats(5), c: floats(2, 4096) } },
  { kernel: 'BispikAddWrite', what: 'numbers of a time step', limit: 1024, inputs: { stream: floats(3, 17, 9), write: floats(3, 17, 9) } },
  { kernel: 'BispikAddWrite', what: 'numbers of a time step, the stream of one', limit: 1024, inputs: { stream: floats(1, 17, 9), write: floats(3, 17, 9) } },
  { kernel: 'BispikAddWriteGrad', what: 'numbers of a time step', limit: 1024, inputs: { dMean: floats(17, 9), dOut: floats(3, 17, 9) }, attrs: { timeSteps: 3 } },
  { kernel: 'BispikAddWriteGrad', what: 'of the mean alone', limit: 1024, inputs: { dMean: floats(17, 9) }, attrs: { timeSteps: 3 } },
  { kernel: 'BispikRateCode', what: 'elements', limit: 1024, inputs: { x: floats(19, 23) }, attrs: NEURON },
  { kernel: 'Sum', what: 'all, by segments', limit: 20_000, inputs: { x: floats(13_001) }, attrs: { axis: [0], keepDims: false } },
  { kernel: 'Sum', what: 'rows, by segments', limit: 10_000, inputs: { x: floats(1100, 3) }, attrs: { axis: [0], keepDims: false } },
  { kernel: 'Mean', what: 'the time steps, by columns', limit: 1024, inputs: { x: floats(3, 17, 9) }, attrs: { axis: [0], keepDims: false } },
  { kernel: 'Sum', what: 'the last axis, by rows', limit: 1024, inputs: { x: floats(70, 9) }, attrs: { axis: [1], keepDims: true } },
  { kernel: 'Sum', what: 'axes apart', limit: 1024, inputs: { x: floats(11, 5, 9) }, attrs: { axis: [0, 2], keepDims: false } },
  ...lifCases('four neurons at a time, on and off', 19, 8, { constant: false, onOff: true, limit: 2048 }),
  ...lifCases('one neuron at a time', 19, 7, { constant: false, onOff: false, limit: 1024 }),
  ...lifCases('a constant current', 23, 4, { constant: true, onOff: true, limit: 1024 }),
  { kernel: 'BispikPackSpikes', what: 'rows of whole words', limit: 2048, inputs: { s: spikes(19, 64) } },
  { kernel: 'BispikPackSpikes', what: 'rows of any length', limit: 2048, inputs: { s: spikes(19, 41) } },
  { kernel: 'BispikSpikeMatMul', what: 'rows', limit: 12_000, inputs: { s: whole(Array.from({ length: 70 * 2 }, () => random.below(2 ** 31)), 70, 2), w: floats(41, 67), b: floats(67) }, attrs: { inputs: 41 } },
  { kernel: 'BispikSpikeMatMulGradW', what: 'the terms of one part', limit: 12_000, inputs: { s: whole(Array.from({ length: 70 * 2 }, () => random.below(2 ** 31)), 70, 2), dy: floats(70, 67) }, attrs: { inputs: 41 } },
  { kernel: 'BispikSpikeMatMulGradW', what: 'the terms of two parts', limit: 11_000, inputs: { s: whole(Array.from({ length: 1100 }, () => random.below(8)), 1100, 1), dy: floats(1100, 5) }, attrs: { inputs: 3 } },
  { kernel: 'BispikTiledAttention', what: 'sequences', limit: 2400, inputs: { qkv: spikes(3, 5, 7, 24), gain: floats(2), distanceBias: floats(2, 9) }, attrs: ATTENTION },
  {
    kernel: 'BispikAlignedAttention', what: 'sequences', limit: 2400, attrs: ALIGNED,
    inputs: { qkv: spikes(3, 5, 7, 24), gain: floats(2), distanceBias: floats(2, 9), teacherQuery: floats(35, 30), teacherKey: floats(35, 30) },
  },
  {
    kernel: 'BispikAlignedAttentionGrad', what: 'sequences', limit: 2400, attrs: ALIGNED,
    inputs: {
      dValues: floats(3, 5, 7, 8), dCounts: floats(5, 2, 7), dLoss: floats(), gain: floats(2), distanceBias: floats(2, 9), teacherQuery: floats(35, 30), teacherKey: floats(35, 30),
      bits: whole(Array.from({ length: 9 * 10 * 7 }, () => random.below(16)), 3, 3, 10, 7, 1), softmax: positive(2, 5, 3, 7), rowTerms: positive(3, 5, 2, 7),
    },
  },
  { kernel: 'BispikStreamedAttention', what: 'sequences', limit: 1024, inputs: { query: floats(35, 18), key: floats(35, 18), value: floats(35, 18) }, attrs: { batch: 5, length: 7, heads: 2 } },
  { kernel: 'Add', what: 'two of one shape', limit: 1024, inputs: { a: floats(37, 21), b: floats(37, 21) } },
  { kernel: 'Add', what: 'one repeated in time', limit: 1024, inputs: { a: floats(1, 17, 9), b: floats(3, 17, 9) } },
  { kernel: 'Sub', what: 'a column and a row, of which only the result is large', limit: 1024, inputs: { a: floats(31, 1), b: floats(11) } },
  { kernel: 'RealDiv', what: 'by a scalar', limit: 1024, inputs: { a: floats(37, 21), b: positive() } },
  { kernel: 'Relu', what: 'elements', limit: 1024, inputs: { x: floats(37, 21) } },
  { kernel: 'Tile', what: 'a stream in time', limit: 1024, inputs: { x: floats(1, 17, 9) }, attrs: { reps: [3, 1, 1] } },
  { kernel: 'Tile', what: 'a scalar', limit: 1024, inputs: { x: floats(1, 1) }, attrs: { reps: [37, 11] } },
  { kernel: '_FusedMatMul', what: 'rows', limit: 1024, inputs: { a: floats(37, 9), b: floats(9, 11), bias: floats(11) }, attrs: { transposeA: false, transposeB: false, activation: 'linear', leakyreluAlpha: 0 } },
  { kernel: 'Max', what: 'all', limit: 1024, inputs: { x: floats(37, 21) }, attrs: { reductionIndices: [0, 1], keepDims: false } },
  { kernel: 'Slice', what: 'two axes', limit: 1024, inputs: { x: floats(9, 7, 8) }, attrs: { begin: [2, 0, 3], size: [5, 7, 4] } },
  { kernel: 'Slice', what: 'rows', limit: 1024, inputs: { x: floats(70, 8) }, attrs: { begin: [33, 0], size: [11, -1] } },
  { kernel: 'SplitV', what: 'columns', limit: 1024, inputs: { x: floats(37, 12) }, attrs: { numOrSizeSplits: [5, 4, 3], axis: 1 } },
  { kernel: 'Transpose', what: 'heads before rows', limit: 1024, inputs: { x: floats(3, 31, 4, 5) }, attrs: { perm: [0, 2, 1, 3] } },
  { kernel: 'Transpose', what: 'nothing moves', limit: 1024, inputs: { x: floats(37, 21) }, attrs: { perm: [0, 1] } },
  { kernel: 'GatherV2', what: 'rows of the table, and ids', limit: 1024, inputs: { x: floats(37, 21), indices: whole(Array.from({ length: 34 }, () => random.below(37)), 2, 17) }, attrs: { axis: 0, batchDims: 0 } },
  { kernel: 'UnsortedSegmentSum', what: 'rows of the table, and terms', limit: 1024, inputs: { x: floats(34, 21), segmentIds: whole(Array.from({ length: 34 }, () => random.below(37)), 34) }, attrs: { numSegments: 37 } },
];

const bytesInUse = (): number => (tf.memory() as unknown as { readonly numBytesInGPU: number }).numBytesInGPU;

describeOnWebGpu('work on tensors larger than a binding may be', () => {
  for (const { kernel, what, limit, inputs, attrs } of CASES) {
    it(`${kernel} is cut and gives the same bits: ${what}`, async () => {
      const expected = await awaitKernel(kernel, inputs, attrs);
      const sizes = [...Object.values(inputs), ...expected].map(({ values }) => 4 * values.length);
      expect(Math.max(...sizes), 'nothing to cut').to.be.above(limit);
      const before = bytesInUse();
      const found = await withBindingLimit(limit, () => awaitKernel(kernel, inputs, attrs));
      expect(found.map(({ shape }) => shape)).to.deep.equal(expected.map(({ shape }) => shape));
      expect(found.map(({ values }) => bitsOf(values))).to.deep.equal(expected.map(({ values }) => bitsOf(values)));
      expect(bytesInUse(), 'memory left behind').to.equal(before);
    });
  }

  it('concatenates along any axis, and spikes as whole numbers keep their values', async () => {
    const [a, b] = [floats(5, 30, 3), floats(5, 11, 3)];
    const joined = () => tf.concat([tf.tensor(a.values, [5, 30, 3]), tf.tensor(b.values, [5, 11, 3])], 1);
    const [expected, found] = [await read(joined), await withBindingLimit(1024, () => read(joined))];
    expect(found).to.deep.equal(expected);
    const cast = () => tf.mul(tf.cast(tf.tensor1d(Int32Array.from({ length: 700 }, (_, i) => i - 300), 'int32'), 'float32'), 0.5);
    expect(await withBindingLimit(1024, () => read(cast))).to.deep.equal(Array.from({ length: 700 }, (_, i) => (i - 300) / 2));
  });

  it('adds any number of tensors, and chooses between two by a condition', async () => {
    const [a, b, c] = [floats(37, 21).values, floats(37, 21).values, floats(37, 21).values];
    const tensors = () => [a, b, c].map((values) => tf.tensor2d(values, [37, 21]));
    const sum = () => tf.addN(tensors());
    expect(await withBindingLimit(1024, () => read(sum))).to.deep.equal([...a].map((x, i) => Math.fround(Math.fround(x + b[i]!) + c[i]!)));
    const chosen = () => { const [x, y, z] = tensors() as [tf.Tensor, tf.Tensor, tf.Tensor]; return tf.where(tf.greaterEqual(x, 0), y, z); };
    expect(await withBindingLimit(1024, () => read(chosen))).to.deep.equal([...a].map((x, i) => (x >= 0 ? b : c)[i]));
  });

  it('what a single unit does not fit into is an error that names kernel, tensor, limit and what to change', async () => {
    const tooLong = withBindingLimit(1024, async () => { await awaitKernel('BispikLayerNorm', { x: floats(3, 300), weight: floats(300), bias: floats(300) }, { eps: 1e-5 }); });
    const error = await tooLong.then(() => null, (reason: unknown) => reason);
    expect(error).to.be.instanceOf(BackendError).with.property('message').that.matches(/^BispikLayerNorm: a tensor float32 \[3, 300\] takes 3600 bytes.*at most 1024.*maxStorageBufferBindingSize/);
    expect((error as BackendError).suggestions).to.include('--backend wasm');
  });
});

async function read(make: () => tf.Tensor): Promise<number[]> {
  const y = tf.tidy(make);
  const values = [...await y.data()];
  y.dispose();
  return values;
}

describeOnWebGpu('rows of a table and their sums', () => {
  // The second has more ids than a workgroup looks at together, the last more columns than it has invocations.
  for (const [rows, width, count, limit] of [[1, 1, 1, 1024], [13, 3, 540, 1024], [300, 33, 70, 5000], [7, 300, 60, 2048]] as const) {
    it(`(${rows}, ${width}), ${count} ids, in float64, with a limit of ${limit} bytes and without`, async () => {
      const given = numbers(rows + width);
      const [table, dy] = [given.floats(rows * width), given.floats(count * width)];
      const ids = Int32Array.from({ length: count }, (_, i) => (i % 5 === 4 ? 0 : given.below(rows)));
      const [expected, sums] = [new Float64Array(count * width), new Float64Array(rows * width)];
      ids.forEach((id, i) => {
        for (let c = 0; c < width; c++) {
          expected[i * width + c] = table[id * width + c]!;
          sums[id * width + c]! += dy[i * width + c]!;
        }
      });
      const both = async () => {
        const indices = tf.tensor1d(ids, 'int32');
        const gathered = (x: tf.Tensor): tf.Tensor => tf.gather(x, indices);
        const [y, dx] = tf.tidy(() => { const x = tf.tensor2d(table, [rows, width]); return [gathered(x), tf.grad(gathered)(x, tf.tensor2d(dy, [count, width]))]; }) as [tf.Tensor, tf.Tensor];
        const values = [[...await y.data()], [...await dx.data()]];
        tf.dispose([indices, y, dx]);
        return values;
      };
      for (const [found, gradient] of [await both(), await withBindingLimit(limit, both)]) {
        expect(found).to.deep.equal([...expected]);
        gradient!.forEach((sum, i) => { expect(sum).to.be.closeTo(sums[i]!, 1e-5); });
      }
    });
  }

  it('an id that no row has gives zeros', async () => {
    const x = { values: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2] };
    const [rows] = await awaitKernel('GatherV2', { x, indices: whole([2, 3, -1, 0], 4) }, { axis: 0, batchDims: 0 });
    expect([...rows!.values]).to.deep.equal([5, 6, 0, 0, 0, 0, 1, 2]);
  });

  it('other axes and whole numbers are left to the standard kernel', async () => {
    const [across] = await awaitKernel('GatherV2', { x: { values: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }, indices: whole([1], 1) }, { axis: 1, batchDims: 0 });
    expect([...across!.values]).to.deep.equal([2, 4]);
  });
});
