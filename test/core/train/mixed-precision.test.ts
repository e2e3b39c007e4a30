import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { halfPass, withHalfProducts } from '../../../src/core/backend/product-precision.js';
import { loadDistillConfig } from '../../../src/core/config/load.js';
import type { TokenBatch } from '../../../src/core/corpus/batches.js';
import { BackendError } from '../../../src/core/errors.js';
import { halfToNumber } from '../../../src/core/hub/float-formats.js';
import { spikeLinear } from '../../../src/core/ops/spike-linear.js';
import { prepareBackend, preparePrecision } from '../../../src/core/pipeline/prepare-backend.js';
import { mixedRunner, soloRunner } from '../../../src/core/train/passes.js';
import type { PassRunner } from '../../../src/core/train/passes.js';
import type { TrainingTask } from '../../../src/core/train/task.js';
import { silentReporter } from '../../../src/core/types.js';
import { emulateHalfProducts, roundScaled, roundToHalf } from '../../support/half-emulation.js';
import { rejection } from '../../support/rejection.js';
import { createTinyTask, tinyTokens } from '../../support/tiny-task.js';

const batch: TokenBatch = { tokens: tinyTokens(4 * 7, 5), starts: new Int32Array(4) };

/** Gradients of one micro-batch by parameter, of `scale` times the loss. */
async function gradients(runner: PassRunner, scale = 1): Promise<Map<string, Float32Array>> {
  const task = createTinyTask();
  const scaled: TrainingTask = { ...task, losses: (of) => { const losses = task.losses(of); return { ...losses, total: tf.mul(losses.total, scale) }; } };
  const found = new Map<string, Float32Array>();
  await runner.run(scaled, [batch], (pass) => { for (const [name, gradient] of pass.gradients) found.set(name, gradient.dataSync<'float32'>().slice()); });
  task.dispose();
  return found;
}

const norm = (values: Iterable<number>): number => Math.sqrt([...values].reduce((sum, x) => sum + x * x, 0));

describe('rounding to float16 in the emulation', () => {
  it('leaves every float16 as it is, and takes the nearest between two, ties to the even one', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const [x, next] = [halfToNumber(bits), halfToNumber(bits + 1)];
      expect(roundToHalf(x)).to.equal(x);
      expect(roundToHalf(-x)).to.equal(x === 0 ? -0 : -x);
      if (Number.isFinite(next)) expect(roundToHalf((x + next) / 2)).to.equal(bits % 2 === 0 ? x : next);
      if (Number.isFinite(next)) expect(roundToHalf(0.4 * x + 0.6 * next)).to.equal(next);
    }
    expect([65_519, 65_520, Infinity, NaN].map(roundToHalf)).to.deep.equal([65_504, Infinity, Infinity, NaN]);
  });

  it('after scaling nothing overflows and what is 2^-28 of the largest is not lost', () => {
    expect([...roundScaled(Float32Array.from([1e30, 0, -1e30 * 2 ** -28]))].map((x) => x / 1e30).map((x) => Number(x.toPrecision(3)))).to.deep.equal([1, 0, Number((-(2 ** -28)).toPrecision(3))]);
  });
});

describe('passes with products of float16 inputs', () => {
  let restore: () => void;
  before(async () => {
    await prepareBackend('wasm');
    restore = emulateHalfProducts();
  });
  after(() => { restore(); });

  it('are told apart by number, and end also where the computation throws', () => {
    const first = withHalfProducts(halfPass);
    expect(withHalfProducts(halfPass)).to.equal((first as number) + 1);
    expect(() => withHalfProducts(() => { throw new Error('x'); })).to.throw('x');
    expect(halfPass()).to.equal(null);
  });

  it('differ from float32 by as much as rounding explains, in every parameter', async () => {
    const [exact, mixed] = [await gradients(soloRunner), await gradients(mixedRunner)];
    expect([...mixed.keys()]).to.deep.equal([...exact.keys()]);
    let differing = 0;
    for (const [name, values] of exact) {
      const difference = norm(values.map((x, i) => x - (mixed.get(name)![i] as number))) / Math.max(norm(values), 1e-6);
      expect(difference, name).to.be.below(0.05);
      differing += Number(difference > 0);
    }
    expect(differing).to.be.above(exact.size / 2);
  });

  it('leave spikes as they are: their products are sums of rounded weights, and of rounded gradients', () => {
    const [s, w, dy] = [tf.tensor3d([1, 0, 1, 0, 1, 1], [1, 2, 3]), tf.tensor2d([1 + 2 ** -12, 2, 3, 4, 0.1, 6], [3, 2]), tf.tensor3d([0.3, 1, 1, 0.7], [1, 2, 2])];
    const [round, gradient] = [roundScaled(w.dataSync<'float32'>()), roundScaled(dy.dataSync<'float32'>())];
    const sum = (values: Float32Array, ...at: number[]): number => at.reduce((total, i) => Math.fround(total + (values[i] as number)), 0);
    const [y, dw] = withHalfProducts(() => tf.tidy(() => {
      const grad = tf.grad((weight) => tf.sum(tf.mul(spikeLinear(s, weight as tf.Tensor2D, tf.zeros([2])), dy)))(w);
      return [spikeLinear(s, w, tf.zeros([2])).dataSync(), grad.dataSync()];
    })) as [Float32Array, Float32Array];
    expect([...y]).to.deep.equal([sum(round, 0, 4), sum(round, 1, 5), sum(round, 2, 4), sum(round, 3, 5)]);
    expect([...dw]).to.deep.equal([sum(gradient, 0), sum(gradient, 1), sum(gradient, 2), sum(gradient, 3), sum(gradient, 0, 2), sum(gradient, 1, 3)]);
    tf.dispose([s, w, dy]);
  });

  it('need no scaling of the loss: gradients 2^40 times smaller are the same numbers, bit for bit', async () => {
    const [whole, small] = [await gradients(mixedRunner), await gradients(mixedRunner, 2 ** -40)];
    for (const [name, values] of whole) expect([...small.get(name)!].map((x) => x * 2 ** 40), name).to.deep.equal([...values]);
  });
});

describe('train.precision', () => {
  it('mixed on a backend that multiplies in float32 only is an error that says so and what to type', async () => {
    const config = await loadDistillConfig({ file: 'configs/distill/stories.yaml', overrides: ['train.precision=mixed'] });
    const wasm = await prepareBackend('wasm');
    const error = await rejection(preparePrecision(config.train, wasm, silentReporter), BackendError);
    expect(error.message).to.match(/^train\.precision: mixed needs matrix products with float16 inputs, which wasm \(.*\) does not have: wasm multiplies in float32 only$/);
    expect(error.suggestions).to.deep.equal(['--set train.precision=float32', '--backend webgpu']);
    await preparePrecision({ ...config.train, precision: 'float32' }, wasm, silentReporter);
  });
});
