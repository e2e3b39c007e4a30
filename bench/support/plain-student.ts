import type { StudentConfig } from '../../src/core/student/config.js';
import { entranceWidth } from '../../src/core/student/config.js';
import { carry, fireLoop } from './plain-neurons.js';

/** A student as plain arrays by parameter name; matrices are (in, out). */
export interface PlainStudent {
  readonly config: StudentConfig;
  readonly values: ReadonlyMap<string, Float32Array>;
}

/** Sites with neurons of their own; `qkv` is query, key and value together. */
export type PlainSite = 'attention_entry' | 'qkv' | 'attention' | 'attention_out' | 'feed_forward_entry' | 'hidden';

/** Looks at a forward pass. `current` may still change the site's gain and bias; `spikes` comes after the neurons have fired. */
export interface PlainWatch {
  readonly current?: (event: { readonly layer: number; readonly site: PlainSite; readonly x: Float32Array; readonly width: number }) => void;
  readonly spikes?: (event: { readonly layer: number; readonly site: PlainSite; readonly spikes: Float32Array; readonly width: number }) => void;
}

/** The array of that name. @throws Error when the student has none: a mistake of the benchmark. */
export function valuesOf(student: PlainStudent, name: string): Float32Array {
  const values = student.values.get(name);
  if (values === undefined) throw new Error(`the student has no parameter ${name}`);
  return values;
}

/** Token + position embedding, repeated for every time step: (N·T, D). The first token stands at `offset`. */
export function embedLoop(student: PlainStudent, ids: readonly number[], offset: number): Float32Array {
  const { hiddenSize: D, embeddingGain, neuron: { timeSteps } } = student.config;
  const [tokens, positions] = [valuesOf(student, 'embed_tokens.weight'), valuesOf(student, 'embed_positions.weight')];
  const stream = new Float32Array(ids.length * timeSteps * D);
  ids.forEach((id, n) => {
    for (let c = 0; c < D; c++) {
      const x = embeddingGain * ((tokens[id * D + c] as number) + (positions[(offset + n) * D + c] as number));
      for (let t = 0; t < timeSteps; t++) stream[(n * timeSteps + t) * D + c] = x;
    }
  });
  return stream;
}

/** Time mean and LayerNorm of the streams of all tokens: (N, D), the head's input. */
export function readoutLoop(student: PlainStudent, stream: Float32Array): Float32Array {
  const { hiddenSize: D, layerNormEps, neuron: { timeSteps } } = student.config;
  const [weight, bias] = [valuesOf(student, 'final_norm.weight'), valuesOf(student, 'final_norm.bias')];
  const result = new Float32Array(stream.length / timeSteps);
  for (let n = 0; n < result.length / D; n++) {
    const row = result.subarray(n * D, (n + 1) * D);
    for (let t = 0; t < timeSteps; t++) for (let c = 0; c < D; c++) row[c] = (row[c] as number) + (stream[(n * timeSteps + t) * D + c] as number) / timeSteps;
    const mean = row.reduce((a, b) => a + b, 0) / D;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / D;
    row.forEach((x, c) => { row[c] = ((x - mean) / Math.sqrt(variance + layerNormEps)) * (weight[c] as number) + (bias[c] as number); });
  }
  return result;
}

/** Rows of the inputs that fired, added up: (vectors, outputs), without a bias. */
export function addRowsLoop(spikes: Float32Array, weights: Float32Array, inputs: number): Float32Array {
  const [vectors, outputs] = [spikes.length / inputs, weights.length / inputs];
  const sums = new Float32Array(vectors * outputs);
  for (let i = 0; i < inputs; i++) {
    const row = weights.subarray(i * outputs, (i + 1) * outputs);
    for (let v = 0; v < vectors; v++) {
      if (spikes[v * inputs + i] === 0) continue;
      const at = v * outputs;
      for (let c = 0; c < outputs; c++) sums[at + c] = (sums[at + c] as number) + (row[c] as number);
    }
  }
  return sums;
}

/** One forward pass over `ids` in plain loops, event by event; returns the last stream (N·T, D). Slow and easy to check. */
export function plainForward(student: PlainStudent, ids: readonly number[], watch: PlainWatch = {}): Float32Array {
  const stream = embedLoop(student, ids, 0);
  for (let layer = 0; layer < student.config.layers; layer++) {
    const pass: LayerPass = { student, layer, watch };
    addTo(stream, write(pass, 'out', attendLoop(pass, entrance(pass, 'attention_entry', stream))));
    const hidden = synapses(pass, 'fc1', { spikes: entrance(pass, 'feed_forward_entry', stream), site: 'hidden' });
    addTo(stream, write(pass, 'fc2', hidden));
  }
  return stream;
}

interface LayerPass { readonly student: PlainStudent; readonly layer: number; readonly watch: PlainWatch }

const named = ({ student, layer }: LayerPass, name: string): Float32Array => valuesOf(student, `layers.${layer}.${name}`);

function addTo(stream: Float32Array, current: Float32Array): void {
  for (let i = 0; i < stream.length; i++) stream[i] = (stream[i] as number) + (current[i] as number);
}

/** Entrance neurons (both signs with on/off pairs). */
function entrance(pass: LayerPass, site: 'attention_entry' | 'feed_forward_entry', stream: Float32Array): Float32Array {
  const { config } = pass.student;
  const [width, stride] = [config.hiddenSize, entranceWidth(config)];
  pass.watch.current?.({ layer: pass.layer, site, x: stream, width });
  const [gain, bias] = [named(pass, `${site}.gain`), named(pass, `${site}.bias`)];
  const spikes = new Float32Array((stream.length / width) * stride);
  for (let offset = 0; offset < stride; offset += width) {
    const part = { gain: gain.subarray(offset, offset + width), bias: bias.subarray(offset, offset + width), negate: offset > 0 };
    fireLoop({ x: stream, width, ...part }, config.neuron, { spikes, stride, offset });
  }
  pass.watch.spikes?.({ layer: pass.layer, site, spikes, width: stride });
  return spikes;
}

/** A matrix and the plain neurons behind it. */
function synapses(pass: LayerPass, name: 'qkv' | 'fc1', { spikes, site }: { spikes: Float32Array; site: 'qkv' | 'hidden' }): Float32Array {
  const x = addRowsLoop(spikes, named(pass, `${name}.weight`), entranceWidth(pass.student.config));
  return neurons(pass, site, { x, gain: null, bias: `${name}.bias` });
}

function neurons(pass: LayerPass, site: PlainSite, of: { x: Float32Array; gain: string | null; bias: string }): Float32Array {
  const bias = named(pass, of.bias);
  const width = bias.length;
  pass.watch.current?.({ layer: pass.layer, site, x: of.x, width });
  const spikes = new Float32Array(of.x.length);
  const gain = of.gain === null ? null : named(pass, of.gain);
  fireLoop({ x: of.x, width, gain, bias }, pass.student.config.neuron, { spikes, stride: width, offset: 0 });
  pass.watch.spikes?.({ layer: pass.layer, site, spikes, width });
  return spikes;
}

function write(pass: LayerPass, name: 'out' | 'fc2', spikes: Float32Array): Float32Array {
  const bias = named(pass, `${name}.bias`);
  const weights = named(pass, `${name}.weight`);
  const current = addRowsLoop(spikes, weights, weights.length / bias.length);
  return current.map((x, i) => x + (bias[i % bias.length] as number));
}

/** Spiking attention and the neurons behind it, from entrance spikes to attention_out spikes (N·T, D). */
function attendLoop(pass: LayerPass, entry: Float32Array): Float32Array {
  const { hiddenSize: D, heads, neuron: { timeSteps } } = pass.student.config;
  const qkv = synapses(pass, 'qkv', { spikes: entry, site: 'qkv' });
  const tokens = qkv.length / (3 * D) / timeSteps;
  const counts = countLoop(qkv, { tokens, timeSteps, heads, D });
  pass.watch.current?.({ layer: pass.layer, site: 'attention', x: counts, width: heads });
  const sums = new Float32Array(tokens * timeSteps * D);
  const fired = chooseLoop(pass, counts, { tokens, visit: ({ n, j, t, head }) => {
    const K = D / heads;
    for (let c = head * K; c < (head + 1) * K; c++) {
      const at = (n * timeSteps + t) * D + c;
      sums[at] = (sums[at] as number) + (qkv[(j * timeSteps + t) * 3 * D + 2 * D + c] as number);
    }
  } });
  pass.watch.spikes?.({ layer: pass.layer, site: 'attention', spikes: fired, width: heads });
  return neurons(pass, 'attention_out', { x: sums, gain: 'attention_out.gain', bias: 'attention_out.bias' });
}

/** Overlaps of query and key spikes of all causal pairs: ((n·(n+1)/2 + j)·T + t, head). */
function countLoop(qkv: Float32Array, { tokens, timeSteps, heads, D }: { tokens: number; timeSteps: number; heads: number; D: number }): Float32Array {
  const K = D / heads;
  const counts = new Float32Array(((tokens * (tokens + 1)) / 2) * timeSteps * heads);
  let at = 0;
  for (let n = 0; n < tokens; n++) {
    for (let j = 0; j <= n; j++) {
      for (let t = 0; t < timeSteps; t++) {
        const [query, key] = [(n * timeSteps + t) * 3 * D, (j * timeSteps + t) * 3 * D + D];
        for (let head = 0; head < heads; head++) {
          let count = 0;
          for (let c = head * K; c < (head + 1) * K; c++) count += (qkv[query + c] as number) * (qkv[key + c] as number);
          counts[at++] = count;
        }
      }
    }
  }
  return counts;
}

interface Pair { readonly n: number; readonly j: number; readonly t: number; readonly head: number }

/** Attention neurons of all causal pairs; `visit` sees those that fire. Returns the spikes in the order of the counts. */
function chooseLoop(pass: LayerPass, counts: Float32Array, of: { tokens: number; visit: (pair: Pair) => void }): Float32Array {
  const { heads, contextLength, neuron } = pass.student.config;
  const [gain, bias] = [named(pass, 'attention.gain'), named(pass, 'attention.distance_bias')];
  const fired = new Float32Array(counts.length);
  let pair = 0;
  for (let n = 0; n < of.tokens; n++) {
    for (let j = 0; j <= n; j++, pair++) {
      for (let head = 0; head < heads; head++) {
        let carried = 0;
        for (let t = 0; t < neuron.timeSteps; t++) {
          const at = (pair * neuron.timeSteps + t) * heads + head;
          const u = (gain[head] as number) * (counts[at] as number) + (bias[head * contextLength + n - j] as number) + carried;
          const isSpike = u >= neuron.threshold;
          carried = carry(u, isSpike, neuron);
          if (!isSpike) continue;
          fired[at] = 1;
          of.visit({ n, j, t, head });
        }
      }
    }
  }
  return fired;
}
