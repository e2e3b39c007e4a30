/**
 * Our wasm kernels beside what TensorFlow.js itself offers for the same result, interleaved in one run:
 *   npx tsx bench/kernels.bench.ts [--rate 0.10] [--json]
 * Times are medians over rounds with the half-width of their middle half; shapes are those of a d = 64, L = 64, T = 2, B = 16 step.
 */
import { parseArgs } from 'node:util';

import * as tf from '@tensorflow/tfjs-core';

import { selectBackend } from '../src/core/backend/select.js';
import { standardKernel } from '../src/core/backend/wasm-kernels/heap.js';

interface Case {
  readonly name: string;
  /** Floating-point operations of the dense form, 0 where a rate says nothing. */ readonly flops: number;
  readonly ours: () => unknown;
  /** Null where TensorFlow.js has nothing to compare with. */ readonly theirs: (() => unknown) | null;
}

interface Timing { readonly milliseconds: number; readonly spread: number }

const ROUNDS = 15;
const NEURON = { timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', alpha: 2, detachReset: true };
const { values: flags } = parseArgs({ options: { rate: { type: 'string', default: '0.10' }, json: { type: 'boolean', default: false } } });
const RATE = Number(flags.rate);

function ours(name: string, inputs: tf.NamedTensorMap, attrs: tf.NamedAttrMap = {}): () => unknown {
  return () => tf.engine().runKernel(name, inputs, attrs);
}

/** A standard kernel that ours has replaced. */
function theirs(name: string, inputs: tf.NamedTensorMap, attrs: tf.NamedAttrMap = {}): () => unknown {
  const kernel = standardKernel(name);
  const backend = tf.backend();
  return () => {
    const outputs = kernel({ inputs, attrs, backend });
    for (const info of Array.isArray(outputs) ? outputs : [outputs]) backend.disposeData(info.dataId);
  };
}

const spikes = (...shape: number[]): tf.Tensor => tf.cast(tf.less(tf.randomUniform(shape, 0, 1, 'float32', 7), RATE), 'float32');
const normal = (...shape: number[]): tf.Tensor => tf.randomNormal(shape, 0, 1, 'float32', 7);

function product(name: string, [m, k, n]: readonly [number, number, number], attrs: { transposeA: boolean; transposeB: boolean }): Case {
  const inputs = { a: attrs.transposeA ? normal(k, m) : normal(m, k), b: attrs.transposeB ? normal(n, k) : normal(k, n) };
  return { name: `${name} ${m}×${k}×${n}`, flops: 2 * m * k * n, ours: ours('BatchMatMul', inputs, attrs), theirs: theirs('BatchMatMul', inputs, attrs) };
}

function spikeProducts([m, k, n]: readonly [number, number, number]): Case[] {
  const [s, w, b, dy] = [spikes(m, k), normal(k, n), normal(n), normal(m, n)];
  const [plain, transposed] = [{ transposeA: false, transposeB: false }, { transposeA: true, transposeB: false }];
  const pack = (): tf.Tensor => tf.engine().runKernel('BispikPackSpikes', { s }) as tf.Tensor;
  const kept = pack();
  const packAndMultiply = (): unknown => {
    const bits = pack();
    const y = ours('BispikSpikeMatMul', { s: bits, w, b }, { inputs: k })();
    bits.dispose();
    return y;
  };
  return [
    { name: `spikes × weights ${m}×${k}×${n}, packing included`, flops: 2 * m * k * n, ours: packAndMultiply, theirs: theirs('BatchMatMul', { a: s, b: w }, plain) },
    { name: `weight gradient ${m}×${k}×${n}`, flops: 2 * m * k * n, ours: ours('BispikSpikeMatMulGradW', { s: kept, dy }, { inputs: k }), theirs: theirs('BatchMatMul', { a: s, b: dy }, transposed) },
  ];
}

function attention([T, B, L, H, K]: readonly [number, number, number, number, number]): Case[] {
  const D = H * K;
  const [qkv, gain, distanceBias] = [spikes(T, B, L, 3 * D), tf.fill([H], 0.4), tf.zeros([H, L])];
  const attrs = { ...NEURON, heads: H };
  const outputs = tf.engine().runKernel('BispikSpikingAttention', { qkv, gain, distanceBias }, attrs) as unknown as tf.Tensor[];
  const [membrane] = outputs.slice(4);
  if (membrane === undefined) throw new Error('no membrane');
  const gradInputs = { dValues: normal(T, B, L, D), dMeanMap: normal(B, H, L, L), qkv, gain, membrane };
  const pairs = 2 * T * B * H * L * L * K;
  const [a, b] = [normal(T * B * H, L, K), normal(T * B * H, K, L)];
  const dense = theirs('BatchMatMul', { a, b }, { transposeA: false, transposeB: false });
  return [
    { name: `attention T${T} B${B} L${L} H${H} K${K} (beside its 2 dense products)`, flops: 2 * pairs, ours: ours('BispikSpikingAttention', { qkv, gain, distanceBias }, attrs), theirs: () => { dense(); dense(); } },
    { name: `attention gradient (beside its 4 dense products)`, flops: 4 * pairs, ours: ours('BispikSpikingAttentionGrad', gradInputs, { ...attrs, R: L }), theirs: () => { dense(); dense(); dense(); dense(); } },
  ];
}

function elementwise(): Case[] {
  const x = normal(2048, 256);
  const logits = normal(1024, 512);
  const [gain, bias] = [tf.ones([512]), tf.zeros([512])];
  const current = normal(2, 1024, 256);
  const lif = { ...NEURON, onOff: true, groups: 1 };
  const lifGradients = { dSpikes: normal(2, 1024, 512), dRates: normal(1) };
  const labels = tf.cast(tf.randomUniform([1024], 0, 511, 'float32', 3), 'int32');
  const ids = tf.cast(tf.randomUniform([2048], 0, 511, 'float32', 3), 'int32');
  const p = normal(65_536);
  const softmax = theirs('Softmax', { logits }, { dim: 1 });
  const adam = { learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0, step: 3, gradScale: 1, lowerBounds: [-Infinity] };
  const [m, v] = [tf.zerosLike(p), tf.square(p)];
  return [
    { name: 'exp 2048×256', flops: 0, ours: ours('Exp', { x }), theirs: theirs('Exp', { x }) },
    { name: 'sum over axis 0, 2048×256', flops: 0, ours: ours('Sum', { x }, { axis: [0], keepDims: false }), theirs: theirs('Sum', { x }, { axis: [0], keepDims: false }) },
    { name: 'sum over axis 1, 2048×256', flops: 0, ours: ours('Sum', { x }, { axis: [1], keepDims: false }), theirs: theirs('Sum', { x }, { axis: [1], keepDims: false }) },
    { name: 'segment sum 2048×256', flops: 0, ours: ours('UnsortedSegmentSum', { x, segmentIds: ids }, { numSegments: 512 }), theirs: null },
    { name: 'LIF 2×1024×256 on/off', flops: 0, ours: ours('BispikLif', { x: current, gain, bias }, lif), theirs: null },
    { name: 'LIF gradient', flops: 0, ours: ours('BispikLifGrad', { ...lifGradients, x: current, gain, bias }, lif), theirs: null },
    { name: 'layer norm 2048×256', flops: 0, ours: ours('BispikLayerNorm', { x, weight: tf.ones([256]), bias: tf.zeros([256]) }, { eps: 1e-5 }), theirs: null },
    { name: 'cross-entropy and gradient 1024×512 (beside softmax)', flops: 0, ours: ours('BispikCrossEntropy', { logits, labels }), theirs: softmax },
    { name: 'cross-entropy, soft target and gradient 1024×512 (beside 3 softmax)', flops: 0, ours: ours('BispikHeadLosses', { logits: normal(1024, 512), teacher: logits, labels, hardSlope: tf.scalar(1) }, { softSlope: 1, temperature: 2 }), theirs: () => { softmax(); softmax(); softmax(); } },
    { name: 'AdamW step of 65,536', flops: 0, ours: ours('BispikAdamInPlace', { p, g: normal(65_536), m, v }, adam), theirs: null },
  ];
}

function runOnce(work: () => unknown): number {
  const start = performance.now();
  tf.tidy(() => { work(); });
  return performance.now() - start;
}

function summarise(samples: number[]): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
  return { milliseconds: at(0.5), spread: (at(0.75) - at(0.25)) / 2 };
}

/** Both sides in turn, so that what else the machine does falls on both. */
function measure(one: Case): { name: string; ours: Timing; theirs: Timing | null; gflops: number | null; ratio: number | null } {
  const { ours: mine, theirs: standard } = one;
  const [own, other]: [number[], number[]] = [[], []];
  for (let warm = 0; warm < 3; warm++) { runOnce(mine); if (standard !== null) runOnce(standard); }
  for (let round = 0; round < ROUNDS; round++) {
    own.push(runOnce(mine));
    if (standard !== null) other.push(runOnce(standard));
  }
  const timing = summarise(own);
  const reference = standard === null ? null : summarise(other);
  return {
    name: one.name, ours: timing, theirs: reference,
    gflops: one.flops === 0 ? null : one.flops / timing.milliseconds / 1e6,
    ratio: reference === null ? null : reference.milliseconds / timing.milliseconds,
  };
}

const { device } = await selectBackend('wasm');
const results = [
  product('A·B', [2048, 64, 256], { transposeA: false, transposeB: false }),
  product('A·Bᵀ', [2048, 256, 64], { transposeA: false, transposeB: true }),
  product('Aᵀ·B', [64, 2048, 256], { transposeA: true, transposeB: false }),
  product('Aᵀ·Bᵀ', [256, 256, 256], { transposeA: true, transposeB: true }),
  ...spikeProducts([2048, 128, 192]), ...spikeProducts([2048, 256, 64]),
  ...attention([2, 16, 64, 2, 32]), ...attention([2, 8, 128, 4, 32]),
  ...elementwise(),
].map(measure);

if (flags.json) {
  process.stdout.write(`${JSON.stringify({ device, rate: RATE, rounds: ROUNDS, results }, null, 2)}\n`);
} else {
  const cell = (value: number | null, digits: number): string => (value === null ? '–' : value.toFixed(digits)).padStart(8);
  process.stdout.write(`${device}; ${(RATE * 100).toFixed(0)} % spikes; median of ${ROUNDS} ± half the middle half, ms; dense-equivalent GFLOP/s\n`);
  process.stdout.write(`${'kernel'.padEnd(62)}${'ours'.padStart(8)}${'±'.padStart(8)}${'tfjs'.padStart(8)}${'±'.padStart(8)}${'ratio'.padStart(8)}${'GFLOP/s'.padStart(8)}\n`);
  for (const { name, ours: own, theirs: other, ratio, gflops } of results) {
    const numbers = [cell(own.milliseconds, 3), cell(own.spread, 3), cell(other?.milliseconds ?? null, 3), cell(other?.spread ?? null, 3), cell(ratio, 1), cell(gflops, 0)];
    process.stdout.write(`${name.padEnd(62)}${numbers.join('')}\n`);
  }
}
