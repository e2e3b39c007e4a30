import type { NamedAttrMap } from '@tensorflow/tfjs-core';

import { BackendError } from '../../errors.js';
import type { UniformType } from './dispatch.js';

const RESETS = ['soft', 'soft-leaked', 'hard'] as const;
const SURROGATES = ['atan', 'sigmoid', 'triangle'] as const;

/** What of a leaky integrate-and-fire neuron is written into the code, and the numbers that are not. */
export interface GpuNeuron {
  /** T */ readonly timeSteps: number;
  readonly reset: (typeof RESETS)[number];
  readonly surrogate: (typeof SURROGATES)[number];
  readonly detachReset: boolean;
  /** decay, threshold and width of the surrogate, as `NEURON_UNIFORMS` declares them. */ readonly numbers: readonly [decay: number, threshold: number, alpha: number];
}

/** What a value is in the code: one float, or four neighbouring ones where the rows are whole multiples of four. */
export type GpuValue = 'f32' | 'vec4f';

/** Uniforms that `neuronCode` reads. */
export const NEURON_UNIFORMS: ReadonlyArray<readonly [name: string, type: UniformType]> = [['decay', 'f32'], ['threshold', 'f32'], ['alpha', 'f32']];

/** @throws BackendError for a reset or surrogate the kernels do not know. */
export function neuronOf(attrs: NamedAttrMap | undefined): GpuNeuron {
  return {
    timeSteps: Number(attrs?.['timeSteps']), detachReset: attrs?.['detachReset'] === true,
    reset: known(RESETS, attrs, 'reset'), surrogate: known(SURROGATES, attrs, 'surrogate'),
    numbers: [Number(attrs?.['decay']), Number(attrs?.['threshold']), Number(attrs?.['alpha'])],
  };
}

function known<Name extends string>(names: readonly Name[], attrs: NamedAttrMap | undefined, key: string): Name {
  const name = names.find((candidate) => candidate === attrs?.[key]);
  if (name === undefined) throw new BackendError(`the webgpu kernels know ${names.join(', ')} as ${key}, not "${String(attrs?.[key])}"`);
  return name;
}

/**
 * WGSL of a neuron on values of type `V`, which it declares: `spikeOf(u)` = [u ≥ threshold], `carried(u, s)` what remains of the membrane one
 * step later, and `membraneGradient(ds, u, later)`, the gradient with respect to u[t] from that of s[t] and that of u[t + 1] (`later`, 0 at
 * the last step); the equations are those of ops/lif.ts. WGSL lets a device fuse a product and a sum, which moves a membrane by a rounding:
 * a spike may differ from another backend's where |u − threshold| < 1e-5, and nowhere else.
 */
export function neuronCode(neuron: GpuNeuron, value: GpuValue): string {
  return `alias V = ${value};
fn spikeOf(u: V) -> V { return select(V(0), V(1), u >= V(uniforms.threshold)); }
fn carried(u: V, s: V) -> V { return ${CARRIED[neuron.reset]}; }
fn slopeOf(x: V) -> V { ${SLOPES[neuron.surrogate]} }
fn membraneGradient(ds: V, u: V, later: V) -> V {
  let kept = ${neuron.reset === 'hard' ? 'select(V(0), later * uniforms.decay, u < V(uniforms.threshold))' : 'later * uniforms.decay'};
  let all = ${neuron.detachReset ? 'ds' : `ds - later * ${RESET_SLOPES[neuron.reset]}`};
  return all * slopeOf(u - V(uniforms.threshold)) + kept;
}
`;
}

const CARRIED: Readonly<Record<GpuNeuron['reset'], string>> = {
  soft: 'u * uniforms.decay - s * uniforms.threshold',
  'soft-leaked': '(u - s * uniforms.threshold) * uniforms.decay',
  hard: 'u * uniforms.decay * (V(1) - s)',
};

/** −∂u[t+1]/∂s[t] */
const RESET_SLOPES: Readonly<Record<GpuNeuron['reset'], string>> = {
  soft: 'uniforms.threshold', 'soft-leaked': '(uniforms.decay * uniforms.threshold)', hard: '(u * uniforms.decay)',
};

/** σ(z)·(1 − σ(z)) = e/(1 + e)² with e = exp(−|z|) neither overflows nor cancels. */
const SLOPES: Readonly<Record<GpuNeuron['surrogate'], string>> = {
  atan: 'let z = x * (1.5707963267948966 * uniforms.alpha); return V(0.5 * uniforms.alpha) / (V(1) + z * z);',
  sigmoid: 'let e = exp(-abs(x * uniforms.alpha)); return uniforms.alpha * (e / ((V(1) + e) * (V(1) + e)));',
  triangle: 'return uniforms.alpha * max(V(0), V(1) - uniforms.alpha * abs(x));',
};
