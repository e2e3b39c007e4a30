import { numbers } from './kernel-cases.js';
import type { NeuronAttrs } from './lif-reference.js';
import { neuronBackward, neuronForward } from './lif-reference.js';

/** Spiking attention by its definition, one causal pair at a time: a second implementation for the tests of the kernels. */

export interface AttentionSizes { readonly B: number; readonly L: number; readonly H: number; readonly K: number; readonly R: number; readonly attrs: NeuronAttrs }

/** Random inputs; gains and distance currents on a grid when a device may round a membrane another way. */
export function attentionInputs({ B, L, H, K, R, attrs }: AttentionSizes, rate: number, onGrid: boolean): { qkv: Float32Array; gain: Float32Array; bias: Float32Array; dValues: Float32Array } {
  const [T, D] = [attrs.timeSteps, H * K];
  const random = numbers(L * 7 + K);
  const qkv = random.spikes(T * B * L * 3 * D, rate);
  const [gain, bias] = [random.floats(H), random.floats(H * R, 0.8)];
  const snap = (values: Float32Array): Float32Array => (onGrid ? values.map((value) => Math.round(value * 8) / 8 + 0.013) : values);
  return { qkv, gain: snap(gain), bias: snap(bias), dValues: random.floats(T * B * L * D) };
}

/** What attention makes of its inputs; membranes rounded to float32 as the kernels promise. */
export interface AttentionReference {
  readonly values: Float64Array;
  /** (B, H, L, L) */ readonly meanMap: Float64Array;
  readonly membrane: Float32Array;
  readonly dqkv: Float64Array;
  readonly dGain: Float64Array;
  readonly dBias: Float64Array;
  /** Smallest |u − threshold| of all causal pairs and steps. */ readonly margin: number;
}

/** Forward and backward pass; gradients in float64. @param dMap gradient of the mean map, given that map (both (B, H, L, L)). */
export function attentionReference(
  sizes: AttentionSizes, inputs: ReturnType<typeof attentionInputs>, dMap: (meanMap: Float64Array) => ArrayLike<number>,
): AttentionReference {
  const { B, L, H, K, R, attrs } = sizes;
  const { qkv, gain, bias, dValues } = inputs;
  const [T, D] = [attrs.timeSteps, H * K];
  const out = {
    values: new Float64Array(T * B * L * D), meanMap: new Float64Array(B * H * L * L), membrane: new Float32Array(T * B * H * L * L),
    dqkv: new Float64Array(qkv.length), dGain: new Float64Array(H), dBias: new Float64Array(H * R), margin: Number.POSITIVE_INFINITY,
  };
  const steps = Array.from({ length: T }, (_, t) => t);
  const channels = Array.from({ length: K }, (_, c) => c);
  const inV = (at: Pair, t: number, c: number): number => ((t * B + at.b) * L + at.i) * D + at.h * K + c;
  const inQkv = (at: Pair, [t, row, part]: readonly [number, number, number], c: number): number => ((t * B + at.b) * L + row) * 3 * D + part * D + at.h * K + c;
  const countsOf = (at: Pair): number[] => steps.map((t) => channels.reduce((n, c) => n + qkv[inQkv(at, [t, at.i, 0], c)]! * qkv[inQkv(at, [t, at.j, 1], c)]!, 0));
  const chargedOf = (at: Pair): { u: number[]; s: number[] } =>
    neuronForward(countsOf(at).map((n) => Math.fround(Math.fround(n * gain[at.h]!) + bias[at.h * R + at.i - at.j]!)), attrs);
  for (const at of causalPairs(sizes)) {
    const { u, s } = chargedOf(at);
    for (const t of steps) {
      out.membrane[t * B * H * L * L + at.pair] = u[t]!;
      out.margin = Math.min(out.margin, Math.abs(u[t]! - Math.fround(attrs.threshold)));
      out.meanMap[at.pair]! += s[t]! / T;
      for (const c of channels) out.values[inV(at, t, c)]! += s[t]! * qkv[inQkv(at, [t, at.j, 2], c)]!;
    }
  }
  const dMeanMap = dMap(out.meanMap);
  for (const at of causalPairs(sizes)) {
    const { u, s } = chargedOf(at);
    const counts = countsOf(at);
    const ds = steps.map((t) => dMeanMap[at.pair]! / T + channels.reduce((sum, c) => sum + dValues[inV(at, t, c)]! * qkv[inQkv(at, [t, at.j, 2], c)]!, 0));
    const dI = neuronBackward(ds, u, attrs);
    for (const t of steps) {
      out.dGain[at.h]! += dI[t]! * counts[t]!;
      out.dBias[at.h * R + at.i - at.j]! += dI[t]!;
      for (const c of channels) {
        out.dqkv[inQkv(at, [t, at.i, 0], c)]! += dI[t]! * gain[at.h]! * qkv[inQkv(at, [t, at.j, 1], c)]!;
        out.dqkv[inQkv(at, [t, at.j, 1], c)]! += dI[t]! * gain[at.h]! * qkv[inQkv(at, [t, at.i, 0], c)]!;
        out.dqkv[inQkv(at, [t, at.j, 2], c)]! += s[t]! * dValues[inV(at, t, c)]!;
      }
    }
  }
  return out;
}

interface Pair { readonly b: number; readonly h: number; readonly i: number; readonly j: number; /** Index in (B, H, L, L). */ readonly pair: number }

function* causalPairs({ B, L, H }: Pick<AttentionSizes, 'B' | 'L' | 'H'>): Generator<Pair> {
  for (let head = 0; head < B * H; head++) {
    for (let i = 0; i < L; i++) {
      for (let j = 0; j <= i; j++) yield { b: Math.floor(head / H), h: head % H, i, j, pair: (head * L + i) * L + j };
    }
  }
}

/** A teacher layer: rows (B·L, heads·width) of queries, keys and values. */
export interface TeacherRows {
  readonly B: number; readonly L: number; readonly heads: number; readonly width: number;
  readonly query: Float32Array; readonly key: Float32Array; readonly value: Float32Array;
}

export function teacherRows(sizes: { readonly B: number; readonly L: number; readonly heads: number; readonly width: number }): TeacherRows {
  const { B, L, heads, width } = sizes;
  const random = numbers(L * 13 + width);
  const rows = (): Float32Array => random.floats(B * L * heads * width, 2);
  return { ...sizes, query: rows(), key: rows(), value: rows() };
}

/** Softmax over causal keys, (B, heads, L, L), and the context (B·L, heads·width), in float64. */
export function softmaxReference({ B, L, heads, width, query, key, value }: TeacherRows): { probabilities: Float64Array; context: Float64Array } {
  const probabilities = new Float64Array(B * heads * L * L);
  const context = new Float64Array(value.length);
  const at = ({ b, h }: Pair, row: number, c: number): number => (b * L + row) * heads * width + h * width + c;
  for (const pair of causalPairs({ B, L, H: heads })) {
    let dot = 0;
    for (let c = 0; c < width; c++) dot += query[at(pair, pair.i, c)]! * key[at(pair, pair.j, c)]!;
    probabilities[pair.pair] = Math.exp(dot / Math.sqrt(width));
  }
  for (let row = 0; row < B * heads * L; row++) {
    const sum = probabilities.subarray(row * L, row * L + L).reduce((a, b) => a + b, 0);
    for (let j = 0; j < L; j++) probabilities[row * L + j]! /= sum;
  }
  for (const pair of causalPairs({ B, L, H: heads })) {
    for (let c = 0; c < width; c++) context[at(pair, pair.i, c)]! += probabilities[pair.pair]! * value[at(pair, pair.j, c)]!;
  }
  return { probabilities, context };
}

/** Loss of a mean map (B, H, L, L) against probabilities of the same shape, its gradient, and the rate neurons' smallest |u − threshold|. */
export interface AlignmentReference { readonly loss: number; readonly gradient: Float64Array; readonly margin: number }

export function alignmentReference(
  sizes: AttentionSizes, maps: { readonly mean: Float64Array; readonly probabilities: Float64Array }, how: { readonly gamma: number; readonly form: 'raw' | 'row-normalised' },
): AlignmentReference {
  const { B, H, L, attrs: { timeSteps: T } } = sizes;
  const { gamma } = how;
  const gradient = new Float64Array(maps.mean.length);
  let [loss, margin] = [0, Number.POSITIVE_INFINITY];
  for (let row = 0; row < B * H * L; row++) {
    const keys = (row % L) + 1;
    const m = Array.from(maps.mean.subarray(row * L, row * L + keys));
    const p = Array.from(maps.probabilities.subarray(row * L, row * L + keys));
    const strongest = how.form === 'raw' ? 1 : Math.max(...p);
    const neurons = p.map((x) => neuronForward(new Array<number>(T).fill(Math.fround(x / strongest)), sizes.attrs));
    neurons.forEach(({ u }) => u.forEach((membrane) => { margin = Math.min(margin, Math.abs(membrane - Math.fround(sizes.attrs.threshold))); }));
    const r = neurons.map(({ s }) => s.reduce((a, b) => a + b, 0) / T);
    const scale = (x: readonly number[]): number => (how.form === 'raw' ? 1 : Math.max(x.reduce((a, b) => a + b, 0), 1 / T));
    const [ofMap, ofRates] = [scale(m), scale(r)];
    const weight = how.form === 'raw' ? 2 / (B * H * L * (L + 1)) : 1 / (B * H * L);
    const errors = m.map((x, j) => [x / ofMap - r[j]! / ofRates, x / ofMap - p[j]!] as const);
    errors.forEach(([rate, direct]) => { loss += weight * (gamma * rate ** 2 + (1 - gamma) * direct ** 2); });
    const outer = errors.map(([rate, direct]) => 2 * weight * (gamma * rate + (1 - gamma) * direct));
    const isScaled = how.form === 'row-normalised' && m.some((x) => x > 0);
    for (let k = 0; k < keys; k++) {
      // ∂(m_j/S)/∂m_k = [j = k]/S − m_j/S²
      gradient[row * L + k] = outer.reduce((sum, g, j) => sum + g * ((j === k ? 1 / ofMap : 0) - (isScaled ? m[j]! / ofMap ** 2 : 0)), 0);
    }
  }
  return { loss, gradient, margin };
}
