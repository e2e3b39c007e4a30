import { expect } from 'chai';
import fc from 'fast-check';

import {
  ENGINE_PRECISIONS, engineShape, headLimit, layerBytes, pad64, paddedIndex, pageBytes, planImage, SECTION_ALIGNMENT,
} from '../../../src/core/engine/layout.js';
import { bindWeights } from '../../../src/core/engine/weights.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT } from '../../support/tiny-models.js';

/** The shape of OPT-125M. */
const LARGE = { ...TINY_STUDENT, vocabSize: 50_272, hiddenSize: 768, layers: 12, heads: 12, feedForwardSize: 3072, contextLength: 2048 };

describe('engine layout', () => {
  it('rounds widths up to whole words', () => {
    expect([0, 1, 63, 64, 65, 768].map(pad64)).to.deep.equal([0, 64, 64, 64, 128, 768]);
  });

  it('places padded runs one behind the other', () => {
    const channels = { runs: 2, real: 3, padded: 64, width: 128 };
    expect([0, 1, 2, 3, 4, 5].map((i) => paddedIndex(channels, i))).to.deep.equal([0, 1, 2, 64, 65, 66]);
  });

  it('limits the head so that no sum leaves an int32', () => {
    // int16 is the limit up to 516 channels; ⌊(2^31 − 1) / (127 · 768)⌋ = 22017
    expect([64, 516, 517, 768].map(headLimit)).to.deep.equal([32_767, 32_767, 32_706, 22_017]);
    fc.assert(fc.property(fc.integer({ min: 1, max: 200_000 }), (width) => {
      const limit = headLimit(width);
      expect(limit * 127 * width).to.be.at.most(2 ** 31 - 1);
      if (limit < 32_767) expect((limit + 1) * 127 * width).to.be.above(2 ** 31 - 1);
    }));
  });

  it('derives the shape of a practical student', () => {
    const shape = engineShape(TINY_STUDENT);
    // D 8, H 2, F 16, C 12, on/off: the entrance is twice as wide
    expect(shape).to.deep.include({
      width: 8, paddedWidth: 64, feedForwardWidth: 16, paddedFeedForward: 64, heads: 2, headWidth: 4, headWords: 1,
      isOnOff: true, entranceWidth: 128, biasStride: 16, timeSteps: 4, layers: 2, vocabSize: 13, contextLength: 12,
    });
    const sizes = Object.fromEntries(Object.entries(shape.matrices).map(([name, { inputs, outputs }]) => [name, [inputs, outputs]]));
    expect(sizes).to.deep.equal({ qkv: [128, 192], out: [64, 64], fc1: [128, 64], fc2: [64, 64] });
    expect(shape.matrices.qkv.to).to.deep.equal({ runs: 3, real: 8, padded: 64, width: 192 });
    expect(shape.matrices.fc1.from).to.deep.equal({ runs: 2, real: 8, padded: 64, width: 128 });
  });

  it('has one entrance neuron a channel without on/off pairs', () => {
    const shape = engineShape(TINY_PAPER_STUDENT);
    expect([shape.isOnOff, shape.entranceWidth, shape.matrices.qkv.inputs]).to.deep.equal([false, 64, 64]);
  });

  it('rounds the stride of the distance table up to a multiple of 4 beyond C + 4', () => {
    const stride = (contextLength: number): number => engineShape({ ...TINY_STUDENT, contextLength }).biasStride;
    expect([1, 4, 12, 13, 2048].map(stride)).to.deep.equal([8, 8, 16, 20, 2052]);
  });

  it('sizes cache pages by 2·T·layers·D bits a token', () => {
    const shape = engineShape(LARGE);
    // 2 · 12 heads · 4 steps · 1 word · 64 positions · 8 bytes
    expect(layerBytes(shape)).to.equal(49_152);
    expect(pageBytes(shape)).to.equal(12 * 49_152);
    expect((pageBytes(shape) * 8) / 64).to.equal(2 * 4 * 12 * 768);
    expect(layerBytes(engineShape({ ...LARGE, hiddenSize: 12 * 65 }))).to.equal(2 * 49_152);
  });

  it('plans the image of one layer, section by section', () => {
    const plan = planImage({ ...TINY_PAPER_STUDENT, layers: 1 }, 'int4');
    // D, E and F pad to 64; V 13, C 12, H 2, stride 16; int4 matrices have half a byte a weight and one group of inputs
    const expected: [string, number, number][] = [
      ['embedding.weights', 832, 832], ['embedding.scales', 52, 64], ['positions', 3072, 3072], ['final_norm.weight', 256, 256], ['final_norm.bias', 256, 256],
      ...['attention_entry', 'qkv_neurons', 'attention_out', 'feed_forward_entry', 'hidden_neurons', 'attention_write', 'feed_forward_write']
        .flatMap((name): [string, number, number][] => ['bias', 'threshold'].map((part) => [`layers.0.${name}.${part}`, name === 'qkv_neurons' ? 768 : 256, name === 'qkv_neurons' ? 768 : 256])),
      ['layers.0.attention.reversed', 128, 128], ['layers.0.attention.threshold', 8, 64],
      ['layers.0.qkv.weights', 6144, 6144], ['layers.0.qkv.scales', 768, 768], ['layers.0.qkv.bias', 768, 768],
      ...['out', 'fc1', 'fc2'].flatMap((name): [string, number, number][] => [[`layers.0.${name}.weights`, 2048, 2048], [`layers.0.${name}.scales`, 256, 256], [`layers.0.${name}.bias`, 256, 256]]),
    ];
    let offset = 0;
    const sections = expected.map(([name, bytes, room]) => {
      offset += room;
      return [name, { offset: offset - room, bytes }];
    });
    expect([...plan.sections]).to.deep.equal(sections);
    expect(plan.totalBytes).to.equal(offset);
  });

  for (const precision of ENGINE_PRECISIONS) {
    it(`${precision}: sections are aligned and do not overlap`, () => {
      const plan = planImage(LARGE, precision);
      let end = 0;
      for (const [name, section] of plan.sections) {
        expect(section.offset % SECTION_ALIGNMENT, name).to.equal(0);
        expect(section.offset, name).to.be.at.least(end);
        end = section.offset + section.bytes;
      }
      expect(plan.totalBytes).to.be.at.least(end).and.below(end + SECTION_ALIGNMENT);
    });
  }
});

describe('packed weights', () => {
  const plan = planImage(TINY_STUDENT, 'int8');
  const offset = (name: string): number => plan.sections.get(name)!.offset;

  it('are addresses from the base on', () => {
    const weights = bindWeights(plan, 640);
    expect(weights.layers).to.have.lengthOf(2);
    const { qkv, attention, fc2 } = weights.layers[1]!;
    expect(qkv).to.deep.equal({
      weights: 640 + offset('layers.1.qkv.weights'), scales: 640 + offset('layers.1.qkv.scales'), bias: 640 + offset('layers.1.qkv.bias'),
      inputs: 128, outputs: 192, isWrite: false,
    });
    expect(attention).to.deep.equal({ reversed: 640 + offset('layers.1.attention.reversed'), biasStride: 16, thresholds: 640 + offset('layers.1.attention.threshold') });
    expect(fc2.scales).to.equal(640 + offset('layers.1.fc2.scales'));
    expect(weights.embedding).to.deep.equal({ weights: 640, scales: 640 + offset('embedding.scales'), rowBytes: 64 });
    expect([weights.positions, weights.finalNorm.bias]).to.deep.equal([640 + offset('positions'), 640 + offset('final_norm.bias')]);
  });

  it('are all different', () => {
    const addresses: number[] = [];
    JSON.stringify(bindWeights(planImage({ ...TINY_STUDENT, residualWrite: 'spike' }, 'int8'), 4096), (key, value: unknown) => {
      if (key === 'config' || key === 'shape') return undefined;
      if (typeof value === 'number' && !['inputs', 'outputs', 'biasStride', 'rowBytes'].includes(key)) addresses.push(value);
      return value;
    });
    expect(new Set(addresses).size).to.equal(addresses.length);
    expect(addresses).to.have.lengthOf(planImage({ ...TINY_STUDENT, residualWrite: 'spike' }, 'int8').sections.size);
  });

  it('have no write neurons where the current itself is written, and no scales in float32', () => {
    const [current] = bindWeights(plan, 0).layers;
    expect([current!.attentionWrite, current!.feedForwardWrite]).to.deep.equal([null, null]);
    const paper = planImage(TINY_PAPER_STUDENT, 'float32');
    const weights = bindWeights(paper, 0);
    expect(weights.layers[0]!.attentionWrite).to.deep.equal({
      bias: paper.sections.get('layers.0.attention_write.bias')!.offset, threshold: paper.sections.get('layers.0.attention_write.threshold')!.offset,
    });
    expect([weights.layers[0]!.fc1.scales, weights.embedding.scales, weights.embedding.rowBytes]).to.deep.equal([null, null, 256]);
  });

  it('refuse a base in the middle of a line', () => {
    expect(() => bindWeights(plan, 32)).to.throw(RangeError, 'the image starts at byte 32, a multiple of 64 expected');
  });
});
