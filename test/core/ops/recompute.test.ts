import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { Segment, SegmentRunner } from '../../../src/core/ops/recompute.js';
import { runHeld, runOnce, runRecomputed, runTidied } from '../../../src/core/ops/recompute.js';
import { reversePass } from '../../../src/core/ops/reverse-pass.js';
import { describeOnBackends } from '../../support/backends.js';
import { countTraffic } from '../../../bench/support/kernel-traffic.js';

const bits = async (tensor: tf.Tensor | undefined): Promise<number[] | null> =>
  tensor === undefined ? null : Array.from(new Uint32Array((await tensor.data<'float32'>()).slice().buffer));
const wave = (shape: number[], phase: number): tf.Tensor => tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(2.3 * i + phase)), shape);

/** Runs two segments one after the other; the second output of each is a loss, the third is used by nobody. */
function chain(run: SegmentRunner, values: { x: tf.Tensor; w: tf.Tensor; other: tf.Tensor }, seen: boolean[]): tf.Scalar {
  const { x, w, other } = values;
  const segment: Segment = ([input, target], isFirst) => {
    seen.push(isFirst);
    const y = tf.tanh(tf.matMul(input as tf.Tensor2D, w as tf.Tensor2D));
    return [y, tf.sum(tf.square(tf.sub(y, tf.exp(target as tf.Tensor)))), tf.sum(tf.mul(y, other))];
  };
  const parameters = [w, other];
  const [a, lossA] = run({ inputs: [x], constants: [tf.tidy(() => tf.fill([3, 3], 0.25))], parameters }, segment) as [tf.Tensor, tf.Tensor];
  const [b, lossB] = run({ inputs: [a], constants: [tf.zeros([3, 3])], parameters }, segment) as [tf.Tensor, tf.Tensor];
  return tf.addN([lossA, lossB, tf.sum(tf.mul(a, b))]) as tf.Scalar;
}

describeOnBackends('recomputed segments', () => {
  it('give the same bits as recorded ones: value, gradients of inputs, of parameters both segments read, and none where there is none', async () => {
    const values = { x: wave([3, 3], 0), w: wave([3, 3], 1), other: wave([3, 3], 2) };
    const xs = [values.x, values.w, values.other];
    const runs: boolean[][] = [];
    const results = [runHeld, runTidied, runRecomputed].map((run) => {
      runs.push([]);
      return reversePass(() => chain(run, values, runs.at(-1) as boolean[]), xs);
    });
    const [held, ...others] = await Promise.all(results.map(({ value, gradients }) => Promise.all([value, ...gradients].map(bits))));
    expect(held?.at(-1), 'what only an unused output reads').to.equal(null);
    for (const other of others) expect(other).to.deep.equal(held);
    expect(runs).to.deep.equal([[true, true], [true, true], [true, true, false, false]]);
  });

  it('that run once end with their inputs; constants stay', async () => {
    const [x, scale] = [tf.tensor1d([1, 2, 3]), tf.scalar(2)];
    const before = tf.memory().numTensors;
    const [y] = runOnce({ inputs: [x], constants: [scale], parameters: [] }, ([a, b]) => [tf.add(tf.mul(a as tf.Tensor, b as tf.Tensor), 1)]);
    expect(tf.memory().numTensors).to.equal(before);
    expect([x.isDisposed, scale.isDisposed]).to.deep.equal([true, false]);
    expect(Array.from(await (y as tf.Tensor).data())).to.deep.equal([3, 5, 7]);
    tf.dispose([y as tf.Tensor, scale]);
  });

  it('keep nothing of a segment but its inputs and outputs, and leave no tensor behind', async () => {
    const x = tf.fill([1000], 0.5);
    const deep: Segment = ([input]) => {
      let y = input as tf.Tensor;
      for (let i = 0; i < 10; i++) y = tf.square(y);
      return [y];
    };
    const before = tf.memory().numTensors;
    const peak = (run: SegmentRunner): Promise<number> => countTraffic(async () => {
      const { value, gradients } = reversePass(() => {
        let y = x as tf.Tensor;
        for (let i = 0; i < 6; i++) y = run({ inputs: [y], constants: [], parameters: [] }, deep)[0] as tf.Tensor;
        return tf.sum(y);
      }, [x]);
      tf.dispose([value, ...gradients as tf.Tensor[]]);
    }, [x]).then(({ peakBytes }) => peakBytes / 4000);
    expect(await peak(runTidied), 'all 60 values').to.be.within(60, 67);
    expect(await peak(runRecomputed), 'six entrances and one segment').to.be.within(6 + 10, 6 + 10 + 7);
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('run once where nothing is differentiated', () => {
    const seen: boolean[] = [];
    tf.tidy(() => { chain(runRecomputed, { x: wave([3, 3], 0), w: wave([3, 3], 1), other: wave([3, 3], 2) }, seen); });
    expect(seen).to.deep.equal([true, true]);
  });
});
