import fc from 'fast-check';

import { instantiateEngine } from '../../src/core/engine/instantiate.js';
import type { ValueStyle, WeightStyle } from '../support/kernel-inputs.js';
import type { Check } from '../support/kernel-shapes.js';
import { checkOn, ends, rangeOf, seeds, upTo, valueStyles } from '../support/kernel-shapes.js';
import type { KernelTwins } from '../support/kernel-twins.js';
import { openTwins } from '../support/kernel-twins.js';

/** The engine's WebAssembly and the reference must leave the same bits everywhere outside scratch, on any shape. */

const widths = fc.record({ ...seeds, words: upTo(5), timeSteps: upTo(4), values: valueStyles });

function describeReadout(check: Check): void {
  it('embedInt8', () => {
    check(widths, ({ words, timeSteps }) => ({ arena, inputs }) => {
      const row = arena.place(inputs.int8(64 * words, 'range'), 'row');
      const position = arena.place(inputs.floats(64 * words, 'mixed'), 'position');
      const stream = arena.place(inputs.floats(timeSteps * 64 * words, 'mixed'), 'stream');
      return (kernels) => kernels.embedInt8(row, 0.0123, position, 1.7, stream, 64 * words, timeSteps);
    });
  });
  it('embedFloat', () => {
    check(widths, ({ words, timeSteps, values }) => ({ arena, inputs }) => {
      const row = arena.place(inputs.floats(64 * words, values), 'row');
      const position = arena.place(inputs.floats(64 * words, 'mixed'), 'position');
      const stream = arena.place(inputs.floats(timeSteps * 64 * words, 'mixed'), 'stream');
      return (kernels) => kernels.embedFloat(row, position, 1.7, stream, 64 * words, timeSteps);
    });
  });
  it('readout', () => {
    const readouts = fc.record({ ...seeds, channels: upTo(320), timeSteps: upTo(4), values: valueStyles, epsilon: fc.constantFrom(1e-5, 0.1, 3) });
    check(readouts, ({ channels, timeSteps, values, epsilon }) => ({ arena, inputs }) => {
      const stride = 64 * Math.ceil(channels / 64);
      const stream = arena.place(inputs.floats(timeSteps * stride, values), 'stream');
      const weight = arena.place(inputs.floats(stride, 'mixed'), 'weight');
      const bias = arena.place(inputs.floats(stride, 'mixed'), 'bias');
      const out = arena.place(inputs.floats(stride, 'mixed'), 'out');
      return (kernels) => kernels.readout(stream, timeSteps, channels, stride, weight, bias, epsilon, out);
    });
  });
  it('quantise', () => {
    const vectors = fc.record({ ...seeds, words: upTo(5), values: valueStyles, limit: fc.constantFrom(32767, 16512, 127, 3, 1), zeros: fc.nat(5) });
    check(vectors, ({ words, values, limit, zeros }) => ({ arena, inputs }) => {
      const x = inputs.floats(64 * words, values);
      if (zeros === 0) x.forEach((_, c) => { x[c] = c % 2 === 0 ? 0 : -0; });
      // A largest magnitude of exactly the limit makes ties of the grid's halves.
      if (zeros === 1) x[inputs.below(x.length)] = inputs.below(2) === 0 ? limit : -limit;
      const input = arena.place(x, 'x');
      const out = arena.place(new Int16Array(64 * words).fill(55), 'out');
      return (kernels) => kernels.quantise(input, 64 * words, limit, out);
    });
  });
}

const heads = fc.record({
  ...seeds, words: fc.oneof(upTo(5), fc.constant(16)), tokens: upTo(5), vocabSize: upTo(40), range: ends, values: fc.constantFrom<ValueStyle>('grid', 'mixed'),
  style: fc.constantFrom<WeightStyle>('range', 'highest', 'signs'),
});

function describeHead(check: Check): void {
  it('headInt8', () => {
    check(heads, ({ words, tokens, vocabSize, range, style }) => ({ arena, inputs }) => {
      const width = 64 * words;
      // The largest integers whose sum with weights of 127 still fits 32 bits.
      const limit = Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * width)));
      const integers = Int16Array.from({ length: tokens * width }, () => (style === 'range' ? inputs.below(2 * limit + 1) - limit : limit));
      const x = arena.place(integers, 'x');
      const xScales = arena.place(inputs.floats(tokens, 'mixed'), 'xScales');
      const weights = arena.place(inputs.int8(vocabSize * width, style), 'weights');
      const scales = arena.place(inputs.floats(vocabSize, 'mixed'), 'scales');
      const logits = arena.place(inputs.floats(tokens * vocabSize, 'mixed'), 'logits');
      return (kernels) => kernels.headInt8(x, xScales, tokens, weights, scales, ...rangeOf(range, vocabSize), logits, width, vocabSize);
    });
  });
  it('headFloat', () => {
    check(heads, ({ words, tokens, vocabSize, range, values }) => ({ arena, inputs }) => {
      const width = 64 * words;
      const x = arena.place(inputs.floats(tokens * width, values), 'x');
      const weights = arena.place(inputs.floats(vocabSize * width, values), 'weights');
      const logits = arena.place(inputs.floats(tokens * vocabSize, 'mixed'), 'logits');
      return (kernels) => kernels.headFloat(x, tokens, weights, ...rangeOf(range, vocabSize), logits, width, vocabSize);
    });
  });
}

describe('contract: the WebAssembly engine and the reference agree bit for bit: embedding, readout, head', function () {
  this.timeout(60_000);
  let twins: KernelTwins;
  before(async () => { twins = await openTwins(instantiateEngine); });
  describeReadout(checkOn(() => twins));
  describeHead(checkOn(() => twins));
});
