import type { GpuLifLayer } from './lif.js';
import type { GpuNeuron } from './neuron.js';
import { neuronCode } from './neuron.js';
import { GROUP, MAIN, overGroup } from './sums.js';

/** WGSL of the neurons' kernels. Membranes live in registers, so the T steps are written out one after another. */

/** Invocations of a workgroup; they share nothing. */
export const LIF_GROUP = 64;

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const joined = (items: readonly number[], line: (item: number) => string): string => items.map(line).join('\n    ');
/** The second half of an on/off pair sees −x. */
const signOf = (half: number): string => (half === 1 ? '-' : '');
const halvesOf = ({ onOff }: GpuLifLayer): number[] => range(onOff ? 2 : 1);

/** Opens the entry point: each invocation has the lane `lane` of the rows from `first` to before `last`. `E` is the lanes of all neurons. */
const openMain = (layer: GpuLifLayer): string => `@compute @workgroup_size(${LIF_GROUP})
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (at.x + at.y * spread.x) * ${LIF_GROUP}u + local;
  if (i >= uniforms.lanes * uniforms.blocks) { return; }
  let lane = i % uniforms.lanes;
  let block = i / uniforms.lanes;
  let E = uniforms.lanes * ${layer.onOff ? 2 : 1}u;
  let last = min(uniforms.rows, (block + 1u) * uniforms.rowsEach);
  ${joined(halvesOf(layer), (half) => `let g${half} = ${signOf(half)}gain[lane + ${half}u * uniforms.lanes]; let b${half} = bias[lane + ${half}u * uniforms.lanes];`)}
`;

/** x at every time step; a constant one is read once. */
const readX = ({ neuron, constant }: GpuLifLayer): string =>
  joined(range(constant ? 1 : neuron.timeSteps), (t) => `let x${t} = x[(${t}u * uniforms.rows + row) * uniforms.lanes + lane];`);

const spikeAt = (t: number, half: number): string => `(${t}u * uniforms.rows + row) * E + lane + ${half}u * uniforms.lanes`;

/** u_t of one half as `u` + half + `_` + t, from x, gain, bias and what is carried over. */
function charge({ constant }: GpuLifLayer, half: number, t: number): string {
  const current = `x${constant ? 0 : t} * g${half} + b${half}`;
  return t === 0 ? `let u${half}_0 = ${current};` : `let u${half}_${t} = ${current} + carried(u${half}_${t - 1}, spikeOf(u${half}_${t - 1}));`;
}

/** Writes the spikes and, per block of rows and neuron, how many there were. */
export function lifCode(layer: GpuLifLayer): string {
  const [halves, steps] = [halvesOf(layer), range(layer.neuron.timeSteps)];
  const zero = layer.value === 'f32' ? '0u' : 'vec4u(0)';
  const one = layer.value === 'f32' ? '1u' : 'vec4u(1)';
  const fire = (half: number): string => steps.map((t) => `${charge(layer, half, t)}
    spikes[${spikeAt(t, half)}] = spikeOf(u${half}_${t}); n${half} += select(${zero}, ${one}, u${half}_${t} >= V(uniforms.threshold));`).join('\n    ');
  return `${neuronCode(layer.neuron, layer.value)}${openMain(layer)}
  ${joined(halves, (half) => `var n${half} = ${zero};`)}
  for (var row = block * uniforms.rowsEach; row < last; row++) {
    ${readX(layer)}
    ${joined(halves, fire)}
  }
  ${joined(halves, (half) => `counts[block * E + lane + ${half}u * uniforms.lanes] = n${half};`)}
}`;
}

/** Writes dx, and the sums of the gradients of gain and bias per block of rows. The membranes are computed once more. */
export function lifGradCode(layer: GpuLifLayer): string {
  const { constant, value, neuron } = layer;
  const steps = range(neuron.timeSteps);
  const fromRate = value === 'f32' ? 'rateOf(e)' : 'vec4f(rateOf(4u * e), rateOf(4u * e + 1u), rateOf(4u * e + 2u), rateOf(4u * e + 3u))';
  const step = (half: number, t: number): string => {
    const later = t === neuron.timeSteps - 1 ? 'V(0)' : `d${half}_${t + 1}`;
    const at = constant ? 0 : t;
    return `let d${half}_${t} = membraneGradient(dSpikes[${spikeAt(t, half)}] + r${half}, u${half}_${t}, ${later});
    c${half} += d${half}_${t}; w${half} += d${half}_${t} * x${at}; o${at} += d${half}_${t} * g${half};`;
  };
  const half = (h: number): string => `${steps.map((t) => charge(layer, h, t)).join('\n    ')}
    ${[...steps].reverse().map((t) => step(h, t)).join('\n    ')}`;
  const inputs = range(constant ? 1 : neuron.timeSteps);
  return `${neuronCode(neuron, value)}
fn rateOf(e: u32) -> f32 { return dRates[e / uniforms.size] / uniforms.chances; }
fn ratesOf(e: u32) -> V { return ${fromRate}; }
${openMain(layer)}
  ${joined(halvesOf(layer), (h) => `let r${h} = ratesOf(lane + ${h}u * uniforms.lanes); var c${h} = V(0); var w${h} = V(0);`)}
  for (var row = block * uniforms.rowsEach; row < last; row++) {
    ${readX(layer)}
    ${joined(inputs, (t) => `var o${t} = V(0);`)}
    ${joined(halvesOf(layer), half)}
    ${joined(inputs, (t) => `dx[(${t}u * uniforms.rows + row) * uniforms.lanes + lane] = o${t};`)}
  }
  ${joined(halvesOf(layer), (h) => `dGain[block * E + lane + ${h}u * uniforms.lanes] = ${signOf(h)}w${h}; dBias[block * E + lane + ${h}u * uniforms.lanes] = c${h};`)}
}`;
}

/** One workgroup per group of neurons: its counts, whole numbers, divided by its chances to fire. */
export function ratesCode(): string {
  return `${overGroup('total', 'u32')}
${MAIN}
  var count = 0u;
  for (var i = local; i < uniforms.blocks * uniforms.size; i += ${GROUP}u) {
    count += counts[i / uniforms.size * uniforms.neurons + group * uniforms.size + i % uniforms.size];
  }
  count = total(count, local);
  if (local == 0u) { rates[group] = f32(count) / uniforms.chances; }
}`;
}

/** The share of the T steps in which a constant current fires. */
export function rateCodeCode(neuron: GpuNeuron): string {
  const steps = range(neuron.timeSteps);
  return `${neuronCode(neuron, 'f32')}
@compute @workgroup_size(${LIF_GROUP})
fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) spread: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (at.x + at.y * spread.x) * ${LIF_GROUP}u + local;
  if (i >= uniforms.count) { return; }
  let current = x[i];
  ${joined(steps, (t) => `let u${t} = current${t === 0 ? '' : ` + carried(u${t - 1}, spikeOf(u${t - 1}))`};`)}
  rates[i] = (${steps.map((t) => `spikeOf(u${t})`).join(' + ')}) / ${neuron.timeSteps}.0;
}`;
}
