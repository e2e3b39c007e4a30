import { expect } from 'chai';

import { FormatError } from '../../../src/core/errors.js';
import type { WeightPrecision } from '../../../src/core/types.js';
import { ENGINE_PRECISIONS, planImage } from '../../../src/core/engine/layout.js';
import { packStudent } from '../../../src/core/engine/pack-student.js';
import type { StudentConfig } from '../../../src/core/student/config.js';
import type { StoredStudent } from '../../../src/core/student/stored.js';
import { rejection } from '../../support/rejection.js';
import { storedTensors, withValues } from '../../support/stored-student.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT } from '../../support/tiny-models.js';

/** V 2, C 3, D 2, H 2, F 3, one layer, threshold 1; on/off: E 4. */
const PRACTICAL: StudentConfig = { ...TINY_STUDENT, vocabSize: 2, contextLength: 3, hiddenSize: 2, feedForwardSize: 3, layers: 1 };
const PAPER: StudentConfig = { ...TINY_PAPER_STUDENT, vocabSize: 2, contextLength: 3, hiddenSize: 2, feedForwardSize: 3, layers: 1 };
type Values = Readonly<Record<string, readonly number[]>>;

function storedStudent(config: StudentConfig, changes: Values): StoredStudent {
  const tensors = withValues(storedTensors(config), changes);
  return { config, weightFile: 'student/model.safetensors', async* tensors() { yield* tensors; } };
}

/** Packs a student; the result reads sections by name, as f32. */
async function pack(config: StudentConfig, precision: WeightPrecision, changes: Values = {}): Promise<(name: string) => Float32Array> {
  const plan = planImage(config, precision);
  const target = new Uint8Array(plan.totalBytes).fill(0x55);
  await packStudent(storedStudent(config, changes), plan, target);
  return (name) => {
    const { offset, bytes } = plan.sections.get(name)!;
    return new Float32Array(target.buffer, offset, bytes / 4);
  };
}

const list = (values: Float32Array, start: number, end: number): number[] => Array.from(values.subarray(start, end));

describe('packed student', () => {
  it('folds the gains of the entrance pairs into thresholds and currents; padding never fires', async () => {
    const read = await pack(PRACTICAL, 'int8', {
      'layers.0.attention_entry.gain': [0.5, 4, 2, 0.25], 'layers.0.attention_entry.bias': [1, 1, -1, 3],
      'layers.0.feed_forward_entry.gain': [8, 8, 8, 8], 'layers.0.feed_forward_entry.bias': [8, -4, 2, 0],
    });
    const [threshold, bias] = [read('layers.0.attention_entry.threshold'), read('layers.0.attention_entry.bias')];
    expect([threshold.length, bias.length]).to.deep.equal([128, 128]);
    expect([list(threshold, 0, 3), list(threshold, 64, 67)]).to.deep.equal([[2, 0.25, Infinity], [0.5, 4, Infinity]]);
    expect([list(bias, 0, 3), list(bias, 64, 67)]).to.deep.equal([[2, 0.25, 0], [-0.5, 12, 0]]);
    expect(threshold.filter((value) => value === Infinity)).to.have.lengthOf(124);
    expect(list(read('layers.0.feed_forward_entry.bias'), 0, 2)).to.deep.equal([1, -0.5]);
    expect(list(read('layers.0.feed_forward_entry.bias'), 64, 66)).to.deep.equal([0.25, 0]);
  });

  it('folds the attention gain per head and reverses the distance table', async () => {
    const read = await pack(PRACTICAL, 'float32', {
      'layers.0.attention.gain': [2, 0.5], 'layers.0.attention.distance_bias': [10, 20, 30, 1, 2, -3],
      'layers.0.attention_out.gain': [4, 0.5], 'layers.0.attention_out.bias': [1, 1],
    });
    expect(Array.from(read('layers.0.attention.threshold'))).to.deep.equal([0.5, 2]);
    // stride 8; farthest first: C − 1 − distance
    expect(Array.from(read('layers.0.attention.reversed'))).to.deep.equal([15, 10, 5, 0, 0, 0, 0, 0, -6, 4, 2, 0, 0, 0, 0, 0]);
    expect(list(read('layers.0.attention_out.threshold'), 0, 3)).to.deep.equal([0.25, 2, Infinity]);
    expect(list(read('layers.0.attention_out.bias'), 0, 3)).to.deep.equal([0.25, 2, 0]);
  });

  it('int8: folds a column\'s scale into the neurons behind it, and leaves the bias of the matrix as it is', async () => {
    // fc1 (3 out, 4 in): scales 1/128, 1/64 and, for a column of zeros, 1
    const changes = { 'layers.0.fc1.weight': [127 / 128, 0, 0, 0, 0, 127 / 64, 0, 0, 0, 0, 0, 0], 'layers.0.fc1.bias': [0.25, -0.5, 3] };
    const read = await pack({ ...PRACTICAL, neuron: { ...PRACTICAL.neuron, threshold: 1.5 } }, 'int8', changes);
    expect(list(read('layers.0.fc1.scales'), 0, 4)).to.deep.equal([1 / 128, 1 / 64, 1, 1]);
    expect(list(read('layers.0.hidden_neurons.threshold'), 0, 4)).to.deep.equal([192, 96, 1.5, Infinity]);
    expect(list(read('layers.0.hidden_neurons.bias'), 0, 4)).to.deep.equal([32, -32, 3, 0]);
    expect(list(read('layers.0.fc1.bias'), 0, 4)).to.deep.equal([0.25, -0.5, 3, 0]);
  });

  it('int8: query, key and value neurons follow the thirds of qkv', async () => {
    // 6 outputs of 4 inputs; output 3 is the key's second channel
    const weight = Array.from({ length: 24 }, (_, at) => (at === 3 * 4 ? 127 / 4 : 0));
    const read = await pack(PRACTICAL, 'int8', { 'layers.0.qkv.weight': weight, 'layers.0.qkv.bias': [1, 2, 3, 4, 5, 6] });
    const [threshold, bias] = [read('layers.0.qkv_neurons.threshold'), read('layers.0.qkv_neurons.bias')];
    for (const [start, thresholds, biases] of [[0, [1, 1, Infinity], [1, 2, 0]], [64, [1, 4, Infinity], [3, 16, 0]], [128, [1, 1, Infinity], [5, 6, 0]]] as const) {
      expect(list(threshold, start, start + 3)).to.deep.equal(thresholds);
      expect(list(bias, start, start + 3)).to.deep.equal(biases);
    }
  });

  for (const precision of ['float32', 'int4'] as const) {
    it(`${precision}: plain neurons compare the whole current with the threshold itself`, async () => {
      const read = await pack(PAPER, precision, { 'layers.0.fc1.bias': [0.25, -0.5, 3] });
      for (const name of ['hidden_neurons', 'attention_write', 'feed_forward_write', 'qkv_neurons']) {
        expect(Array.from(read(`layers.0.${name}.bias`)).every((value) => value === 0), name).to.equal(true);
        const real = name === 'hidden_neurons' ? 3 : 2;
        expect(list(read(`layers.0.${name}.threshold`), 0, 4), name).to.deep.equal([1, 1, real === 3 ? 1 : Infinity, Infinity]);
      }
      expect(list(read('layers.0.fc1.bias'), 0, 4)).to.deep.equal([0.25, -0.5, 3, 0]);
    });
  }

  it('int8: write neurons take the scales of the matrix before them', async () => {
    const read = await pack(PAPER, 'int8', { 'layers.0.fc2.weight': [127 / 2, 0, 0, 0, 127, 0], 'layers.0.fc2.bias': [3, 4], 'layers.0.out.weight': [127 / 8, 0, 0, 127 * 2] });
    expect(list(read('layers.0.feed_forward_write.threshold'), 0, 3)).to.deep.equal([2, 1, Infinity]);
    expect(list(read('layers.0.feed_forward_write.bias'), 0, 3)).to.deep.equal([6, 4, 0]);
    expect(list(read('layers.0.attention_write.threshold'), 0, 3)).to.deep.equal([8, 0.5, Infinity]);
  });

  it('has gain 1 and no currents without learned neurons and distances', async () => {
    const read = await pack(PAPER, 'int8');
    for (const name of ['attention_entry', 'attention_out', 'feed_forward_entry']) {
      expect(list(read(`layers.0.${name}.threshold`), 0, 3), name).to.deep.equal([1, 1, Infinity]);
      expect(Array.from(read(`layers.0.${name}.bias`)).every((value) => value === 0), name).to.equal(true);
    }
    expect(Array.from(read('layers.0.attention.threshold'))).to.deep.equal([1, 1]);
    expect(Array.from(read('layers.0.attention.reversed')).every((value) => value === 0)).to.equal(true);
    const distances = await pack({ ...PAPER, relativeBias: true }, 'int8', { 'layers.0.attention.distance_bias': [1, 2, 3, 4, 5, 6] });
    expect(list(distances('layers.0.attention.reversed'), 0, 11)).to.deep.equal([3, 2, 1, 0, 0, 0, 0, 0, 6, 5, 4]);
  });

  it('packs the embedding, which is the head, the positions and the last norm', async () => {
    const changes = {
      'embed_tokens.weight': [127, -2.5, 0, 0], 'embed_positions.weight': [1, 2, 3, 4, 5, 6], 'final_norm.weight': [7, 8], 'final_norm.bias': [9, 10],
    };
    for (const precision of ENGINE_PRECISIONS) {
      const read = await pack(PRACTICAL, precision, changes);
      const weights = read('embedding.weights');
      if (precision === 'float32') {
        expect([list(weights, 0, 3), list(weights, 64, 66), weights.length]).to.deep.equal([[127, -2.5, 0], [0, 0], 128]);
      } else {
        const rows = new Int8Array(weights.buffer, weights.byteOffset, weights.byteLength);
        expect([Array.from(rows.subarray(0, 3)), Array.from(rows.subarray(64, 66)), rows.length]).to.deep.equal([[127, -2, 0], [0, 0], 128]);
        expect(Array.from(read('embedding.scales'))).to.deep.equal([1, 1]);
      }
      const positions = read('positions');
      expect([list(positions, 0, 3), list(positions, 64, 67), list(positions, 128, 131), positions.length]).to.deep.equal([[1, 2, 0], [3, 4, 0], [5, 6, 0], 192]);
      expect([list(read('final_norm.weight'), 0, 3), list(read('final_norm.bias'), 0, 3)]).to.deep.equal([[7, 8, 0], [9, 10, 0]]);
    }
  });

  it('keeps folded values finite and thresholds above 0', async () => {
    const read = await pack(PRACTICAL, 'int8', {
      'layers.0.attention_out.gain': [1e-45, 3e38], 'layers.0.attention_out.bias': [-1, 1],
      'layers.0.attention_entry.gain': [1e-45, 1, 1, 1], 'layers.0.attention_entry.bias': [5, 0, 0, 0],
    });
    const largest = 3.4028234663852886e38;
    const [threshold] = list(read('layers.0.attention_out.threshold'), 0, 1);
    expect([threshold, ...list(read('layers.0.attention_out.bias'), 0, 1), ...list(read('layers.0.attention_entry.bias'), 0, 1)]).to.deep.equal([largest, -largest, largest]);
    const small = await pack({ ...PRACTICAL, neuron: { ...PRACTICAL.neuron, threshold: 1e-20 } }, 'int8', { 'layers.0.attention_out.gain': [1, 3e38] });
    expect(list(small('layers.0.attention_out.threshold'), 0, 2)).to.deep.equal([Math.fround(1e-20), 2 ** -149]);
  });

  for (const [gain, shown] of [[0, '0'], [-0.5, '-0.5'], [-0, '0']] as const) {
    it(`refuses a gain of ${Object.is(gain, -0) ? '-0' : gain}, naming tensor and value`, async () => {
      for (const [name, values] of [['attention_entry', [1, 1, 1, gain]], ['attention', [1, gain]], ['attention_out', [1, gain]], ['feed_forward_entry', [1, gain, 1, 1]]] as const) {
        const refusal = await rejection(pack(PRACTICAL, 'int8', { [`layers.0.${name}.gain`]: values }), FormatError);
        const at = values.indexOf(gain);
        expect(refusal.message).to.equal(`student/model.safetensors: layers.0.${name}.gain: value ${at} is ${shown}, a gain above 0 expected`);
        expect(refusal.suggestions).to.have.lengthOf(1);
      }
    });
  }

  for (const precision of ENGINE_PRECISIONS) {
    it(`${precision}: writes every byte of the image, and none behind it`, async () => {
      const plan = planImage(TINY_STUDENT, precision);
      const images = [0, 0xff].map((filler) => new Uint8Array(plan.totalBytes + 64).fill(filler));
      for (const image of images) await packStudent(storedStudent(TINY_STUDENT, {}), plan, image);
      const [zeros, ones] = images as [Uint8Array, Uint8Array];
      expect(Buffer.from(zeros.subarray(0, plan.totalBytes)).equals(Buffer.from(ones.subarray(0, plan.totalBytes)))).to.equal(true);
      expect(ones.subarray(plan.totalBytes).every((byte) => byte === 0xff)).to.equal(true);
    });
  }

  it('refuses memory that is too small or lies askew', async () => {
    const plan = planImage(PRACTICAL, 'int8');
    for (const target of [new Uint8Array(plan.totalBytes - 1), new Uint8Array(plan.totalBytes + 32).subarray(32)]) {
      const failure = await packStudent(storedStudent(PRACTICAL, {}), plan, target).then(() => null, (error: unknown) => error);
      expect(failure).to.be.instanceOf(RangeError);
    }
  });
});
