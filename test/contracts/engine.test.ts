import { availableParallelism } from 'node:os';

import { expect } from 'chai';

import { createRandom } from '../../src/core/corpus/random.js';
import type { EngineModel } from '../../src/core/engine/engine.js';
import { instantiateEngine } from '../../src/core/engine/instantiate.js';
import type { WeightPrecision } from '../../src/core/types.js';
import { ENGINE_PRECISIONS } from '../../src/core/engine/layout.js';
import { openEngine } from '../../src/core/engine/open-engine.js';
import { referenceKernels } from '../../src/core/engine/reference.js';
import { addCounts, NO_COUNTS } from '../../src/core/energy/firing-rate.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import { readStudent } from '../../src/core/student/folder.js';
import { studentLanguageModel } from '../../src/core/student/language-model.js';
import type { OpCounts } from '../../src/core/types.js';
import { engineOn, writeRandomStudent } from '../support/engine-students.js';
import { withTempFolder } from '../support/temp-folder.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT } from '../support/tiny-models.js';

/** Students whose widths are no multiples of a word, whose heads share words, whose context fills several pages of the cache. */
const STUDENTS: readonly (readonly [name: string, config: StudentConfig])[] = [
  ['practical, T 4', TINY_STUDENT],
  ['paper, T 4', TINY_PAPER_STUDENT],
  ['T 1', { ...TINY_STUDENT, neuron: { ...TINY_STUDENT.neuron, timeSteps: 1 } }],
  ['T 3, hard reset, no pairs', { ...TINY_STUDENT, onOff: false, neuron: { ...TINY_STUDENT.neuron, timeSteps: 3, reset: 'hard', threshold: 0.7 } }],
  ['leaked soft reset, spikes written', { ...TINY_STUDENT, residualWrite: 'spike', neuron: { ...TINY_STUDENT.neuron, timeSteps: 2, reset: 'soft-leaked' } }],
  ['heads of 80 channels, context 150', {
    ...TINY_STUDENT, hiddenSize: 160, heads: 2, feedForwardSize: 200, contextLength: 150, vocabSize: 37, neuron: { ...TINY_STUDENT.neuron, timeSteps: 2 },
  }],
  ['heads of 32 channels, context 140', {
    ...TINY_STUDENT, hiddenSize: 128, heads: 4, feedForwardSize: 512, contextLength: 140, vocabSize: 64, neuron: { ...TINY_STUDENT.neuron, timeSteps: 2 },
  }],
];

function someIds(config: StudentConfig, length: number, seed: number): Int32Array {
  const random = createRandom(seed);
  return Int32Array.from({ length }, () => random.integer(config.vocabSize));
}

const onWasm = (folder: string, precision: WeightPrecision): Promise<EngineModel> => engineOn(folder, precision, ({ memory }) => instantiateEngine(memory));

/** Runs `body` on a folder with a random student. */
async function withStudent(config: StudentConfig, body: (folder: string) => Promise<void>): Promise<void> {
  await prepareBackend('cpu');
  await withTempFolder(async (folder) => {
    await writeRandomStudent(folder, config);
    await body(folder);
  });
}

/** Logits token by token. */
async function decode(model: EngineModel, ids: Int32Array): Promise<{ logits: Float32Array; counts: OpCounts[] }> {
  const session = model.openSession();
  const logits = new Float32Array(ids.length * model.shape.vocabSize);
  const counts: OpCounts[] = [];
  for (let i = 0; i < ids.length; i++) {
    const step = await session.append(ids.subarray(i, i + 1));
    logits.set(step.logits, i * model.shape.vocabSize);
    counts.push(step.counts as OpCounts);
  }
  session.dispose();
  return { logits, counts };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).to.equal(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

describe('engine, float32, against the training graph', () => {
  for (const [name, config] of STUDENTS) {
    it(`${name}: the same spikes at every site, the same logits`, () => withStudent(config, async (folder) => {
      const graph = studentLanguageModel(await readStudent(folder));
      const engine = await onWasm(folder, 'float32');
      const ids = someIds(config, config.contextLength, 3);
      const [expected] = await graph.forward([ids]);
      const [found] = await engine.forward([ids]);
      // A membrane within rounding of its threshold would flip; these seeds have none, so that counts are equal exactly.
      expect(addCounts(NO_COUNTS, found!.counts!)).to.deep.equal(addCounts(NO_COUNTS, expected!.counts!));
      expect(largestDifference(found!.logits, expected!.logits)).to.be.below(2e-4 * Math.max(...expected!.logits.map(Math.abs)));
      graph.dispose();
    }));
  }
});

describe('engine', () => {
  for (const [name, config] of STUDENTS) {
    for (const precision of ENGINE_PRECISIONS) {
      it(`${name}, ${precision}: WebAssembly and TypeScript kernels give the same bits`, () => withStudent(config, async (folder) => {
        const ids = someIds(config, Math.min(config.contextLength, 70), 7);
        const [wasm] = await (await onWasm(folder, precision)).forward([ids]);
        const [plain] = await (await engineOn(folder, precision, ({ memory }) => referenceKernels(memory))).forward([ids]);
        expect(wasm!.logits).to.deep.equal(plain!.logits);
        expect(wasm!.counts).to.deep.equal(plain!.counts);
      }));

      it(`${name}, ${precision}: decoding token by token gives the bits and counts of the full forward`, () => withStudent(config, async (folder) => {
        const engine = await onWasm(folder, precision);
        const ids = someIds(config, config.contextLength, 11);
        const [full] = await engine.forward([ids]);
        const { logits, counts } = await decode(engine, ids);
        expect(logits).to.deep.equal(full!.logits);
        full!.counts!.sites.forEach((site, i) => {
          for (const key of ['spikes', 'slots', 'accumulates'] as const) {
            expect(counts.reduce((sum, { sites }) => sum + sites[i]![key], 0), `layer ${site.layer} ${site.site} ${key}`).to.equal(site[key]);
          }
        });
        expect(counts.reduce((sum, { popcounts }) => sum + popcounts, 0)).to.equal(full!.counts!.popcounts);
      }));
    }
  }

  const [, wide] = STUDENTS[6]!;
  for (const precision of ENGINE_PRECISIONS) {
    it(`${precision}: two threads give the bits and counts of one`, function () {
      if (availableParallelism() < 2) this.skip(); // the engine refuses more threads than cores
      return withStudent(wide, async (folder) => {
        const ids = someIds(wide, 130, 5);
        const one = await openEngine({ folder, precision, threads: 1, notice: () => undefined });
        const two = await openEngine({ folder, precision, threads: 2, notice: () => undefined, pace: { run: (crew, job) => crew.run(job, 'all') } });
        expect(two.threads).to.equal(2);
        expect(await two.forward([ids])).to.deep.equal(await one.forward([ids]));
        expect(await decode(two, ids)).to.deep.equal(await decode(one, ids));
        two.dispose();
      });
    });
  }
});

describe('engine, a causal model', () => {
  const [, wide] = STUDENTS[6]!;

  it('later tokens change nothing before them, and a sequence is not touched by its batch', () => withStudent(wide, async (folder) => {
    const engine = await onWasm(folder, 'int8');
    const [ids, others] = [someIds(wide, 100, 1), someIds(wide, 100, 2)];
    const changed = ids.slice();
    changed.set(others.subarray(70), 70);
    const [alone] = await engine.forward([ids]);
    const [inBatch, , withOtherEnd] = await engine.forward([ids, others, changed]);
    expect(inBatch).to.deep.equal(alone);
    const untouched = 70 * wide.vocabSize;
    expect(withOtherEnd!.logits.subarray(0, untouched)).to.deep.equal(alone!.logits.subarray(0, untouched));
    expect(withOtherEnd!.logits.subarray(untouched)).to.not.deep.equal(alone!.logits.subarray(untouched));
  }));

  for (const prefix of [1, 63, 64, 65, 128]) {
    it(`a fork after ${prefix} tokens goes on as if the prefix were read again, and leaves its origin alone`, () => withStudent(wide, async (folder) => {
      const engine = await onWasm(folder, 'int8');
      const [ids, others] = [someIds(wide, prefix + 10, 8), someIds(wide, prefix + 10, 9)];
      const origin = engine.openSession();
      await origin.append(ids.subarray(0, prefix));
      const fork = origin.fork();
      for (let i = prefix; i < others.length; i++) await fork.append(others.subarray(i, i + 1));
      const onward = (await origin.append(ids.subarray(prefix))).logits.slice();
      const again = engine.openSession();
      await again.append(ids.subarray(0, prefix));
      expect((await again.append(ids.subarray(prefix))).logits).to.deep.equal(onward);
      const forkNext = (await fork.append([1])).logits.slice();
      const forkAgain = engine.openSession();
      await forkAgain.append([...ids.subarray(0, prefix), ...others.subarray(prefix)]);
      expect((await forkAgain.append([1])).logits).to.deep.equal(forkNext);
    }));
  }
});
