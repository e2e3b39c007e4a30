import { expect } from 'chai';

import type { EnergyConvention } from '../../../src/core/energy/conventions.js';
import { loadConventions } from '../../../src/core/energy/conventions.js';
import { denseCounts, workOfLengths } from '../../../src/core/energy/dense-counts.js';
import type { LedgerRow, StudentLedger } from '../../../src/core/energy/ledger.js';
import { ledgerTotals, neurobenchCounts, studentLedger } from '../../../src/core/energy/ledger.js';
import type { Comparison } from '../../../src/core/energy/verdict.js';
import { accountFor, effectiveRate, rowEnergy, studentEnergyOf } from '../../../src/core/energy/verdict.js';
import { openEngine } from '../../../src/core/engine/open-engine.js';
import { ShapeError } from '../../../src/core/errors.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { StudentConfig } from '../../../src/core/student/config.js';
import { readStudent } from '../../../src/core/student/folder.js';
import { studentLanguageModel } from '../../../src/core/student/language-model.js';
import type { LanguageModel, SpikeSite } from '../../../src/core/types.js';
import { storedTensors, writeStoredStudent } from '../../support/stored-student.js';
import { withTempFolder } from '../../support/temp-folder.js';

/** Two layers, D 4, two heads of K 2, F 6, V 5, T 2. */
const CONFIG: StudentConfig = {
  vocabSize: 5, hiddenSize: 4, layers: 2, heads: 2, feedForwardSize: 6, contextLength: 3,
  neuron: { timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true },
  residualWrite: 'current', learnedNeurons: true, onOff: false, relativeBias: true, embeddingGain: 1, layerNormEps: 1e-5, bosId: null, eosId: null, padId: null,
};
/** A current of 5 fires in every time step, one of −5 never, since all weights are 0 and all gains 1. */
const firing = (width: number, channels: readonly number[]): number[] => Array.from({ length: width }, (_, i) => (channels.includes(i) ? 5 : -5));

/** Biases that say which neurons fire; the same for every token. */
const SPIKES: Readonly<Record<string, readonly number[]>> = {
  'layers.0.attention_entry.bias': firing(4, [0, 2]),
  // Query 0, 1, 2; key 0; value 1, 3.
  'layers.0.qkv.bias': firing(12, [0, 1, 2, 4 + 0, 8 + 1, 8 + 3]),
  // Head 0 attends to the token itself, head 1 to the one before it.
  'layers.0.attention.distance_bias': [5, -5, -5, -5, 5, -5],
  'layers.0.attention_out.bias': firing(4, [3]),
  'layers.0.feed_forward_entry.bias': firing(4, [0, 1, 2, 3]),
  'layers.0.fc1.bias': firing(6, [5]),
  'layers.1.attention_entry.bias': firing(4, [1]),
  'layers.1.qkv.bias': firing(12, []),
  'layers.1.attention.distance_bias': [-5, -5, -5, -5, -5, -5],
  'layers.1.attention_out.bias': firing(4, []),
  'layers.1.feed_forward_entry.bias': firing(4, []),
  'layers.1.fc1.bias': firing(6, []),
};

type Counted = Omit<LedgerRow, 'layer' | 'site'>;
const row = (spikes: number, membraneUpdates: number, accumulates: number, rest: Partial<Counted>): Counted =>
  ({ spikes, membraneUpdates, accumulates, weightsRead: 0, popcountWords: 0, cacheBitsRead: 0, denseAccumulates: 0, ...rest });

/**
 * Three tokens on paper. Per site: spiking channels · T 2 · 3 tokens; neurons · T 2 · 3 tokens; spikes · fan-out.
 * The tokens see 1, 2 and 3 keys, so there are 6 pairs; with 2 heads and 2 time steps 24 comparisons a layer, each of K = 2 bits in one word.
 */
const LAYER_0: Readonly<Partial<Record<SpikeSite, Counted>>> = {
  attention_entry: row(12, 24, 12 * 12, { weightsRead: 144, denseAccumulates: 24 * 12 }),
  // 6 query spikes a token meet 1, 2 and 3 keys.
  query: row(18, 24, 6 * 1 + 6 * 2 + 6 * 3, { popcountWords: 24, cacheBitsRead: 24 * 2, denseAccumulates: 24 * 2 }),
  key: row(6, 24, 0, {}),
  value: row(12, 24, 0, {}),
  // Head 0: three pairs at distance 0; head 1: two at distance 1; each in both time steps; each spike selects K = 2 value bits.
  attention: row(10, 24, 20, { cacheBitsRead: 20, denseAccumulates: 24 * 2 }),
  attention_out: row(6, 24, 6 * 4, { weightsRead: 24, denseAccumulates: 24 * 4 }),
  feed_forward_entry: row(24, 24, 24 * 6, { weightsRead: 144, denseAccumulates: 24 * 6 }),
  hidden: row(6, 36, 6 * 4, { weightsRead: 24, denseAccumulates: 36 * 4 }),
};
const LAYER_0_SUM = 144 + 36 + 20 + 24 + 144 + 24;
/** In layer 1 one entrance neuron fires and nothing else. */
const LAYER_1_SUM = 6 * 12;
/** Per token the norm's scale, D 4, and the head, D·V 20. */
const HEAD_MACS = 3 * 24;

function expectWorked(ledger: StudentLedger): void {
  for (const [site, expected] of Object.entries(LAYER_0)) {
    const { layer: _layer, site: _site, ...found } = ledger.rows.find((candidate) => candidate.layer === 0 && candidate.site === site)!;
    expect(found, `layer 0 ${site}`).to.deep.equal(expected);
  }
  const layer1 = ledger.rows.filter(({ layer }) => layer === 1);
  expect(layer1.map(({ site, spikes }) => [site, spikes]).filter(([, spikes]) => spikes !== 0)).to.deep.equal([['attention_entry', 6]]);
  expect(ledgerTotals(layer1)).to.include({ accumulates: LAYER_1_SUM, weightsRead: LAYER_1_SUM, popcountWords: 24, membraneUpdates: 24 * 7 + 36 });
  expect(ledger.head).to.deep.equal({ macs: HEAD_MACS, weightsRead: 3 * 20 });
}

async function countOn(open: (folder: string) => Promise<LanguageModel>): Promise<StudentLedger> {
  let ledger: StudentLedger | null = null;
  await withTempFolder(async (folder) => {
    const tensors = storedTensors(CONFIG).map((tensor) => ({
      ...tensor, values: tensor.values.map((_, i) => SPIKES[tensor.name]?.[i] ?? (tensor.name.endsWith('.gain') ? 1 : 0)),
    }));
    await writeStoredStudent(folder, CONFIG, tensors);
    const model = await open(folder);
    const [result] = await model.forward([[1, 2, 3]]);
    ledger = studentLedger(result!.counts!, model);
    model.dispose();
  });
  return ledger!;
}

const CONVENTION: EnergyConvention = {
  name: 'round', float32: { macPj: 4, acPj: 1 }, int8: { macPj: 0.5, acPj: 0.25 }, overlaps: 'popcounts', popcountWordPj: 3, membraneUpdatePj: 2, weightBitPj: 0.125, cacheBitPj: 0.5, membraneBitPj: 0.0625,
};

describe('energy ledger', () => {
  it('a two-layer model whose spikes are given, three tokens, on the engine: exactly the counts worked out on paper', async () => {
    expectWorked(await countOn((folder) => openEngine({ folder, precision: 'float32', threads: 1, notice: () => undefined })));
  });

  it('the same on the training graph', async () => {
    await prepareBackend('cpu');
    expectWorked(await countOn(async (folder) => studentLanguageModel(await readStudent(folder))));
  });

  it('joules of one layer with a calculator, by a convention with popcounts, neurons and memory', async () => {
    const ledger = await countOn((folder) => openEngine({ folder, precision: 'float32', threads: 1, notice: () => undefined }));
    const pj = (site: SpikeSite): number => rowEnergy(ledger.rows.find((candidate) => candidate.layer === 0 && candidate.site === site)!, ledger, CONVENTION).pj;
    // A neuron: 2 + 64 bits · .0625 = 6 pJ an update. A weight: 32 bits · .125 = 4 pJ. An addition 1 pJ.
    expect(pj('attention_entry')).to.equal(24 * 6 + 144 * (1 + 4));
    expect(pj('query')).to.equal(24 * 6 + 24 * 3 + 48 * 0.5);
    expect(pj('key')).to.equal(24 * 6);
    expect(pj('attention')).to.equal(24 * 6 + 20 * 1 + 20 * 0.5);
    expect(pj('hidden')).to.equal(36 * 6 + 24 * 5);
  });

  it('the convention that ships for accumulates, with a calculator; NeuroBench\'s counts', async () => {
    const ledger = await countOn((folder) => openEngine({ folder, precision: 'float32', threads: 1, notice: () => undefined }));
    const [accumulates] = (await loadConventions()).filter(({ name }) => name === 'accumulates-45nm');
    const energy = studentEnergyOf(ledger, accumulates!);
    expect(energy.blocksPj).to.be.closeTo(0.9 * (LAYER_0_SUM + LAYER_1_SUM), 1e-9);
    expect(energy.headPj).to.be.closeTo(4.6 * HEAD_MACS, 1e-9);
    expect(energy.fixedPj).to.equal(0);
    const dense = (24 * 12 + 48 + 48 + 96 + 144 + 144) * 2;
    expect(neurobenchCounts(ledger)).to.deep.equal({ effectiveAcs: LAYER_0_SUM + LAYER_1_SUM, effectiveMacs: HEAD_MACS, denseOps: dense + HEAD_MACS, membraneUpdates: 2 * (24 * 7 + 36) });
    expect(effectiveRate(ledger)).to.be.closeTo((LAYER_0_SUM + LAYER_1_SUM) / dense, 1e-12);
  });

  it('no token, no ledger', () => {
    expect(() => studentLedger({ tokens: 0, sites: [], macs: 0, popcounts: 0 }, { shape: CONFIG, timeSteps: 2, precision: 'float32' })).to.throw(ShapeError);
  });
});

describe('verdict', () => {
  const ledgerOf = (accumulates: number, precision: StudentLedger['precision'] = 'float32'): StudentLedger => ({
    tokens: 1, timeSteps: 2, precision, head: { macs: 10, weightsRead: 10 },
    rows: [{ layer: 0, site: 'hidden', spikes: accumulates / 4, membraneUpdates: 10, accumulates, weightsRead: accumulates, popcountWords: 0, cacheBitsRead: 0, denseAccumulates: 200 }],
  });
  const free = { ...CONVENTION, popcountWordPj: 0, membraneUpdatePj: 0, weightBitPj: 0, cacheBitPj: 0, membraneBitPj: 0 };
  const dense = { blockMacs: 100, attentionMacs: 20, readoutMacs: 10 };

  const comparisonsOf = (accumulates: number): readonly Comparison[] => accountFor(ledgerOf(accumulates), dense, [free])[0]!.comparisons;

  it('against float32 and int8, by hand: ratios, the rate to break even, and what follows', () => {
    const [float32, int8] = comparisonsOf(40);
    // 40 pJ against 400 and 50; with heads 80 against 440 and 55. The rate is 40 of 200.
    expect(float32).to.include({ precision: 'float32', ratioBlocks: 0.1, breakEvenRate: 2 });
    expect(float32?.ratioWithHead).to.be.closeTo(80 / 440, 1e-12);
    expect(int8).to.include({ precision: 'int8', ratioBlocks: 0.8 });
    expect(int8?.breakEvenRate).to.be.closeTo(0.25, 1e-12);
    expect(int8?.verdict).to.equal('at an effective rate of 20.0 % the student\'s blocks use 80.0 % of what a dense int8 network uses');
    expect(comparisonsOf(80)[1]?.verdict).to.equal('at an effective rate of 40.0 % a dense int8 network would use less: the student needs 25.0 % to break even');
  });

  it('where neurons alone cost more, no rate helps', () => {
    const [report] = accountFor(ledgerOf(40), dense, [{ ...free, membraneUpdatePj: 1000 }]);
    expect(report?.comparisons[0]).to.include({ breakEvenRate: 0, verdict: 'a dense float32 network would use less at any rate: neurons alone cost more than its products' });
  });

  it('weights in 8 bits are added as integers and read in 8 bits; the dense network pays a weight or a cached number for each operation', () => {
    const [report] = accountFor(ledgerOf(40, 'int8'), dense, [{ ...free, weightBitPj: 0.125, cacheBitPj: 0.5 }]);
    expect(report?.student).to.deep.equal({ blocksPj: 40 * 0.25 + 40 * 8 * 0.125, headPj: 10 * 0.5 + 10 * 8 * 0.125 });
    expect(report?.comparisons[1]?.dense).to.deep.equal({ blocksPj: 100 * 0.5 + 80 * 8 * 0.125 + 20 * 8 * 0.5, headPj: 10 * (0.5 + 8 * 0.125) });
  });
});

describe('conventions that ship', () => {
  it('are three, with the dense counts of a real shape they give finite numbers', async () => {
    const conventions = await loadConventions();
    expect(conventions.map(({ name }) => name)).to.deep.equal(['accumulates-45nm', 'memory-dram-45nm', 'memory-sram-45nm']);
    const ledger = await countOn((folder) => openEngine({ folder, precision: 'int8', threads: 1, notice: () => undefined }));
    for (const { student, comparisons } of accountFor(ledger, denseCounts(CONFIG, workOfLengths([3])), conventions)) {
      expect(student.blocksPj).to.be.above(0);
      for (const { ratioBlocks, breakEvenRate } of comparisons) expect([Number.isFinite(ratioBlocks), breakEvenRate >= 0]).to.deep.equal([true, true]);
    }
  });
});
