/* eslint-disable max-params -- a kernel takes what its WebAssembly twin takes: numbers, in the order of the contract. */
import type { MemoryViews, ReferenceKernel } from './reference-memory.js';
import { at } from './reference-memory.js';

const { fround } = Math;

/** Writes (current(c) + position[c])·gain to every time step of a token's stream. */
function embed(memory: MemoryViews, token: { position: number; gain: number; stream: number; width: number; timeSteps: number }, current: (c: number) => number): void {
  const { f32 } = memory;
  const [gain, stream] = [fround(token.gain), token.stream >>> 2];
  for (let c = 0; c < token.width; c++) {
    const x = fround(fround(current(c) + at(f32, (token.position >>> 2) + c)) * gain);
    for (let t = 0; t < token.timeSteps; t++) f32[stream + t * token.width + c] = x;
  }
}

/** @see EngineKernels.embedInt8 */
export const embedInt8: ReferenceKernel<'embedInt8'> = (memory, row, scale, position, gain, stream, width, timeSteps) => {
  const unit = fround(scale);
  embed(memory, { position, gain, stream, width, timeSteps }, (c) => fround(at(memory.i8, row + c) * unit));
};

/** @see EngineKernels.embedFloat */
export const embedFloat: ReferenceKernel<'embedFloat'> = (memory, row, position, gain, stream, width, timeSteps) => {
  embed(memory, { position, gain, stream, width, timeSteps }, (c) => at(memory.f32, (row >>> 2) + c));
};

/** Mean over time of one channel, float32. */
function timeMean(f32: Float32Array, first: number, steps: { readonly timeSteps: number; readonly stride: number }): number {
  let sum = 0;
  for (let t = 0; t < steps.timeSteps; t++) sum = fround(sum + at(f32, first + t * steps.stride));
  return fround(sum / steps.timeSteps);
}

/** @see EngineKernels.readout */
export const readout: ReferenceKernel<'readout'> = (memory, stream, timeSteps, channels, stride, weight, bias, epsilon, out) => {
  const { f32 } = memory;
  const means = Array.from({ length: channels }, (_, c) => timeMean(f32, (stream >>> 2) + c, { timeSteps, stride }));
  const mean = means.reduce((sum, m) => sum + m, 0) / channels;
  const variance = means.reduce((sum, m) => sum + (m - mean) * (m - mean), 0) / channels;
  const r = 1 / Math.sqrt(variance + epsilon);
  means.forEach((m, c) => {
    const scaled = fround(fround((m - mean) * r) * at(f32, (weight >>> 2) + c));
    f32[(out >>> 2) + c] = fround(scaled + at(f32, (bias >>> 2) + c));
  });
  f32.fill(0, (out >>> 2) + channels, (out >>> 2) + stride);
};

/** The nearest whole number, of two equally near the even one. */
function nearestEven(x: number): number {
  const below = Math.floor(x);
  const past = x - below;
  if (past !== 0.5) return past < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** @see EngineKernels.quantise */
export const quantise: ReferenceKernel<'quantise'> = (memory, x, width, limit, out) => {
  const values = memory.f32.subarray(x >>> 2, (x >>> 2) + width);
  const target = memory.i16.subarray(out >>> 1, (out >>> 1) + width);
  const largest = values.reduce((m, value) => Math.max(m, Math.abs(value)), 0);
  if (largest === 0) {
    target.fill(0);
    return 0;
  }
  const units = fround(limit / largest);
  values.forEach((value, c) => { target[c] = nearestEven(fround(value * units)); });
  return fround(largest / limit);
};

/** @see EngineKernels.headInt8 */
export const headInt8: ReferenceKernel<'headInt8'> = (memory, x, xScales, tokens, weights, scales, from, to, logits, width, vocabSize) => {
  const { i8, i16, f32 } = memory;
  for (let n = 0; n < tokens; n++) {
    const input = (x >>> 1) + n * width;
    const unit = at(f32, (xScales >>> 2) + n);
    for (let row = from; row < to; row++) {
      let dot = 0;
      for (let c = 0; c < width; c++) dot += at(i16, input + c) * at(i8, weights + row * width + c);
      const scale = fround(unit * at(f32, (scales >>> 2) + row));
      f32[(logits >>> 2) + n * vocabSize + row] = fround(fround(dot) * scale);
    }
  }
};

/** @see EngineKernels.headFloat */
export const headFloat: ReferenceKernel<'headFloat'> = (memory, x, tokens, weights, from, to, logits, width, vocabSize) => {
  const { f32 } = memory;
  const lanes = new Float32Array(4);
  for (let n = 0; n < tokens; n++) {
    const input = (x >>> 2) + n * width;
    for (let row = from; row < to; row++) {
      const weight = (weights >>> 2) + row * width;
      lanes.fill(0);
      for (let c = 0; c < width; c++) lanes[c & 3] = at(lanes, c & 3) + fround(at(f32, input + c) * at(f32, weight + c));
      f32[(logits >>> 2) + n * vocabSize + row] = fround(at(lanes, 0) + at(lanes, 2)) + fround(at(lanes, 1) + at(lanes, 3));
    }
  }
};
