import type { NamedAttrMap } from '@tensorflow/tfjs-core';

import type { KernelInputs, KernelOutput } from './kernel-cases.js';
import { numbers, relativeDifference } from './kernel-cases.js';
import type { NeuronAttrs } from './lif-reference.js';
import { neuronBackward, neuronForward } from './lif-reference.js';

/** A layer of LIF neurons on random inputs, and what scalar neurons in float64 (membranes in float32) make of it. */
export interface LifLayerCase {
  readonly rows: number; readonly channels: number; readonly onOff: boolean; readonly constant: boolean; readonly groups: number;
  readonly attrs: NeuronAttrs;
}

export interface LifLayer {
  /** x, gain, bias */ readonly inputs: KernelInputs;
  /** dSpikes, dRates */ readonly gradients: KernelInputs;
  readonly attrs: NamedAttrMap;
  readonly expected: LifExpected;
}

interface LifExpected {
  readonly spikes: Float32Array; readonly rates: Float64Array;
  readonly dx: Float64Array; readonly dGain: Float64Array; readonly dBias: Float64Array;
  /** Smallest |u − threshold| of all neurons and steps. */ readonly margin: number;
}

/** How far a kernel's outputs are from the scalar neurons': a count of spikes, relative differences of the others. */
export type LifDifferences = Record<'spikes' | 'rates' | 'dx' | 'dGain' | 'dBias', number>;

export function lifLayer({ rows, channels, onOff, constant, groups, attrs }: LifLayerCase): LifLayer {
  const [T, E] = [attrs.timeSteps, onOff ? 2 * channels : channels];
  const steps = constant ? 1 : T;
  const random = numbers(rows * 31 + channels);
  const x = random.floats(steps * rows * channels, 2);
  const [gain, bias, dSpikes, dRates] = [random.floats(E, 1.5), random.floats(E, 0.5), random.floats(T * rows * E), random.floats(groups, T * rows)];
  const slots = (T * rows * E) / groups;
  const expected = {
    spikes: new Float32Array(T * rows * E), rates: new Float64Array(groups), dx: new Float64Array(x.length),
    dGain: new Float64Array(E), dBias: new Float64Array(E), margin: Number.POSITIVE_INFINITY,
  };
  const times = Array.from({ length: T }, (_, t) => t);
  for (let n = 0; n < rows; n++) {
    for (let e = 0; e < E; e++) {
      const sign = e < channels ? 1 : -1;
      const inX = (t: number): number => ((constant ? 0 : t) * rows + n) * channels + (e % channels);
      const inE = (t: number): number => (t * rows + n) * E + e;
      const current = times.map((t) => Math.fround(Math.fround(sign * (x[inX(t)] ?? 0) * (gain[e] ?? 0)) + (bias[e] ?? 0)));
      const { u, s } = neuronForward(current, attrs);
      const group = Math.floor(e / (E / groups));
      const dI = neuronBackward(times.map((t) => (dSpikes[inE(t)] ?? 0) + (dRates[group] ?? 0) / slots), u, attrs);
      for (const t of times) {
        expected.spikes[inE(t)] = s[t] ?? 0;
        expected.rates[group]! += (s[t] ?? 0) / slots;
        expected.dx[inX(t)]! += sign * (dI[t] ?? 0) * (gain[e] ?? 0);
        expected.dGain[e]! += sign * (dI[t] ?? 0) * (x[inX(t)] ?? 0);
        expected.dBias[e]! += dI[t] ?? 0;
        expected.margin = Math.min(expected.margin, Math.abs((u[t] ?? 0) - Math.fround(attrs.threshold)));
      }
    }
  }
  return {
    inputs: { x: { values: x, shape: [steps, rows, channels] }, gain: { values: gain, shape: [E] }, bias: { values: bias, shape: [E] } },
    gradients: { dSpikes: { values: dSpikes, shape: [T, rows, E] }, dRates: { values: dRates, shape: [groups] } },
    attrs: { ...attrs, onOff, groups }, expected,
  };
}

/** @param outputs of the forward kernel, then of the backward kernel. */
export function lifDifferences(outputs: readonly KernelOutput[], expected: LifExpected): LifDifferences {
  const [spikes, rates, dx, dGain, dBias] = outputs.map(({ values }) => values);
  return {
    spikes: spikes?.length === expected.spikes.length ? spikes.filter((value, i) => value !== expected.spikes[i]).length : Number.NaN,
    rates: relativeDifference(rates ?? [], expected.rates),
    dx: relativeDifference(dx ?? [], expected.dx), dGain: relativeDifference(dGain ?? [], expected.dGain), dBias: relativeDifference(dBias ?? [], expected.dBias),
  };
}
