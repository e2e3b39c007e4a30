import { ShapeError } from '../errors.js';
import { fanOut } from '../student/fan-out.js';
import type { ModelShape, OpCounts, SpikeSite, WeightPrecision } from '../types.js';

/** Counted events of one site of one layer. */
export interface LedgerRow {
  readonly layer: number;
  readonly site: SpikeSite;
  readonly spikes: number;
  /** Neurons × time steps × tokens: each is one membrane update. */ readonly membraneUpdates: number;
  /** Additions that its spikes caused. */ readonly accumulates: number;
  /** Of these, additions of a weight, which is read for it. */ readonly weightsRead: number;
  /** 64-bit words of queries and keys compared by AND and population count (site `query`). */ readonly popcountWords: number;
  /** Bits of keys (`query`) or values (`attention`) read from the cache. */ readonly cacheBitsRead: number;
  /** Additions if every neuron had fired in every time step. */ readonly denseAccumulates: number;
}

/** Everything a student did to process `tokens` tokens, as it occurred. */
export interface StudentLedger {
  readonly tokens: number;
  readonly timeSteps: number;
  readonly precision: WeightPrecision;
  readonly rows: readonly LedgerRow[];
  /** Real-valued: scale of the final norm and output head. */ readonly head: { readonly macs: number; readonly weightsRead: number };
}

/** Bits of a stored weight. int4 has a scale for every group beside it, which is not counted. */
export const WEIGHT_BITS: Readonly<Record<WeightPrecision, number>> = { float32: 32, int8: 8, int4: 4 };

const MATRIX_SITES: ReadonlySet<SpikeSite> = new Set<SpikeSite>(['attention_entry', 'attention_out', 'feed_forward_entry', 'hidden']);
const WORD_BITS = 64;

/** What the counts belong to. */
export interface LedgerModel {
  readonly shape: ModelShape;
  readonly timeSteps: number;
  readonly precision: WeightPrecision;
}

/**
 * Lays out counted events site by site. Nothing is estimated from average rates: spikes and accumulates are those that occurred, pairs and updates those that
 * were computed. @throws ShapeError when the counts cover no token.
 */
export function studentLedger(counts: OpCounts, { shape, timeSteps, precision }: LedgerModel): StudentLedger {
  if (counts.tokens === 0) throw new ShapeError('an energy ledger needs at least one processed token, found 0');
  const headWidth = shape.hiddenSize / shape.heads;
  const pairsPerLayer = counts.popcounts / shape.layers; // causal pairs × heads × time steps
  const rows = counts.sites.map(({ layer, site, spikes, slots, accumulates }): LedgerRow => ({
    layer, site, spikes, accumulates, membraneUpdates: slots,
    weightsRead: MATRIX_SITES.has(site) ? accumulates : 0,
    popcountWords: site === 'query' ? pairsPerLayer * Math.ceil(headWidth / WORD_BITS) : 0,
    cacheBitsRead: site === 'query' ? pairsPerLayer * headWidth : site === 'attention' ? accumulates : 0,
    denseAccumulates: site === 'query' ? pairsPerLayer * headWidth : slots * fanOut(site, shape, 0),
  }));
  return { tokens: counts.tokens, timeSteps, precision, rows, head: { macs: counts.macs, weightsRead: counts.tokens * shape.hiddenSize * shape.vocabSize } };
}

/** Sums over all sites. */
export function ledgerTotals(rows: readonly LedgerRow[]): Omit<LedgerRow, 'layer' | 'site'> {
  const sum = (pick: (row: LedgerRow) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  return {
    spikes: sum((row) => row.spikes), membraneUpdates: sum((row) => row.membraneUpdates), accumulates: sum((row) => row.accumulates), weightsRead: sum((row) => row.weightsRead),
    popcountWords: sum((row) => row.popcountWords), cacheBitsRead: sum((row) => row.cacheBitsRead), denseAccumulates: sum((row) => row.denseAccumulates),
  };
}

/**
 * NeuroBench's synaptic operations (Yik et al., "The neurobench framework", arXiv 2304.04640): effective ones have a non-zero activation, accumulates where it is binary.
 * Deviation: weights that happen to be zero are counted like any other.
 */
export interface NeurobenchCounts {
  readonly effectiveAcs: number;
  readonly effectiveMacs: number;
  /** All synaptic operations had everything fired. */ readonly denseOps: number;
  readonly membraneUpdates: number;
}

export function neurobenchCounts(ledger: StudentLedger): NeurobenchCounts {
  const { accumulates, denseAccumulates, membraneUpdates } = ledgerTotals(ledger.rows);
  return { effectiveAcs: accumulates, effectiveMacs: ledger.head.macs, denseOps: denseAccumulates + ledger.head.macs, membraneUpdates };
}
