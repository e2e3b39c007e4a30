import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { listenToKernels } from '../../../src/core/backend/profile/kernel-calls.js';
import { ShapeError } from '../../../src/core/errors.js';
import { addWrite, addWriteAndMean } from '../../../src/core/ops/residual.js';
import { reversePass } from '../../../src/core/ops/reverse-pass.js';
import { describeOnBackends, describeOnOurKernels, expectClose } from '../../support/backends.js';
import { awaitKernel, numbers } from '../../support/kernel-cases.js';

/** A stream of `steps` time steps (1 of them may stand for all) with what is written to it, and the weights of a loss on both outputs. */
interface Case { readonly timeSteps: number; readonly steps: number; readonly rows: number; readonly width: number }
const CASES: readonly Case[] = [
  { timeSteps: 1, steps: 1, rows: 3, width: 5 }, { timeSteps: 2, steps: 2, rows: 1, width: 1 }, { timeSteps: 2, steps: 1, rows: 2, width: 3 },
  { timeSteps: 3, steps: 3, rows: 7, width: 13 }, { timeSteps: 3, steps: 1, rows: 5, width: 4 }, { timeSteps: 4, steps: 4, rows: 9, width: 31 }, { timeSteps: 4, steps: 1, rows: 1, width: 2 },
];

/** Which outputs the loss reads. */
interface Read { readonly stream: boolean; readonly mean: boolean }
const READS: readonly Read[] = [{ stream: true, mean: true }, { stream: true, mean: false }, { stream: false, mean: true }];

const fill = ({ timeSteps, steps, rows, width }: Case) => {
  const random = numbers(100 * timeSteps + 10 * rows + width);
  const step = rows * width;
  return {
    step, stream: random.floats(steps * step), write: random.floats(timeSteps * step, 3), ofStream: random.floats(timeSteps * step), ofMean: random.floats(step),
  };
};

/** The definitions in float64: both outputs, and the gradients of Σ ofStream·stream + Σ ofMean·mean as far as they are read. */
function reference(at: Case, read: Read) {
  const { step, stream, write, ofStream, ofMean } = fill(at);
  const out = Array.from(write, (value, i) => value + stream[at.steps === 1 ? i % step : i]!);
  const overTime = (values: ArrayLike<number>, i: number): number => Array.from({ length: at.timeSteps }, (_, t) => values[t * step + i]!).reduce((a, b) => a + b);
  const mean = Array.from({ length: step }, (_, i) => overTime(out, i) / at.timeSteps);
  const dWrite = out.map((_, i) => (read.stream ? ofStream[i]! : 0) + (read.mean ? ofMean[i % step]! / at.timeSteps : 0));
  return { out, mean, dWrite, dStream: at.steps === at.timeSteps ? dWrite : Array.from({ length: step }, (_, i) => overTime(dWrite, i)) };
}

/** Tensors of a case, and its loss. */
function onDevice(at: Case, read: Read) {
  const { stream, write, ofStream, ofMean } = fill(at);
  const shape = (steps: number): [number, number, number] => [steps, at.rows, at.width];
  const xs = [tf.tensor3d(stream, shape(at.steps)), tf.tensor3d(write, shape(at.timeSteps))] as const;
  const weights = [tf.tensor3d(ofStream, shape(at.timeSteps)), tf.tensor2d(ofMean, [at.rows, at.width])] as const;
  const loss = (a: tf.Tensor, b: tf.Tensor): tf.Scalar => {
    const found = addWriteAndMean(a as tf.Tensor3D, b as tf.Tensor3D);
    return tf.addN([...(read.stream ? [tf.sum(tf.mul(found.stream, weights[0]))] : []), ...(read.mean ? [tf.sum(tf.mul(found.mean, weights[1]))] : [])]) as tf.Scalar;
  };
  return { xs, loss, all: [...xs, ...weights] };
}

async function expectGradients(gradients: readonly (tf.Tensor | undefined)[], at: Case, read: Read): Promise<void> {
  const { dStream, dWrite } = reference(at, read);
  const what = JSON.stringify({ ...at, read });
  expectClose(await gradients[0]!.data(), dStream, { absolute: 2e-6 }, `stream of ${what}`);
  expectClose(await gradients[1]!.data(), dWrite, { absolute: 1e-6 }, `write of ${what}`);
}

describeOnBackends('a write to the residual stream', () => {
  it('by hand: 1 and 2 with 10 and 30 are 11 and 32, on average 21.5', async () => {
    const { stream, mean } = addWriteAndMean(tf.tensor3d([1, 2], [2, 1, 1]), tf.tensor3d([10, 30], [2, 1, 1]));
    expect([...await stream.data(), ...await mean.data()]).to.deep.equal([11, 32, 21.5]);
    expect([stream.shape, mean.shape]).to.deep.equal([[2, 1, 1], [1, 1]]);
  });

  it('the stream after it and its mean over time are those of float64', async () => {
    for (const at of CASES) {
      const { xs } = onDevice(at, READS[0]!);
      const { stream, mean } = addWriteAndMean(...xs);
      const expected = reference(at, READS[0]!);
      expectClose(await stream.data(), expected.out, { absolute: 1e-6 }, JSON.stringify(at));
      expectClose(await mean.data(), expected.mean, { absolute: 1e-6 }, JSON.stringify(at));
    }
  });

  it('gradients are those of float64 whichever of the two is read, in our reverse pass, which leaves absent ones out, and in that of TensorFlow.js', async () => {
    for (const at of CASES) {
      for (const read of READS) {
        const { xs, loss, all } = onDevice(at, read);
        const before = tf.memory().numTensors;
        const { value, gradients: ours } = tf.tidy(() => reversePass(() => loss(...xs), xs));
        const theirs = tf.grads(loss)([...xs]);
        await expectGradients(ours, at, read);
        await expectGradients(theirs, at, read);
        tf.dispose([value, ...ours as tf.Tensor[], ...theirs, ...all]);
        expect(tf.memory().numTensors - before, 'tensors left behind').to.equal(-all.length);
      }
    }
  });

  it('addWrite: a stream of one time step is added at each, and its gradient is the sum over them', async () => {
    const write = tf.tensor3d([10, 20, 30, 40], [2, 2, 1]);
    const loss = (steps: number) => tf.valueAndGrads((stream, y) => tf.sum(tf.square(addWrite(stream as tf.Tensor3D, y as tf.Tensor3D))) as tf.Scalar)(
      [tf.tensor3d([1, 2, 3, 4].slice(0, 2 * steps), [steps, 2, 1]), write]);
    const [one, two] = [loss(1), loss(2)];
    expectClose(await one.value.data(), [11 ** 2 + 22 ** 2 + 31 ** 2 + 42 ** 2], { absolute: 1e-3 });
    expectClose(await (one.grads[0] as tf.Tensor).data(), [2 * (11 + 31), 2 * (22 + 42)], { absolute: 1e-4 });
    expectClose(await (one.grads[1] as tf.Tensor).data(), [22, 44, 62, 84], { absolute: 1e-4 });
    for (const gradient of two.grads) expectClose(await gradient.data(), [22, 44, 66, 88], { absolute: 1e-4 });
  });
});

describeOnOurKernels('the kernel of a write to the residual stream', () => {
  it('is launched once each way', () => {
    const { xs, loss } = onDevice(CASES[3]!, READS[0]!);
    const names: string[] = [];
    const stop = listenToKernels({ end: ({ name }) => { if (name.startsWith('BispikAddWrite')) names.push(name); } });
    tf.tidy(() => reversePass(() => loss(...xs), xs));
    stop();
    expect(names).to.deep.equal(['BispikAddWrite', 'BispikAddWriteGrad']);
  });

  it('refuses a stream of another width', async () => {
    const floats = (...shape: number[]) => ({ values: new Float32Array(shape.reduce((a, b) => a * b)), shape });
    const refused = awaitKernel('BispikAddWrite', { stream: floats(2, 3, 4), write: floats(2, 3, 5) });
    const error = await refused.then(() => null, (reason: unknown) => reason);
    expect(error).to.be.instanceOf(ShapeError).with.property('message').that.matches(/^stream is float32 \[2, 3, 4\]; float32 \[2, 3, 5\] was expected/);
  });
});
