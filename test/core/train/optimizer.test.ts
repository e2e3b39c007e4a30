import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { AdamState, AdamStep } from '../../../src/core/train/optimizer.js';
import { adamUpdate, disposeAdam, initAdam } from '../../../src/core/train/optimizer.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';

const step: AdamStep = { beta1: 0.5, beta2: 0.75, epsilon: 0.5, weightDecay: 0.2, learningRate: 0.5, gradientScale: 0.5 };

const mapOf = (values: Record<string, number[]>): Map<string, tf.Tensor> => new Map(Object.entries(values).map(([name, list]) => [name, tf.tensor1d(list)]));
const read = (tensors: ReadonlyMap<string, tf.Tensor>, name: string): Promise<ArrayLike<number>> => (tensors.get(name) as tf.Tensor).data();

describeOnBackends('train/optimizer', () => {
  it('makes the two updates worked by hand', async () => {
    // Gradient 4·½ = 2. Update 1: m = 1, v = 1, m̂ = 2, √v̂ = 2; p = 0.9·1 − 0.5·2/2.5 = 0.5.
    const parameters = mapOf({ p: [1] });
    const start = initAdam(parameters);
    const first = adamUpdate({ parameters, gradients: mapOf({ p: [4] }), state: start }, step);
    expectClose(await read(first.parameters, 'p'), [0.5], { absolute: 1e-6 });
    expectClose(await read(first.state.mean, 'p'), [1], { absolute: 1e-6 });
    expectClose(await read(first.state.square, 'p'), [1], { absolute: 1e-6 });
    // Gradient −2·½ = −1. Update 2: m = 0, v = 0.75 + 0.25 = 1; p = 0.9·0.5.
    const second = adamUpdate({ parameters: first.parameters, gradients: mapOf({ p: [-2] }), state: first.state }, step);
    expectClose(await read(second.parameters, 'p'), [0.45], { absolute: 1e-6 });
    // Gradient 6·½ = 3. Update 3: m = 1.5, m̂ = 12/7; v = 3, v̂ = 3/(37/64) = 192/37; p = 0.9·0.45 − 0.5·(12/7)/(√(192/37) + 0.5).
    const third = adamUpdate({ parameters: second.parameters, gradients: mapOf({ p: [6] }), state: second.state }, step);
    expectClose(await read(third.parameters, 'p'), [0.405 - (6 / 7) / (Math.sqrt(192 / 37) + 0.5)], { absolute: 1e-6 });
    expect([start.updates, first.state.updates, third.state.updates]).to.deep.equal([0, 1, 3]);
  });

  it('leaves a parameter without a gradient, and its moments, as they are', () => {
    const parameters = mapOf({ used: [1, 2], unused: [3] });
    const state = initAdam(parameters);
    const updated = adamUpdate({ parameters, gradients: mapOf({ used: [1, 1] }), state }, step);
    expect([...updated.parameters.keys()]).to.deep.equal(['used']);
    expect(updated.state.mean.get('unused')).to.equal(state.mean.get('unused'));
    disposeAdam(state, updated.state);
    expect(state.mean.get('used')?.isDisposed).to.equal(true);
    expect(updated.state.square.get('unused')?.isDisposed).to.equal(false);
  });

  it('follows an independent float64 AdamW over twenty updates of many values', async () => {
    const size = 37;
    const gradientAt = (n: number): number[] => Array.from({ length: size }, (_, i) => Math.sin(3.7 * i + 1.3 * n) * 10 ** (i % 5 - 2));
    let parameters = mapOf({ p: gradientAt(0) });
    let state: AdamState = initAdam(parameters);
    const reference = { p: gradientAt(0), m: new Array<number>(size).fill(0), v: new Array<number>(size).fill(0) };
    const settings = { ...step, epsilon: 1e-8, learningRate: 0.01 };
    for (let n = 1; n <= 20; n++) {
      ({ parameters, state } = adamUpdate({ parameters, gradients: mapOf({ p: gradientAt(n) }), state }, settings));
      referenceUpdate(reference, gradientAt(n), n);
    }
    expectClose(await read(parameters, 'p'), reference.p, { absolute: 2e-6, relative: 1e-5 });

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
    const { prepareBackend } = await import('../../../src/core/pipeline/prepare-backend.js');
    await prepareBackend('wasm');
    if (tf.getKernel('BispikAdamStep', 'wasm') == null) this.skip();
    const values = Array.from({ length: 103 }, (_, i) => Math.cos(i) * 10 ** (i % 7 - 3));
    const run = async (): Promise<Float32Array> => {
      const parameters = mapOf({ p: values });
      const { parameters: next } = adamUpdate({ parameters, gradients: mapOf({ p: [...values].reverse() }), state: initAdam(parameters) }, { ...step, epsilon: 1e-8 });
      return Float32Array.from(await read(next, 'p'));
    };
    const fused = await run();
    await prepareBackend('cpu');
    expectClose(fused, await run(), { absolute: 1e-6, relative: 1e-6 });
  });
});
