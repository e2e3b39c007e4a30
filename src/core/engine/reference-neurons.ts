/* eslint-disable max-params -- a kernel takes what its WebAssembly twin takes: numbers, in the order of the contract. */
import { RESET_CODES } from './kernels.js';
import type { MemoryViews, ReferenceKernel } from './reference-memory.js';
import { at, hasFired } from './reference-memory.js';

const { fround } = Math;

/** What one LIF neuron does between two time steps; float32 values. */
export interface NeuronStep {
  readonly threshold: number;
  readonly decay: number;
  readonly reset: number;
}

/** Membrane carried to the next time step (Eq. 1 and its two variants), every operation rounded. */
export function carriedMembrane(u: number, fired: boolean, { threshold, decay, reset }: NeuronStep): number {
  if (reset === RESET_CODES.hard) return fired ? 0 : fround(decay * u);
  const lowered = fired ? threshold : 0;
  return reset === RESET_CODES.soft ? fround(fround(decay * u) - lowered) : fround(fround(u - lowered) * decay);
}

interface NeuronRows {
  readonly threshold: number;
  readonly from: number;
  readonly to: number;
  readonly tokens: number;
  readonly timeSteps: number;
  readonly decay: number;
  readonly reset: number;
  readonly bits: number;
  readonly words: number;
}

/** Runs the neurons of all tokens and columns, each from rest; `current` is I of a vector and column. */
function fire(memory: MemoryViews, rows: NeuronRows, current: (vector: number, column: number) => number): number {
  const { from, to, timeSteps, reset } = rows;
  const { u32 } = memory;
  const decay = fround(rows.decay);
  const firstHalf = (vector: number): number => (rows.bits >>> 2) + 2 * vector * rows.words;
  for (let v = 0; v < rows.tokens * timeSteps; v++) u32.fill(0, firstHalf(v) + from / 32, firstHalf(v) + to / 32);
  let spikes = 0;
  for (let n = 0; n < rows.tokens; n++) {
    for (let c = from; c < to; c++) {
      const neuron = { threshold: at(memory.f32, (rows.threshold >>> 2) + c), decay, reset };
      let carried = 0;
      for (let t = 0; t < timeSteps; t++) {
        const v = n * timeSteps + t;
        const u = t === 0 ? current(v, c) : fround(current(v, c) + carried);
        const fired = u >= neuron.threshold;
        carried = carriedMembrane(u, fired, neuron);
        if (!fired) continue;
        spikes++;
        const half = firstHalf(v) + (c >>> 5);
        u32[half] = at(u32, half) | (1 << (c & 31));
      }
    }
  }
  return spikes;
}

/** @see EngineKernels.fireInt */
export const fireInt: ReferenceKernel<'fireInt'> = (
  memory, acc, stride, bias, threshold, from, to, tokens, timeSteps, decay, reset, bits, words) => {
  const { i32, f32 } = memory;
  const current = (v: number, c: number): number =>
    fround(fround(at(i32, (acc >>> 2) + v * stride + c)) + at(f32, (bias >>> 2) + c));
  return fire(memory, { threshold, from, to, tokens, timeSteps, decay, reset, bits, words }, current);
};

/** @see EngineKernels.fireFloat */
export const fireFloat: ReferenceKernel<'fireFloat'> = (
  memory, x, stride, bias, threshold, negate, from, to, tokens, timeSteps, decay, reset, bits, words) => {
  const { f32 } = memory;
  const current = (v: number, c: number): number => {
    const [seen, b] = [at(f32, (x >>> 2) + v * stride + c), at(f32, (bias >>> 2) + c)];
    return negate === 0 ? fround(seen + b) : fround(b - seen);
  };
  return fire(memory, { threshold, from, to, tokens, timeSteps, decay, reset, bits, words }, current);
};

/** Visits the columns from … to − 1 of every vector with the index of the vector's column in the stream. */
function forEachColumn(rows: { outputs: number; from: number; to: number; vectors: number }, visit: (index: number, column: number, vector: number) => void): void {
  for (let v = 0; v < rows.vectors; v++) {
    for (let c = rows.from; c < rows.to; c++) visit(v * rows.outputs + c, c, v);
  }
}

/** @see EngineKernels.addCurrentInt */
export const addCurrentInt: ReferenceKernel<'addCurrentInt'> = (memory, acc, scale, bias, stream, outputs, from, to, vectors) => {
  const { i32, f32 } = memory;
  forEachColumn({ outputs, from, to, vectors }, (index, c) => {
    const scaled = fround(fround(at(i32, (acc >>> 2) + index)) * at(f32, (scale >>> 2) + c));
    const current = fround(scaled + at(f32, (bias >>> 2) + c));
    f32[(stream >>> 2) + index] = fround(at(f32, (stream >>> 2) + index) + current);
  });
};

/** @see EngineKernels.addSums */
export const addSums: ReferenceKernel<'addSums'> = (memory, sums, into, outputs, from, to, vectors) => {
  const { i32 } = memory;
  forEachColumn({ outputs, from, to, vectors }, (index) => { i32[(into >>> 2) + index] = at(i32, (into >>> 2) + index) + at(i32, (sums >>> 2) + index); });
};

/** @see EngineKernels.addCurrentFloat */
export const addCurrentFloat: ReferenceKernel<'addCurrentFloat'> = (memory, acc, stream, outputs, from, to, vectors) => {
  const { f32 } = memory;
  forEachColumn({ outputs, from, to, vectors }, (index) => {
    f32[(stream >>> 2) + index] = fround(at(f32, (stream >>> 2) + index) + at(f32, (acc >>> 2) + index));
  });
};

/** @see EngineKernels.addSpikes */
export const addSpikes: ReferenceKernel<'addSpikes'> = (memory, bits, words, stream, outputs, from, to, vectors) => {
  const { f32 } = memory;
  forEachColumn({ outputs, from, to, vectors }, (index, c, v) => {
    const spike = hasFired(memory, bits + 8 * v * words, c) ? 1 : 0;
    f32[(stream >>> 2) + index] = fround(at(f32, (stream >>> 2) + index) + spike);
  });
};
