import type { ResetKind } from '../../src/core/ops/lif.js';
import { RESET_CODES } from '../../src/core/engine/kernels.js';
import { neuronForward } from './lif-reference.js';

/** Inputs at which a neuron just changes its mind, so that one operation rounded otherwise shows in its spikes. */

export interface EdgeNeuron {
  readonly timeSteps: number;
  readonly decay: number;
  readonly threshold: number;
  /** A value of `RESET_CODES`. */ readonly reset: number;
}

export interface EdgeSearch {
  /** Current that an input makes at a time step. */ readonly current: (input: number, t: number) => number;
  /** To the inputs that exist: float32 or whole numbers. */ readonly round: (input: number) => number;
  readonly low: number;
  readonly high: number;
}

function spikesOf(neuron: EdgeNeuron, currents: readonly number[]): string {
  const reset = (Object.keys(RESET_CODES) as ResetKind[]).find((kind) => RESET_CODES[kind] === neuron.reset) ?? 'soft';
  const attrs = { ...neuron, reset, surrogate: 'atan', alpha: 2, detachReset: false } as const;
  return neuronForward(currents, attrs).s.join('');
}

/** Two neighbouring inputs between `low` and `high` whose spikes differ, or the two ends when theirs do not. */
export function findEdge(neuron: EdgeNeuron, search: EdgeSearch): readonly [number, number] {
  let [low, high] = [search.round(search.low), search.round(search.high)];
  const steps = Array.from({ length: neuron.timeSteps }, (_, t) => t);
  const fires = (input: number): string => spikesOf(neuron, steps.map((t) => search.current(input, t)));
  const below = fires(low);
  if (below === fires(high)) return [low, high];
  for (;;) {
    const middle = search.round((low + high) / 2);
    if (middle === low || middle === high) return [low, high];
    if (fires(middle) === below) low = middle;
    else high = middle;
  }
}
