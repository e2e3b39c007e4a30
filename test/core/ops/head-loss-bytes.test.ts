import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { countTraffic } from '../../../bench/support/kernel-traffic.js';
import { headLossBytes } from '../../../src/core/ops/head-loss-bytes.js';
import { headLosses } from '../../../src/core/ops/head-losses.js';
import { hasKernel } from '../../../src/core/ops/kernels.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { backward } from '../../../src/core/train/backward.js';

interface Sizes { readonly rows: number; readonly vocabulary: number; readonly width: number; readonly chunk: number }

/** Peak of the losses and their backward pass, counted kernel by kernel, less the inputs. */
async function countedPeak({ rows, vocabulary, width, chunk }: Sizes): Promise<number> {
  const matrix = (height: number): tf.Tensor2D => tf.randomNormal([height, width], 0, 1, 'float32', height);
  const [states, head] = [tf.variable(matrix(rows)), tf.variable(matrix(vocabulary))];
  const teacher = { states: matrix(rows), head: matrix(vocabulary) };
  const labels = tf.zeros<tf.Rank.R1>([rows], 'int32');
  const inputs = [states, head, teacher.states, teacher.head, labels];
  const { peakBytes } = await countTraffic(() => {
    const { value, gradients } = backward(new Map([['states', states], ['head', head]]), () => headLosses({ states, head }, { labels, labelled: rows, teacher }, {
      softWeight: 1, hardWeight: 1, temperature: 2, chunkBytes: 4 * chunk * vocabulary,
    }).total);
    tf.dispose([value, ...gradients.values()]);
    return Promise.resolve();
  }, inputs);
  const inputBytes = 4 * inputs.reduce((sum, { size }) => sum + size, 0);
  tf.dispose(inputs);
  return peakBytes - inputBytes;
}

for (const backend of ['wasm', 'cpu'] as const) {
  describe(`memory of the head losses [${backend}]`, () => {
    before(() => prepareBackend(backend));

    it('a large vocabulary: a few chunks of logits, not the sixteen of all tokens', async () => {
      const sizes = { rows: 128, vocabulary: 2048, width: 2, chunk: 8 };
      const chunkBytes = 4 * sizes.chunk * sizes.vocabulary;
      const allLogits = 4 * sizes.rows * sizes.vocabulary;
      const counted = await countedPeak(sizes);
      // The kernel writes the gradient over the logits: nothing but the student's and the teacher's.
      expect(counted).to.be.below((backend === 'wasm' ? 2.5 : 12.5) * chunkBytes).and.below(allLogits);
    });

    for (const sizes of [
      { rows: 64, vocabulary: 2048, width: 2, chunk: 8 }, { rows: 64, vocabulary: 2048, width: 2, chunk: 64 }, { rows: 30, vocabulary: 512, width: 64, chunk: 7 },
      { rows: 20, vocabulary: 64, width: 64, chunk: 20 }, { rows: 90, vocabulary: 16, width: 32, chunk: 1 },
    ]) {
      it(`the formula is what is counted: ${sizes.rows} tokens, ${sizes.vocabulary} × ${sizes.width}, ${sizes.chunk} rows at a time`, async () => {
        const predicted = headLossBytes({ ...sizes, teacherWidth: sizes.width, sampled: null, chunkBytes: 4 * sizes.chunk * sizes.vocabulary, hasKernel: hasKernel('BispikHeadLosses') });
        const counted = await countedPeak(sizes);
        expect(counted).to.be.at.most(predicted).and.at.least(0.9 * predicted);
      });
    }
  });
}

describe('memory of the head losses of OPT-125M', () => {
  it('8 × 1024 tokens: .6 GB where seven matrices of logits took 11.5', () => {
    const sizes = { rows: 8192, vocabulary: 50272, width: 768, teacherWidth: 768, sampled: null, chunkBytes: 64 * 2 ** 20, hasKernel: true };
    // 3·V·D + M·D + 328·V (gradient of one of 25 chunks) + the chunk's states of student and teacher, and 4·M + 328 numbers of the rows.
    const numbers = 3 * 50272 * 768 + 8192 * 768 + 328 * 50272 + 328 * 1537 + 4 * 8192;
    expect(headLossBytes(sizes)).to.equal(4 * numbers).and.be.below(0.1 * 7 * 4 * 8192 * 50272);
  });
});
