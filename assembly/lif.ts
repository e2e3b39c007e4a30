import { carriedMembrane, fire, membraneGradient } from './neuron';
import { loadFloats, storeFloats } from './simd';

/**
 * Spikes and membranes (T, rows, E) of x (T, rows, C), or (1, rows, C) when `constant`. The current is gain·x + bias; with
 * `onOff` E = 2C and the second half sees −x.
 */
export function lif(
  x: usize, gain: usize, bias: usize, spikes: usize, membrane: usize,
  timeSteps: i32, constant: bool, rows: i32, channels: i32, onOff: bool, decay: f32, threshold: f32, reset: i32,
): void {
  const halves = onOff ? 2 : 1;
  const rowX = (<usize>channels) << 2;
  const rowE = rowX * halves;
  const stepX: usize = constant ? 0 : rowX * rows;
  const stepE = rowE * rows;
  for (let row = 0; row < rows; row++) {
    for (let half = 0; half < halves; half++) {
      const at = <usize>half * rowX;
      lifChannels(
        x + <usize>row * rowX, gain + at, bias + at, spikes + <usize>row * rowE + at, membrane + <usize>row * rowE + at,
        timeSteps, stepX, stepE, channels, half == 1, decay, threshold, reset,
      );
    }
  }
}

function lifChannels(
  x: usize, gain: usize, bias: usize, spikes: usize, membrane: usize,
  timeSteps: i32, stepX: usize, stepE: usize, channels: i32, negative: bool, decay: f32, threshold: f32, reset: i32,
): void {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold);
  const sign = i32x4.splat(negative ? <i32>0x80000000 : 0);
  for (let c = 0; c < channels; c += 4) {
    const lanes = channels - c;
    const at = (<usize>c) << 2;
    const g = loadFloats(gain + at, lanes), b = loadFloats(bias + at, lanes);
    let carried = f32x4.splat(0);
    let from = x + at;
    let to = at;
    for (let t = 0; t < timeSteps; t++) {
      const current = f32x4.add(f32x4.mul(v128.xor(loadFloats(from, lanes), sign), g), b);
      const u = f32x4.add(current, carried);
      const s = fire(u, thresholds);
      storeFloats(membrane + to, u, lanes);
      storeFloats(spikes + to, s, lanes);
      carried = carriedMembrane(u, s, decays, thresholds, reset);
      from += stepX;
      to += stepE;
    }
  }
}

/** Gradients of `lif`: dx (like x), dGain (E), dBias (E), from dy and the membranes (T, rows, E). */
export function lifGrad(
  dy: usize, x: usize, gain: usize, membrane: usize, dx: usize, dGain: usize, dBias: usize,
  timeSteps: i32, constant: bool, rows: i32, channels: i32, onOff: bool,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool,
): void {
  const halves = onOff ? 2 : 1;
  const rowX = (<usize>channels) << 2;
  const rowE = rowX * halves;
  const stepX: usize = constant ? 0 : rowX * rows;
  memory.fill(dGain, 0, rowE);
  memory.fill(dBias, 0, rowE);
  for (let row = 0; row < rows; row++) {
    for (let half = 0; half < halves; half++) {
      const at = <usize>half * rowX;
      const inE = <usize>row * rowE + at;
      lifGradChannels(
        dy + inE, x + <usize>row * rowX, gain + at, membrane + inE, dx + <usize>row * rowX, dGain + at, dBias + at,
        timeSteps, stepX, rowE * rows, channels, half == 1, decay, threshold, reset, surrogate, alpha, detach,
      );
    }
  }
}

function lifGradChannels(
  dy: usize, x: usize, gain: usize, membrane: usize, dx: usize, dGain: usize, dBias: usize,
  timeSteps: i32, stepX: usize, stepE: usize, channels: i32, negative: bool,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool,
): void {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold);
  const sign = i32x4.splat(negative ? <i32>0x80000000 : 0);
  const last = <usize>(timeSteps - 1);
  for (let c = 0; c < channels; c += 4) {
    const lanes = channels - c;
    const at = (<usize>c) << 2;
    const g = v128.xor(loadFloats(gain + at, lanes), sign);
    let du = f32x4.splat(0), sum = du, gainSum = du;
    let inE = at + last * stepE;
    let inX = at + last * stepX;
    for (let t = timeSteps - 1; t >= 0; t--) {
      du = membraneGradient(
        loadFloats(dy + inE, lanes), loadFloats(membrane + inE, lanes), du,
        decays, thresholds, reset, surrogate, alpha, detach,
      );
      sum = f32x4.add(sum, du);
      if (stepX != 0) {
        gainSum = f32x4.add(gainSum, f32x4.mul(du, loadFloats(x + inX, lanes)));
        storeGradient(dx + inX, f32x4.mul(du, g), negative, lanes);
      }
      inE -= stepE;
      inX -= stepX;
    }
    if (stepX == 0) {
      gainSum = f32x4.mul(sum, loadFloats(x + at, lanes));
      storeGradient(dx + at, f32x4.mul(sum, g), negative, lanes);
    }
    storeFloats(dGain + at, f32x4.add(loadFloats(dGain + at, lanes), v128.xor(gainSum, sign)), lanes);
    storeFloats(dBias + at, f32x4.add(loadFloats(dBias + at, lanes), sum), lanes);
  }
}

/** The second half of an on/off pair adds to what the first has stored. */
// @ts-ignore: decorator
@inline
function storeGradient(to: usize, value: v128, second: bool, lanes: i32): void {
  storeFloats(to, second ? f32x4.add(loadFloats(to, lanes), value) : value, lanes);
}
