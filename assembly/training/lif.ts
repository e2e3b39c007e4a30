import { carriedMembrane, fire, membraneGradient, RESET_SOFT, SURROGATE_ATAN } from './neuron';
import { loadFloats, storeFloats } from './simd';

/** Bytes of scratch `lif` and `lifGrad` need: a float per neuron, then one vector per time step. */
export function lifScratchBytes(timeSteps: i32, neurons: i32): usize {
  return ((<usize>neurons) << 2) + ((<usize>timeSteps) << 4);
}

/**
 * Spikes (T, rows, E) of x (T, rows, C), or (1, rows, C) when `constant`, and the mean firing rate of each of `groups` equal blocks of
 * the E neurons. The current is gain·x + bias, or x where both are null; with `onOff` E = 2C and the second half sees −x.
 */
export function lif(
  x: usize, gain: usize, bias: usize, spikes: usize, rates: usize,
  timeSteps: i32, constant: bool, rows: i32, channels: i32, onOff: bool, groups: i32, decay: f32, threshold: f32, reset: i32, scratch: usize,
): void {
  const halves = onOff ? 2 : 1;
  const rowX = (<usize>channels) << 2;
  const rowE = rowX * halves;
  const stepX: usize = constant ? 0 : rowX * rows;
  memory.fill(scratch, 0, rowE);
  for (let row = 0; row < rows; row++) {
    for (let half = 0; half < halves; half++) {
      const at = <usize>half * rowX;
      lifChannels(
        x + <usize>row * rowX, gain + at, bias + at, spikes + <usize>row * rowE + at, scratch + at,
        timeSteps, stepX, rowE * rows, channels, gain == 0, half == 1, decay, threshold, reset,
      );
    }
  }
  groupRates(scratch, rates, channels * halves, groups, <f64>timeSteps * <f64>rows);
}

function lifChannels(
  x: usize, gain: usize, bias: usize, spikes: usize, counts: usize,
  timeSteps: i32, stepX: usize, stepE: usize, channels: i32, plain: bool, negative: bool, decay: f32, threshold: f32, reset: i32,
): void {
  const whole = channels & ~3;
  let c = 0;
  if (reset == RESET_SOFT) {
    // The usual neurons, compiled for themselves.
    if (plain) {
      for (; c < whole; c += 4) {
        const at = (<usize>c) << 2;
        lifVector(x + at, 0, 0, spikes + at, counts + at, timeSteps, stepX, stepE, 4, true, false, decay, threshold, RESET_SOFT);
      }
    }
    for (; c < whole; c += 4) {
      const at = (<usize>c) << 2;
      lifVector(x + at, gain + at, bias + at, spikes + at, counts + at, timeSteps, stepX, stepE, 4, false, negative, decay, threshold, RESET_SOFT);
    }
  }
  for (; c < channels; c += 4) {
    const at = (<usize>c) << 2;
    lifVector(
      x + at, gain + at, bias + at, spikes + at, counts + at, timeSteps, stepX, stepE, channels - c, plain, negative, decay, threshold, reset,
    );
  }
}

// @ts-ignore: decorator
@inline
function lifVector(
  x: usize, gain: usize, bias: usize, spikes: usize, counts: usize,
  timeSteps: i32, stepX: usize, stepE: usize, lanes: i32, plain: bool, negative: bool, decay: f32, threshold: f32, reset: i32,
): void {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold);
  const sign = i32x4.splat(negative ? <i32>0x80000000 : 0);
  const g = plain ? sign : v128.xor(loadFloats(gain, lanes), sign), b = plain ? sign : loadFloats(bias, lanes);
  let carried = f32x4.splat(0), count = loadFloats(counts, lanes);
  for (let t = 0; t < timeSteps; t++) {
    const u = charge(loadFloats(x, lanes), g, b, carried, plain);
    const s = fire(u, thresholds);
    storeFloats(spikes, s, lanes);
    count = f32x4.add(count, s);
    carried = carriedMembrane(u, s, decays, thresholds, reset);
    x += stepX;
    spikes += stepE;
  }
  storeFloats(counts, count, lanes);
}

// @ts-ignore: decorator
@inline
function charge(x: v128, gain: v128, bias: v128, carried: v128, plain: bool): v128 {
  return plain ? f32x4.add(x, carried) : f32x4.add(f32x4.add(f32x4.mul(x, gain), bias), carried);
}

/** y (n) = how often a neuron without gain and bias fires in `timeSteps` steps of the constant current x (n), as a share of the steps. */
export function rateCode(x: usize, y: usize, n: i32, timeSteps: i32, decay: f32, threshold: f32, reset: i32): void {
  const whole = n & ~3;
  let i = 0;
  if (reset == RESET_SOFT) {
    for (; i < whole; i += 4) {
      const at = (<usize>i) << 2;
      v128.store(y + at, rateVector(v128.load(x + at), timeSteps, decay, threshold, RESET_SOFT));
    }
  }
  for (; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, rateVector(loadFloats(x + at, n - i), timeSteps, decay, threshold, reset), n - i);
  }
}

// @ts-ignore: decorator
@inline
export function rateVector(x: v128, timeSteps: i32, decay: f32, threshold: f32, reset: i32): v128 {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold);
  let carried = f32x4.splat(0), count = carried;
  for (let t = 0; t < timeSteps; t++) {
    const u = f32x4.add(x, carried);
    const s = fire(u, thresholds);
    count = f32x4.add(count, s);
    carried = carriedMembrane(u, s, decays, thresholds, reset);
  }
  return f32x4.div(count, f32x4.splat(<f32>timeSteps));
}

/** Per block of neurons: its spike counts, whole numbers, added up and divided by its chances to fire. */
function groupRates(counts: usize, rates: usize, neurons: i32, groups: i32, chances: f64): void {
  const size = neurons / groups;
  for (let group = 0; group < groups; group++) {
    let sum: f64 = 0;
    for (let i = 0; i < size; i++) sum += <f64>load<f32>(counts + ((<usize>(group * size + i)) << 2));
    store<f32>(rates + ((<usize>group) << 2), <f32>(sum / (chances * <f64>size)));
  }
}

/**
 * Gradients of `lif`: dx (like x), dGain (E), dBias (E), from those of its spikes and rates. The membranes are computed once more: that
 * takes less time than reading them back from memory. Where gain and bias are null, their gradients are not computed.
 */
export function lifGrad(
  dSpikes: usize, dRates: usize, x: usize, gain: usize, bias: usize, dx: usize, dGain: usize, dBias: usize,
  timeSteps: i32, constant: bool, rows: i32, channels: i32, onOff: bool, groups: i32,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool, scratch: usize,
): void {
  const halves = onOff ? 2 : 1;
  const rowX = (<usize>channels) << 2;
  const rowE = rowX * halves;
  const stepX: usize = constant ? 0 : rowX * rows;
  if (gain != 0) {
    memory.fill(dGain, 0, rowE);
    memory.fill(dBias, 0, rowE);
  }
  spreadRates(dRates, scratch, channels * halves, groups, <f64>timeSteps * <f64>rows);
  for (let row = 0; row < rows; row++) {
    for (let half = 0; half < halves; half++) {
      const at = <usize>half * rowX;
      lifGradChannels(
        dSpikes + <usize>row * rowE + at, scratch + at, x + <usize>row * rowX, gain + at, bias + at,
        dx + <usize>row * rowX, dGain + at, dBias + at, scratch + rowE,
        timeSteps, stepX, rowE * rows, channels, gain == 0, half == 1, decay, threshold, reset, surrogate, alpha, detach,
      );
    }
  }
}

/** What one spike of each neuron adds to the loss through the rate of its block. */
function spreadRates(dRates: usize, perSpike: usize, neurons: i32, groups: i32, chances: f64): void {
  const size = neurons / groups;
  for (let i = 0; i < neurons; i++) {
    const rate = <f64>load<f32>(dRates + ((<usize>(i / size)) << 2));
    store<f32>(perSpike + ((<usize>i) << 2), <f32>(rate / (chances * <f64>size)));
  }
}

function lifGradChannels(
  dSpikes: usize, perSpike: usize, x: usize, gain: usize, bias: usize, dx: usize, dGain: usize, dBias: usize, membranes: usize,
  timeSteps: i32, stepX: usize, stepE: usize, channels: i32, plain: bool, negative: bool,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool,
): void {
  const whole = channels & ~3;
  let c = 0;
  if (reset == RESET_SOFT && surrogate == SURROGATE_ATAN && detach) {
    // The usual neurons, compiled for themselves: half the time of the general form.
    if (plain) {
      for (; c < whole; c += 4) {
        const at = (<usize>c) << 2;
        lifGradVector(
          dSpikes + at, perSpike + at, x + at, 0, 0, dx + at, 0, 0, membranes,
          timeSteps, stepX, stepE, 4, true, false, decay, threshold, RESET_SOFT, SURROGATE_ATAN, alpha, true,
        );
      }
    }
    for (; c < whole; c += 4) {
      const at = (<usize>c) << 2;
      lifGradVector(
        dSpikes + at, perSpike + at, x + at, gain + at, bias + at, dx + at, dGain + at, dBias + at, membranes,
        timeSteps, stepX, stepE, 4, false, negative, decay, threshold, RESET_SOFT, SURROGATE_ATAN, alpha, true,
      );
    }
  }
  for (; c < channels; c += 4) {
    const at = (<usize>c) << 2;
    lifGradVector(
      dSpikes + at, perSpike + at, x + at, gain + at, bias + at, dx + at, dGain + at, dBias + at, membranes,
      timeSteps, stepX, stepE, channels - c, plain, negative, decay, threshold, reset, surrogate, alpha, detach,
    );
  }
}

// @ts-ignore: decorator
@inline
function lifGradVector(
  dSpikes: usize, perSpike: usize, x: usize, gain: usize, bias: usize, dx: usize, dGain: usize, dBias: usize, membranes: usize,
  timeSteps: i32, stepX: usize, stepE: usize, lanes: i32, plain: bool, negative: bool,
  decay: f32, threshold: f32, reset: i32, surrogate: i32, alpha: f32, detach: bool,
): void {
  const decays = f32x4.splat(decay), thresholds = f32x4.splat(threshold);
  const sign = i32x4.splat(negative ? <i32>0x80000000 : 0);
  const last = timeSteps - 1;
  const g = plain ? sign : v128.xor(loadFloats(gain, lanes), sign), b = plain ? sign : loadFloats(bias, lanes), fromRate = loadFloats(perSpike, lanes);
  let inX = x;
  let carried = f32x4.splat(0);
  for (let t = 0; t < last; t++) {
    const u = charge(loadFloats(inX, lanes), g, b, carried, plain);
    v128.store(membranes + ((<usize>t) << 4), u);
    carried = carriedMembrane(u, fire(u, thresholds), decays, thresholds, reset);
    inX += stepX;
  }
  let u = charge(loadFloats(inX, lanes), g, b, carried, plain);
  let inE = dSpikes + <usize>last * stepE;
  let to = dx + <usize>last * stepX;
  let du = f32x4.splat(0), sum = du, gainSum = du;
  for (let t = last; ; t--) {
    du = membraneGradient(f32x4.add(loadFloats(inE, lanes), fromRate), u, du, decays, thresholds, reset, surrogate, alpha, detach);
    sum = f32x4.add(sum, du);
    if (stepX != 0) {
      if (!plain) gainSum = f32x4.add(gainSum, f32x4.mul(du, loadFloats(inX, lanes)));
      storeGradient(to, plain ? du : f32x4.mul(du, g), negative, lanes);
    }
    if (t == 0) break;
    u = v128.load(membranes + ((<usize>(t - 1)) << 4));
    inE -= stepE;
    inX -= stepX;
    to -= stepX;
  }
  if (stepX == 0) {
    if (!plain) gainSum = f32x4.mul(sum, loadFloats(x, lanes));
    storeGradient(dx, plain ? sum : f32x4.mul(sum, g), negative, lanes);
  }
  if (plain) return;
  storeFloats(dGain, f32x4.add(loadFloats(dGain, lanes), v128.xor(gainSum, sign)), lanes);
  storeFloats(dBias, f32x4.add(loadFloats(dBias, lanes), sum), lanes);
}

/** The second half of an on/off pair adds to what the first has stored. */
// @ts-ignore: decorator
@inline
function storeGradient(to: usize, value: v128, second: bool, lanes: i32): void {
  storeFloats(to, second ? f32x4.add(loadFloats(to, lanes), value) : value, lanes);
}
