import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { AdamStep, AdamTensors } from '../../../src/core/train/optimizer.js';
import { adamUpdate } from '../../../src/core/train/optimizer.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';

const step: AdamStep = { beta1: 0.5, beta2: 0.75, epsilon: 0.5, weightDecay: 0.2, learningRate: 0.5, gradientScale: 0.5 };

type Updated = ReturnType<typeof adamUpdate>;
/** A parameter before its first update. */
const ofOne = (p: tf.Tensor): Omit<AdamTensors, 'g'> => ({ p, m: tf.zerosLike(p), v: tf.zerosLike(p) });
const next = ([p, m, v]: Updated): Omit<AdamTensors, 'g'> => ({ p, m, v });
/** Values of all three, one behind the other. */
const read = async (updated: Updated): Promise<number[]> => (await Promise.all(updated.map((tensor) => tensor.data()))).flatMap((values) => Array.from(values));

describeOnBackends('train/optimizer', () => {
  it('makes the three updates worked by hand', async () => {
    // Gradient 4·½ = 2. Update 1: m = 1, v = 1, m̂ = 2, √v̂ = 2; p = 0.9·1 − 0.5·2/2.5 = 0.5.
    const first = adamUpdate({ ...ofOne(tf.tensor1d([1])), g: tf.tensor1d([4]) }, step, 1);
    expectClose(await read(first), [0.5, 1, 1], { absolute: 1e-6 });
    // Gradient −2·½ = −1. Update 2: m = 0, v = 0.75 + 0.25 = 1; p = 0.9·0.5.
    const second = adamUpdate({ ...next(first), g: tf.tensor1d([-2]) }, step, 2);
    expectClose(await read(second), [0.45, 0, 1], { absolute: 1e-6 });
    // Gradient 6·½ = 3. Update 3: m = 1.5, m̂ = 12/7; v = 3, v̂ = 3/(37/64) = 192/37; p = 0.9·0.45 − 0.5·(12/7)/(√(192/37) + 0.5).
    const third = adamUpdate({ ...next(second), g: tf.tensor1d([6]) }, step, 3);
    expectClose(await read(third), [0.405 - (6 / 7) / (Math.sqrt(192 / 37) + 0.5), 1.5, 3], { absolute: 1e-6 });
    expect(first.map(({ isDisposed }) => isDisposed)).to.deep.equal([false, false, false]);
  });

  it('follows an independent float64 AdamW over twenty updates of many values', async () => {
    const size = 37;
    const gradientAt = (n: number): number[] => Array.from({ length: size }, (_, i) => Math.sin(3.7 * i + 1.3 * n) * 10 ** (i % 5 - 2));
    let tensors = ofOne(tf.tensor1d(gradientAt(0)));
    const reference = { p: gradientAt(0), m: new Array<number>(size).fill(0), v: new Array<number>(size).fill(0) };
    const settings = { ...step, epsilon: 1e-8, learningRate: 0.01 };
    for (let n = 1; n <= 20; n++) {
      tensors = next(adamUpdate({ ...tensors, g: tf.tensor1d(gradientAt(n)) }, settings, n));
      referenceUpdate(reference, gradientAt(n), n);
    }
    expectClose(await tensors.p.data(), reference.p, { absolute: 2e-6, relative: 1e-5 });

    function referenceUpdate({ p, m, v }: typeof reference, gradients: number[], n: number): void {
      gradients.forEach((value, i) => {
        const g = value * settings.gradientScale;
        m[i] = (m[i] as number) + (1 - settings.beta1) * (g - (m[i] as number));
        v[i] = (v[i] as number) + (1 - settings.beta2) * (g * g - (v[i] as number));
        const ratio = (m[i] as number) / (1 - settings.beta1 ** n) / (Math.sqrt((v[i] as number) / (1 - settings.beta2 ** n)) + settings.epsilon);
        p[i] = (p[i] as number) - settings.learningRate * (ratio + settings.weightDecay * (p[i] as number));
      });
    }
  });
});

describe('train/optimizer', () => {
  it('the backend’s own kernel and the composed form agree', async function () {
    await prepareBackend('wasm');
    if (tf.getKernel('BispikAdamStep', 'wasm') == null) this.skip();
    const values = Array.from({ length: 103 }, (_, i) => Math.cos(i) * 10 ** (i % 7 - 3));
    const run = (): Promise<number[]> => read(adamUpdate({ ...ofOne(tf.tensor1d(values)), g: tf.tensor1d([...values].reverse()) }, { ...step, epsilon: 1e-8 }, 1));
    const fused = await run();
    await prepareBackend('cpu');
    expectClose(fused, await run(), { absolute: 1e-6, relative: 1e-6 });
  });
});
