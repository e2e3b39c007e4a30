import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { listenToKernels } from '../../../src/core/backend/profile/kernel-calls.js';
import { embedTokens } from '../../../src/core/ops/embedding.js';
import { reversePass } from '../../../src/core/ops/reverse-pass.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { numbers } from '../../support/kernel-cases.js';

interface Case { readonly batch: number; readonly length: number; readonly width: number; readonly vocabulary: number; readonly places: number; readonly offset: number }
const CASES: readonly Case[] = [
  { batch: 1, length: 1, width: 1, vocabulary: 1, places: 1, offset: 0 },
  { batch: 1, length: 7, width: 5, vocabulary: 3, places: 9, offset: 2 },
  { batch: 3, length: 4, width: 6, vocabulary: 11, places: 4, offset: 0 },
  { batch: 4, length: 5, width: 13, vocabulary: 7, places: 8, offset: 3 },
  { batch: 2, length: 6, width: 9, vocabulary: 5, places: 10, offset: 0 },
];

function fill({ batch, length, width, vocabulary, places }: Case) {
  const random = numbers(100 * batch + width);
  return {
    tokens: random.floats(vocabulary * width), positions: random.floats(places * width), weights: random.floats(batch * length * width),
    ids: Int32Array.from({ length: batch * length }, () => random.below(vocabulary)),
  };
}

/** The embedding in float64 and the gradients of Σ weights·embedding in both tables. */
function reference(at: Case) {
  const { tokens, positions, weights, ids } = fill(at);
  const [dTokens, dPositions] = [new Float64Array(tokens.length), new Float64Array(positions.length)];
  const value = Array.from(weights, (weight, i) => {
    const [row, c] = [Math.floor(i / at.width), i % at.width];
    const [token, position] = [ids[row]! * at.width + c, (at.offset + row % at.length) * at.width + c];
    dTokens[token]! += weight;
    dPositions[position]! += weight;
    return tokens[token]! + positions[position]!;
  });
  return { value, dTokens, dPositions };
}

function onDevice(at: Case) {
  const { tokens, positions, weights, ids } = fill(at);
  const tables = { tokens: tf.tensor2d(tokens, [at.vocabulary, at.width]), positions: tf.tensor2d(positions, [at.places, at.width]) };
  const [given, weigh] = [tf.tensor2d(ids, [at.batch, at.length], 'int32'), tf.tensor3d(weights, [at.batch, at.length, at.width])];
  const loss = (t: tf.Tensor, p: tf.Tensor): tf.Scalar => tf.sum(tf.mul(embedTokens({ tokens: t as tf.Tensor2D, positions: p as tf.Tensor2D }, given, at.offset), weigh));
  return { tables, ids: given, loss, xs: [tables.tokens, tables.positions], all: [given, weigh, tables.tokens, tables.positions] };
}

describeOnBackends('embedding', () => {
  it('by hand: tokens 2, 0 and 2 at positions 1, 2 and 3', async () => {
    const tables = { tokens: tf.tensor2d([1, 2, 3], [3, 1]), positions: tf.tensor2d([10, 20, 30, 40], [4, 1]) };
    const ids = tf.tensor2d([2, 0, 2], [1, 3], 'int32');
    expect([...await embedTokens(tables, ids, 1).data()]).to.deep.equal([23, 31, 43]);
    const [dTokens, dPositions] = tf.grads((tokens, positions) => tf.sum(tf.mul(embedTokens({ tokens: tokens as tf.Tensor2D, positions: positions as tf.Tensor2D }, ids, 1), tf.tensor3d([1, 5, 7], [1, 3, 1]))))([tables.tokens, tables.positions]);
    expect([...await dTokens!.data(), ...await dPositions!.data()]).to.deep.equal([5, 0, 8, 0, 1, 5, 7]);
  });

  it('values and gradients are those of float64, and nothing is left behind', async () => {
    for (const at of CASES) {
      const { tables, ids, loss, xs, all } = onDevice(at);
      const before = tf.memory().numTensors;
      const y = embedTokens(tables, ids, at.offset);
      const { value, gradients } = tf.tidy(() => reversePass(() => loss(tables.tokens, tables.positions), xs));
      const expected = reference(at);
      expectClose(await y.data(), expected.value, { absolute: 1e-6 }, JSON.stringify(at));
      expectClose(await gradients[0]!.data(), expected.dTokens, { absolute: 2e-6 }, `tokens of ${JSON.stringify(at)}`);
      expectClose(await gradients[1]!.data(), expected.dPositions, { absolute: 2e-6 }, `positions of ${JSON.stringify(at)}`);
      tf.dispose([y, value, ...gradients as tf.Tensor[], ...all]);
      expect(tf.memory().numTensors - before).to.equal(-all.length);
    }
  });

  it('the gradient of an id outside the table goes nowhere; its row is an error, or zeros on webgpu', async () => {
    const tables = { tokens: tf.tensor2d([1, 2, 3], [3, 1]), positions: tf.tensor2d([10, 20], [2, 1]) };
    const ids = tf.tensor2d([1, 3], [1, 2], 'int32');
    if (tf.getBackend() !== 'webgpu') {
      expect(() => embedTokens(tables, ids, 0)).to.throw(/GatherV2: the index .* is not in \[0, 2\]/);
      return;
    }
    expect([...await embedTokens(tables, ids, 0).data()]).to.deep.equal([12, 20]);
    const gradient = tf.grad((tokens) => tf.sum(embedTokens({ ...tables, tokens: tokens as tf.Tensor2D }, ids, 0)))(tables.tokens);
    expect([...await gradient.data()]).to.deep.equal([0, 1, 0]);
  });

  it('takes two kernels each way where it fills the table of positions', () => {
    const { loss, tables, xs } = onDevice(CASES[2]!);
    const names: string[] = [];
    const stop = listenToKernels({ end: ({ name, isComposed }) => { if (!isComposed) names.push(name); } });
    tf.tidy(() => reversePass(() => loss(tables.tokens, tables.positions), xs));
    stop();
    const ofLoss = ['Multiply', 'Sum'];
    expect(names.slice(0, 4)).to.deep.equal(['GatherV2', 'Add', ...ofLoss]);
    expect(names.slice(-2)).to.deep.equal(['Sum', 'UnsortedSegmentSum']);
    expect(names).not.to.include.members(['Transpose']).and.not.to.include.members(['PadV2']);
  });
});
