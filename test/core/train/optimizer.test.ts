import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { AdamState, AdamStep, AdamTarget } from '../../../src/core/train/optimizer.js';
import { adamUpdate, initAdam } from '../../../src/core/train/optimizer.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';

const step: AdamStep = { beta1: 0.5, beta2: 0.75, epsilon: 0.5, weightDecay: 0.2, learningRate: 0.5, gradientScale: 0.5 };

/** Parameters before their first update, without bounds unless given. */
function targetOf(values: Readonly<Record<string, number[]>>, lowerBounds: Readonly<Record<string, number>> = {}): AdamTarget & { readonly initial: AdamState } {
  const parameters = new Map(Object.entries(values).map(([name, numbers]) => [name, tf.variable(tf.tensor1d(numbers))]));
  return { parameters, lowerBounds: new Map(Object.entries(lowerBounds)), initial: initAdam(parameters) };
}

const gradientsOf = (values: Readonly<Record<string, number[]>>): Map<string, tf.Tensor> => new Map(Object.entries(values).map(([name, numbers]) => [name, tf.tensor1d(numbers)]));

/** Values of a parameter and both of its moments, one behind the other. */
const read = async ({ parameters }: AdamTarget, { mean, square }: AdamState, name: string): Promise<number[]> =>
  (await Promise.all([parameters, mean, square].map(async (variables) => [...await (variables.get(name) as tf.Variable).data()]))).flat();

describeOnBackends('train/optimizer', () => {
  it('makes the three updates worked by hand', async () => {
    const target = targetOf({ p: [1] });
    const update = (state: AdamState, gradient: number): AdamState => adamUpdate(target, { gradients: gradientsOf({ p: [gradient] }), state }, step);
    // Gradient 4·½ = 2. Update 1: m = 1, v = 1, m̂ = 2, √v̂ = 2; p = 0.9·1 − 0.5·2/2.5 = 0.5.
    const first = update(target.initial, 4);
    expectClose(await read(target, first, 'p'), [0.5, 1, 1], { absolute: 1e-6 });
    // Gradient −2·½ = −1. Update 2: m = 0, v = 0.75 + 0.25 = 1; p = 0.9·0.5.
    const second = update(first, -2);
    expectClose(await read(target, second, 'p'), [0.45, 0, 1], { absolute: 1e-6 });
    // Gradient 6·½ = 3. Update 3: m = 1.5, m̂ = 12/7; v = 3, v̂ = 3/(37/64) = 192/37; p = 0.9·0.45 − 0.5·(12/7)/(√(192/37) + 0.5).
    const third = update(second, 6);
    expectClose(await read(target, third, 'p'), [0.405 - (6 / 7) / (Math.sqrt(192 / 37) + 0.5), 1.5, 3], { absolute: 1e-6 });
    expect([first, second, third].map(({ updates }) => updates)).to.deep.equal([1, 2, 3]);
  });

  it('follows an independent float64 AdamW over twenty updates of many values', async () => {
    const size = 37;
    const gradientAt = (n: number): number[] => Array.from({ length: size }, (_, i) => Math.sin(3.7 * i + 1.3 * n) * 10 ** (i % 5 - 2));
    const target = targetOf({ p: gradientAt(0) });
    let state = target.initial;
    const reference = { p: gradientAt(0), m: new Array<number>(size).fill(0), v: new Array<number>(size).fill(0) };
    const settings = { ...step, epsilon: 1e-8, learningRate: 0.01 };
    for (let n = 1; n <= 20; n++) {
      state = adamUpdate(target, { gradients: gradientsOf({ p: gradientAt(n) }), state }, settings);
      referenceUpdate(reference, gradientAt(n), n);
    }
    expectClose(await (target.parameters.get('p') as tf.Variable).data(), reference.p, { absolute: 2e-6, relative: 1e-5 });

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

  it('keeps each parameter at its own bound, and leaves one without a gradient and the moments alone', async () => {
    const target = targetOf({ free: [1, -1], bounded: [1, -1, 3], idle: [-4] }, { bounded: 0.75, idle: 0 });
    // As update 1 above: gradients of 4 move by −0.4: 0.9 − 0.4 and −0.9 − 0.4 without a bound, 0.9·3 − 0.4 = 2.3 above it.
    const state = adamUpdate(target, { gradients: gradientsOf({ free: [4, 4], bounded: [4, 4, 4] }), state: target.initial }, step);
    expectClose(await read(target, state, 'free'), [0.5, -1.3, 1, 1, 1, 1], { absolute: 1e-6 });
    expectClose(await read(target, state, 'bounded'), [0.75, 0.75, 2.3, 1, 1, 1, 1, 1, 1], { absolute: 1e-6 });
    expectClose(await read(target, state, 'idle'), [-4, 0, 0], { absolute: 0 });
  });

  it('leaves the values of other owners as they were', async () => {
    const target = targetOf({ shared: [1, 2, 3, 4, 5], own: [1] });
    const variables = [target.parameters, target.initial.mean, target.initial.square].map((all) => all.get('shared') as tf.Variable);
    const others = variables.map((variable) => tf.reshape(tf.clone(variable), [5, 1]));
    const gradients = gradientsOf({ shared: [4, 4, 4, 4, 4], own: [4] });
    const first = adamUpdate(target, { gradients, state: target.initial }, step);
    const second = adamUpdate(target, { gradients, state: first }, step);
    for (const [i, expected] of [[1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]].entries()) expectClose(await (others[i] as tf.Tensor).data(), expected, { absolute: 0 });
    for (const gradient of gradients.values()) expect(new Set(await gradient.data())).to.deep.equal(new Set([4]));
    const [value, mean, square] = await read(target, second, 'own');
    expectClose(await read(target, second, 'shared').then((all) => [all[0], all[5], all[10]] as number[]), [value, mean, square] as number[], { absolute: 0 });
  });

  it('makes no tensor that stays', () => {
    const target = targetOf({ a: [1, 2], b: [3] }, { b: 0 });
    const gradients = gradientsOf({ a: [1, 1], b: [1] });
    const before = tf.memory().numTensors;
    adamUpdate(target, { gradients, state: target.initial }, step);
    expect(tf.memory().numTensors).to.equal(before);
  });
});

describe('train/optimizer', () => {
  it('the backend’s own kernel and the composed form agree', async function () {
    await prepareBackend('wasm');
    if (tf.getKernel('BispikAdamInPlace', 'wasm') == null) this.skip();
    const values = Array.from({ length: 103 }, (_, i) => Math.cos(i) * 10 ** (i % 7 - 3));
    const run = (): Promise<number[]> => {
      const target = targetOf({ p: values }, { p: -0.9 });
      const state = adamUpdate(target, { gradients: gradientsOf({ p: [...values].reverse() }), state: target.initial }, { ...step, epsilon: 1e-8 });
      return read(target, state, 'p');
    };
    const fused = await run();
    await prepareBackend('cpu');
    expectClose(fused, await run(), { absolute: 1e-6, relative: 1e-6 });
    tf.engine().disposeVariables();
  });
});
