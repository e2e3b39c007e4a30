import fc from 'fast-check';

import { instantiateEngine } from '../../src/core/engine/instantiate.js';
import type { KernelInputs, ValueStyle, WeightStyle } from '../support/kernel-inputs.js';
import type { Check } from '../support/kernel-shapes.js';
import { checkOn, columnsOf, ends, neurons, placeBits, rangeOf, rates, seeds, upTo, valueStyles } from '../support/kernel-shapes.js';
import type { CaseSetting, KernelCase, KernelTwins } from '../support/kernel-twins.js';
import { openTwins } from '../support/kernel-twins.js';
import { findEdge } from '../support/neuron-edges.js';

/** The engine's WebAssembly and the reference must leave the same bits everywhere outside scratch, on any shape. */

const outputWidths = fc.constantFrom<number>(64, 128, 192, 320, 768);
const layers = fc.record({
  ...seeds, words: upTo(5), vectors: upTo(13), outputs: outputWidths, range: ends, rate: rates,
  style: fc.constantFrom<WeightStyle>('range', 'highest', 'lowest', 'signs'), values: valueStyles,
});
/** Every one of 1024 inputs fires on weights of ±127: partial sums of 16 bits overflow if nothing empties them. */
const extremeLayers = fc.record({
  ...seeds, words: fc.constant<number>(16), vectors: upTo(6), outputs: outputWidths, range: ends,
  rate: fc.constantFrom<number>(1, 0.99), style: fc.constantFrom<WeightStyle>('highest', 'lowest', 'signs'), values: valueStyles,
});
type Layer = typeof layers extends fc.Arbitrary<infer L> ? L : never;

/** What the three packed layers share: places spikes, accumulators, scratch and counters. */
function placeLayer(setting: CaseSetting, layer: Layer): { inputs: number; from: number; to: number; bits: number; acc: number; scratch: number; counts: number } {
  const { words, vectors, outputs } = layer;
  const [from, to] = columnsOf(layer.range, outputs);
  return {
    from, to, inputs: 64 * words,
    bits: placeBits(setting, words * vectors, layer),
    scratch: setting.scratch((kernels) => kernels.addRowsScratchBytes(words, vectors)),
    acc: setting.arena.place(setting.inputs.ints(vectors * outputs, 'large'), 'acc'),
    counts: setting.arena.place(Float64Array.of(setting.inputs.below(1000), 2 ** 40), 'counts'),
  };
}

const int8Case = (layer: Layer): KernelCase => (setting) => {
  const { outputs } = layer;
  const { inputs, from, to, bits, acc, scratch, counts } = placeLayer(setting, layer);
  const weights = setting.arena.place(setting.inputs.packedInt8(inputs * outputs, layer.style), 'weights');
  return (kernels) => kernels.addRowsInt8(bits, layer.words, layer.vectors, weights, outputs, from, to, acc, scratch, counts);
};

const floatCase = (layer: Layer): KernelCase => (setting) => {
  const { outputs } = layer;
  const { inputs, from, to, bits, acc, scratch, counts } = placeLayer(setting, layer);
  const weights = setting.arena.place(setting.inputs.floats(inputs * outputs, layer.values), 'weights');
  const bias = setting.arena.place(setting.inputs.floats(outputs, layer.values), 'bias');
  return (kernels) => kernels.addRowsFloat(bits, layer.words, layer.vectors, weights, bias, outputs, from, to, acc, scratch, counts);
};

const int4Case = (layer: Layer): KernelCase => (setting) => {
  const { outputs } = layer;
  const { inputs, from, to, bits, acc, scratch, counts } = placeLayer(setting, layer);
  const { arena } = setting;
  const weights = arena.place(setting.inputs.packedInt4((inputs * outputs) / 2, layer.style), 'weights');
  const scales = arena.place(setting.inputs.floats(Math.ceil(inputs / 128) * outputs, layer.values), 'scales');
  const bias = arena.place(setting.inputs.floats(outputs, layer.values), 'bias');
  return (kernels) => kernels.addRowsInt4(bits, layer.words, layer.vectors, weights, scales, bias, outputs, from, to, acc, scratch, counts);
};

function describeRows(check: Check): void {
  it('addRowsInt8', () => { check(layers, int8Case); });
  it('addRowsInt8, 1024 inputs firing on extreme weights', () => { check(extremeLayers, int8Case, 20); });
  it('addRowsFloat', () => { check(layers, floatCase); });
  it('addRowsInt4', () => { check(layers, int4Case); });
  it('addRowsInt4, 1024 inputs firing', () => { check(extremeLayers, int4Case, 20); });
}

const neuronRows = fc.record({
  ...seeds, ...neurons, tokens: upTo(4), strideWords: upTo(5), range: ends, before: fc.nat(2), after: fc.nat(2), values: valueStyles,
  negate: fc.nat(1),
});

function describeNeurons(check: Check): void {
  for (const kind of ['fireInt', 'fireFloat'] as const) {
    it(kind, () => {
      check(neuronRows, (rows) => (setting) => {
        const { tokens, timeSteps, decay, reset, values } = rows;
        const { arena, inputs } = setting;
        const stride = 64 * rows.strideWords;
        const [from, to] = columnsOf(rows.range, stride);
        const [count, words] = [tokens * timeSteps * stride, rows.before + rows.strideWords + rows.after];
        const x = arena.place(kind === 'fireInt' ? inputs.ints(count, values) : inputs.floats(count, values), 'currents');
        const bias = arena.place(inputs.floats(stride, values === 'large' ? 'mixed' : values), 'bias');
        const threshold = arena.place(inputs.thresholds(stride, values), 'threshold');
        const bits = placeBits(setting, tokens * timeSteps * words, { ...rows, rate: 0.5 }) + 8 * rows.before;
        return kind === 'fireInt'
          ? (kernels) => kernels.fireInt(x, stride, bias, threshold, from, to, tokens, timeSteps, decay, reset, bits, words)
          : (kernels) => kernels.fireFloat(x, stride, bias, threshold, rows.negate, from, to, tokens, timeSteps, decay, reset, bits, words);
      });
    });
  }
}

/** Neurons whose currents lie next to where their spikes change. */
const edgeRows = fc.record({ seed: fc.nat(), ...neurons, tokens: upTo(3), negate: fc.nat(1) });
type EdgeRows = typeof edgeRows extends fc.Arbitrary<infer E> ? E : never;

/** Inputs of currents between `lowest` and 2 times the threshold, within which the search takes the first edge. */
function bounds(inputs: KernelInputs, [threshold, lowest]: [number, number], input: (current: number) => number): { low: number; high: number } {
  const from = lowest + inputs.below(32 * (1 - lowest)) / 32;
  return { low: input(threshold * from), high: input(threshold * (from + 1)) };
}

const edgeCase = (kind: 'fireInt' | 'fireFloat', rows: EdgeRows): KernelCase => ({ arena, inputs }) => {
  const { tokens, timeSteps, decay, reset, negate } = rows;
  const isInt = kind === 'fireInt';
  // Integers so large that float32 lacks some of them.
  const [scale, round] = isInt ? [2 ** 24, Math.round] : [1, Math.fround];
  const biases = inputs.floats(64, 'mixed').map((b) => b * (isInt ? 4 : 1));
  const limits = inputs.thresholds(64, 'mixed').map((limit) => (limit === Infinity ? 1 : limit) * scale);
  const currents = isInt ? new Int32Array(tokens * timeSteps * 64) : new Float32Array(tokens * timeSteps * 64);
  const sign = !isInt && negate === 1 ? -1 : 1;
  for (let i = 0; i < tokens * 64; i++) {
    const [c, n] = [i % 64, Math.floor(i / 64)];
    const [bias, threshold] = [biases[c] ?? 0, limits[c] ?? 0];
    // Half of the neurons begin with a current of two to four thresholds, so that what a spike leaves has to be rounded.
    const first = inputs.below(2) === 0 ? undefined : round(sign * threshold * (2 + inputs.below(1 << 20) / (1 << 19)));
    const seen = (x: number, t: number): number => (t === 0 ? first ?? x : x);
    const edge = findEdge({ timeSteps, decay, reset, threshold }, {
      current: (x, t) => Math.fround(Math.fround(sign * seen(x, t)) + bias), round,
      ...bounds(inputs, [threshold, first === undefined ? 0 : -2], (current) => sign * (current - bias)),
    });
    const input = edge[inputs.below(2)] ?? 0;
    for (let t = 0; t < timeSteps; t++) currents[(n * timeSteps + t) * 64 + c] = seen(input, t);
  }
  const x = arena.place(currents, 'currents');
  const bias = arena.place(biases, 'bias');
  const threshold = arena.place(limits, 'threshold');
  const bits = arena.place(inputs.bits(tokens * timeSteps, 0.5), 'bits');
  return isInt
    ? (kernels) => kernels.fireInt(x, 64, bias, threshold, 0, 64, tokens, timeSteps, decay, reset, bits, 1)
    : (kernels) => kernels.fireFloat(x, 64, bias, threshold, negate, 0, 64, tokens, timeSteps, decay, reset, bits, 1);
};

function describeEdges(check: Check): void {
  for (const kind of ['fireInt', 'fireFloat'] as const) {
    it(`${kind}, currents next to where the spikes change`, () => { check(edgeRows, (rows) => edgeCase(kind, rows), 100); });
  }
}

const streams = fc.record({ ...seeds, outputWords: upTo(5), vectors: upTo(13), range: ends, rate: rates, after: fc.nat(2), values: valueStyles });

function describeStream(check: Check): void {
  it('addCurrentInt', () => {
    check(streams, ({ outputWords, vectors, range, values }) => ({ arena, inputs }) => {
      const outputs = 64 * outputWords;
      const acc = arena.place(inputs.ints(vectors * outputs, values), 'acc');
      const scale = arena.place(inputs.floats(outputs, 'mixed'), 'scale');
      const bias = arena.place(inputs.floats(outputs, 'mixed'), 'bias');
      const stream = arena.place(inputs.floats(vectors * outputs, values), 'stream');
      return (kernels) => kernels.addCurrentInt(acc, scale, bias, stream, outputs, ...columnsOf(range, outputs), vectors);
    });
  });
  it('addSums', () => {
    check(streams, ({ outputWords, vectors, range, values }) => ({ arena, inputs }) => {
      const outputs = 64 * outputWords;
      const sums = arena.place(inputs.ints(vectors * outputs, values), 'sums');
      const into = arena.place(inputs.ints(vectors * outputs, values), 'into');
      return (kernels) => kernels.addSums(sums, into, outputs, ...columnsOf(range, outputs), vectors);
    });
  });
  it('addCurrentFloat', () => {
    check(streams, ({ outputWords, vectors, range, values }) => ({ arena, inputs }) => {
      const outputs = 64 * outputWords;
      const acc = arena.place(inputs.floats(vectors * outputs, 'mixed'), 'acc');
      const stream = arena.place(inputs.floats(vectors * outputs, values), 'stream');
      return (kernels) => kernels.addCurrentFloat(acc, stream, outputs, ...columnsOf(range, outputs), vectors);
    });
  });
  it('addSpikes', () => {
    check(streams, (added) => (setting) => {
      const [outputs, words] = [64 * added.outputWords, added.outputWords + added.after];
      const bits = placeBits(setting, added.vectors * words, added);
      const stream = setting.arena.place(setting.inputs.floats(added.vectors * outputs, added.values), 'stream');
      return (kernels) => kernels.addSpikes(bits, words, stream, outputs, ...columnsOf(added.range, outputs), added.vectors);
    });
  });
}

const attentions = fc.record({
  ...seeds, ...neurons, headWidth: fc.constantFrom(8, 16, 32, 64, 80, 128), heads: upTo(4), tokens: upTo(5),
  start: fc.oneof(fc.constant(0), upTo(70), upTo(260)), range: ends, layerCount: upTo(2), spare: fc.nat(9), rate: fc.constantFrom<number>(0.05, 0.3, 0.8, 1),
  values: fc.constantFrom<ValueStyle>('grid', 'mixed'),
});
type Attention = typeof attentions extends fc.Arbitrary<infer A> ? A : never;

/** A sequence whose first `start` positions are in the cache and whose next tokens' spikes wait in `bits`. */
function placeSequence(setting: CaseSetting, attention: Attention): { words: number; dWords: number; bits: number; pageTable: number; layerOffset: number } {
  const { arena, inputs, reference } = setting;
  const { heads, headWidth, timeSteps, start, tokens, layerCount } = attention;
  const dWords = Math.ceil((heads * headWidth) / 64);
  const words = 3 * dWords;
  const layerBytes = 2 * heads * timeSteps * Math.ceil(headWidth / 64) * 512;
  // Pages lie in descending order, what no position has written is noise, and so are the other layers.
  const pages = Array.from({ length: Math.ceil((start + tokens) / 64) }, (_, p) =>
    arena.place(inputs.bits((layerCount * layerBytes) / 8, 0.5), `page from the end ${p}`)).reverse();
  const pageTable = arena.place(Uint32Array.from(pages), 'pageTable');
  const layerOffset = layerBytes * inputs.below(layerCount);
  const earlier = placeBits(setting, start * timeSteps * words, attention, 'earlier bits');
  reference.storeHeads(earlier, words, start, timeSteps, 0, 0, heads, heads, headWidth, dWords, pageTable, layerOffset);
  return { words, dWords, pageTable, layerOffset, bits: placeBits(setting, tokens * timeSteps * words, attention) };
}

/** What the attention neurons are: float32 (heads · biasStride) biases and (heads) thresholds. */
type PlanTable = (setting: CaseSetting, table: { readonly size: number; readonly biasStride: number }) => { reversed: Float32Array; thresholds: Float32Array };

const attendCase = (attention: Attention, plan: PlanTable): KernelCase => (setting) => {
  const { words, dWords, bits, pageTable, layerOffset } = placeSequence(setting, attention);
  const { tokens, timeSteps, start, heads, headWidth, range, decay, reset } = attention;
  const { arena, inputs, reference } = setting;
  reference.storeHeads(bits, words, tokens, timeSteps, start, 0, heads, heads, headWidth, dWords, pageTable, layerOffset);
  const contextLength = start + tokens + attention.spare;
  const biasStride = Math.ceil((contextLength + 4) / 4) * 4;
  const table = plan(setting, { size: heads * biasStride, biasStride });
  const reversed = arena.place(table.reversed, 'reversed');
  const thresholds = arena.place(table.thresholds, 'thresholds');
  const scratch = setting.scratch((kernels) => kernels.attendScratchBytes(timeSteps, headWidth, heads));
  const sums = arena.place(inputs.ints(tokens * timeSteps * 64 * dWords, 'large'), 'sums');
  return (kernels) => kernels.attend(bits, words, tokens, timeSteps, start, ...rangeOf(range, heads), heads, headWidth, dWords,
    pageTable, layerOffset, reversed, biasStride, contextLength, thresholds, decay, reset, sums, scratch);
};

const edgeTable = ({ timeSteps, decay, reset, headWidth, heads }: Attention): PlanTable => ({ inputs }, { size, biasStride }) => {
  const thresholds = Float32Array.from({ length: heads }, () => 1 + inputs.below(4 * headWidth) / 3);
  const reversed = Float32Array.from({ length: size }, (_, i) => {
    const threshold = thresholds[Math.floor(i / biasStride)] ?? 1;
    return findEdge({ timeSteps, decay, reset, threshold }, {
      current: (r) => Math.fround(headWidth + r), round: Math.fround, ...bounds(inputs, [threshold, 0], (current) => current - headWidth),
    })[inputs.below(2)] ?? 0;
  });
  return { reversed, thresholds };
};

function describeAttention(check: Check): void {
  it('storeHeads', () => {
    check(attentions, (attention) => (setting) => {
      const { words, dWords, bits, pageTable, layerOffset } = placeSequence(setting, attention);
      const { tokens, timeSteps, start, heads, headWidth, range } = attention;
      return (kernels) =>
        kernels.storeHeads(bits, words, tokens, timeSteps, start, ...rangeOf(range, heads), heads, headWidth, dWords, pageTable, layerOffset);
    });
  });
  it('attend', () => {
    check(attentions, (attention) => attendCase(attention, ({ inputs }, table) => ({
      reversed: inputs.floats(table.size, attention.values),
      thresholds: inputs.thresholds(attention.heads, attention.values)
        .map((threshold) => threshold * Math.max(1, Math.round(attention.headWidth * attention.rate ** 2))),
    })));
  });
  it('attend, currents next to where the spikes change', () => {
    // Everything fires, so that every count is the head width and a distance decides alone.
    check(attentions.map((attention) => ({ ...attention, rate: 1 })), (attention) => attendCase(attention, edgeTable(attention)));
  });
}

describe('contract: the WebAssembly engine and the reference agree bit for bit', function () {
  this.timeout(60_000);
  let twins: KernelTwins;
  before(async () => { twins = await openTwins(instantiateEngine); });
  describeRows(checkOn(() => twins));
  describeNeurons(checkOn(() => twins));
  describeEdges(checkOn(() => twins));
  describeStream(checkOn(() => twins));
  describeAttention(checkOn(() => twins));
});
