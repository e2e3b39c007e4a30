import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { hasKernel } from '../../../src/core/ops/kernels.js';
import { WEIGHT_UNITS } from '../../../src/core/teacher-cache/sample.js';
import type { SampledLogits } from '../../../src/core/teacher-cache/sample-rows.js';
import { sampleOnHost, sampleRows } from '../../../src/core/teacher-cache/sample-rows.js';
import { describeOnOurKernels, expectClose } from '../../support/backends.js';

/** Logits N(0, spread²) of `rows` rows and two numbers of [0, 1) for each. */
function makeRows({ rows, vocabulary, spread, seed }: { rows: number; vocabulary: number; spread: number; seed: number }): { logits: Float32Array; draws: Float64Array } {
  const random = createRandom(seed);
  return { logits: Float32Array.from({ length: rows * vocabulary }, () => spread * random.normal()), draws: Float64Array.from({ length: 2 * rows }, () => random.next()) };
}

/** Ids with a weight, and that weight in units, in order of id. */
function heldOf({ ids, units }: SampledLogits, row: number, slots: number): [id: number, units: number][] {
  const places = Array.from({ length: slots }, (_, n) => row * slots + n);
  return places.map((at): [number, number] => [ids[at] as number, units[at] as number]).filter(([, weight]) => weight > 0).sort(([a], [b]) => a - b);
}

describeOnOurKernels('teacher-cache/sample-rows', (backend) => {
  it('gives what the sampler in TypeScript gives: vocabularies from 1 on, one slot to more slots than ids', async () => {
    const cases = [[1, 1, 1], [3, 5, 1], [12, 12, 2], [63, 4, 3], [64, 14, 0.2], [65, 13, 2], [130, 1, 4], [1000, 12, 2], [517, 14, 8]] as const;
    for (const [vocabulary, slots, spread] of cases) {
      const rows = 40;
      const { logits, draws } = makeRows({ rows, vocabulary, spread, seed: vocabulary });
      const makeLogits = (): tf.Tensor2D => tf.tensor2d(logits, [rows, vocabulary]);
      const before = tf.memory().numTensors;
      const [found, wanted] = [await sampleRows(makeLogits, { temperature: 1.7, slots, draws }), await sampleOnHost(makeLogits, { temperature: 1.7, slots, draws })];
      expect(tf.memory().numTensors).to.equal(before);
      expectClose(found.entropies, wanted.entropies, { absolute: 2e-5 }, `entropies, V ${vocabulary}`);
      let alike = 0;
      for (let row = 0; row < rows; row++) {
        const [own, theirs] = [heldOf(found, row, slots), heldOf(wanted, row, slots)];
        expect(own.reduce((sum, [, weight]) => sum + weight, 0)).to.equal(WEIGHT_UNITS);
        if (own.length === theirs.length && own.every(([id, weight], n) => id === theirs[n]?.[0] && Math.abs(weight - theirs[n][1]) <= 2)) alike++;
      }
      // The last bit of a probability can decide which of two ids a point hits.
      expect(alike, `rows alike of ${rows}, V ${vocabulary}`).to.be.at.least(rows - 1);
    }
  });

  it('is unbiased: over 20 000 rows every id has its own probability on average, within 5 standard errors', async function () {
    if (backend === 'webgpu') this.skip(); // it has no kernel: what is sampled on the host is tested there
    expect(hasKernel('BispikSampleRows')).to.equal(true);
    const [rows, vocabulary, slots] = [20_000, 70, 6];
    const { logits } = makeRows({ rows: 1, vocabulary, spread: 2, seed: 4 });
    const { draws } = makeRows({ rows, vocabulary: 1, spread: 1, seed: 5 });
    const { ids, units } = await sampleRows(() => tf.tile(tf.tensor2d(logits, [1, vocabulary]), [rows, 1]), { temperature: 1, slots, draws });
    const powers = Array.from(logits, Math.exp);
    const total = powers.reduce((a, b) => a + b);
    const [sums, squares] = [new Float64Array(vocabulary), new Float64Array(vocabulary)];
    for (let i = 0; i < rows * slots; i++) {
      const weight = (units[i] as number) / WEIGHT_UNITS;
      sums[ids[i] as number]! += weight;
      squares[ids[i] as number]! += weight ** 2;
    }
    powers.forEach((power, id) => {
      const p = power / total;
      const mean = (sums[id] as number) / rows;
      const deviation = Math.sqrt(Math.max((squares[id] as number) / rows - mean ** 2, p / rows / slots / 10));
      expect(Math.abs(mean - p), `id ${id} of probability ${p}`).to.be.below((5 * deviation) / Math.sqrt(rows) + 2e-6);
    });
  });

  it('of a row whose logits are not finite the entropy is not either, and it is no concern of others', async () => {
    const rows = [[1, 2, 3, 0], [1, NaN, 3, 0], [Infinity, 1, 2, 3], [0, 0, 0, 0]];
    const { entropies } = await sampleRows(() => tf.tensor2d(rows), { temperature: 1, slots: 2, draws: new Float64Array(8).fill(0.5) });
    expect(Array.from(entropies, Number.isFinite)).to.deep.equal([true, false, false, true]);
    expect(entropies[3]).to.be.closeTo(Math.log(4), 1e-6);
  });
});
