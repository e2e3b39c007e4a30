import type { LifNeuron } from '../../src/core/ops/lif.js';

/** A site's input and what its neurons do with it; vectors are numbered token · T + t. */
export interface FiringSite {
  /** (N·T, width) currents before gain and bias. */ readonly x: Float32Array;
  readonly width: number;
  /** (width), or null for 1. */ readonly gain: Float32Array | null;
  /** (width) */ readonly bias: Float32Array;
  /** The neuron sees −x. */ readonly negate?: boolean;
}

/** Where a site's spikes go: columns `offset` … `offset + width − 1` of rows of `stride` numbers. */
export interface SpikeTarget { readonly spikes: Float32Array; readonly stride: number; readonly offset: number }

/** Membrane that the next step starts from. */
export function carry(u: number, fired: boolean, { decay, threshold, reset }: LifNeuron): number {
  if (reset === 'hard') return fired ? 0 : decay * u;
  const lowered = fired ? threshold : 0;
  return reset === 'soft' ? decay * u - lowered : decay * (u - lowered);
}

/** Leaky integrate-and-fire over the T steps of every token and channel, one plain loop: spikes 0 or 1; returns how many fired. */
export function fireLoop(site: FiringSite, neuron: LifNeuron, target: SpikeTarget): number {
  const { x, width, gain, bias } = site;
  const { timeSteps, threshold } = neuron;
  const sign = site.negate === true ? -1 : 1;
  const membrane = new Float32Array(width);
  const vectors = x.length / width;
  let count = 0;
  for (let v = 0; v < vectors; v++) {
    const isFirst = v % timeSteps === 0;
    const row = v * target.stride + target.offset;
    for (let c = 0; c < width; c++) {
      const scaled = sign * (x[v * width + c] as number) * (gain === null ? 1 : (gain[c] as number));
      const u = scaled + (bias[c] as number) + (isFirst ? 0 : (membrane[c] as number));
      const fired = u >= threshold;
      target.spikes[row + c] = fired ? 1 : 0;
      membrane[c] = carry(u, fired, neuron);
      if (fired) count++;
    }
  }
  return count;
}
