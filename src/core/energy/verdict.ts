import type { ArithmeticCosts, EnergyConvention } from './conventions.js';
import type { DenseCounts } from './dense-counts.js';
import type { LedgerRow, StudentLedger } from './ledger.js';
import { ledgerTotals, WEIGHT_BITS } from './ledger.js';

/** Bits of a membrane. */
const MEMBRANE_BITS = 32;
const PRECISIONS = ['float32', 'int8'] as const;
/** Arithmetic of a dense network that a student is set beside. */
export type DensePrecision = (typeof PRECISIONS)[number];

/** Picojoules of blocks and of what follows them. */
export interface Energy {
  readonly blocksPj: number;
  readonly headPj: number;
}

/** A student beside a dense network of one precision, by one convention. */
export interface Comparison {
  readonly precision: DensePrecision;
  readonly dense: Energy;
  /** Student over dense, blocks only. */ readonly ratioBlocks: number;
  /** Student over dense, everything. */ readonly ratioWithHead: number;
  /** Effective firing rate at which the blocks of both would use the same; 0 when what does not depend on spikes already uses more. */ readonly breakEvenRate: number;
  /** In words. */ readonly verdict: string;
}

/** One convention's account. */
export interface ConventionReport {
  readonly convention: string;
  readonly student: Energy;
  readonly comparisons: readonly Comparison[];
}

/** Accumulates over what every neuron firing in every time step would have caused, 0–1: the rate that energy depends on. */
export function effectiveRate(ledger: StudentLedger): number {
  const { accumulates, denseAccumulates } = ledgerTotals(ledger.rows);
  return denseAccumulates === 0 ? 0 : accumulates / denseAccumulates;
}

/** Weights that are not float32 are added as integers. */
function arithmeticOf({ precision }: StudentLedger, convention: EnergyConvention): ArithmeticCosts {
  return precision === 'float32' ? convention.float32 : convention.int8;
}

/**
 * Picojoules of one site: accumulates·E_AC, or for overlaps words·E_popcount where the convention counts them so; updates·(E_update + 2·32 bits of membrane); weights and
 * cache bits read. `fixed` is what does not depend on how many spikes there were.
 */
export function rowEnergy(row: LedgerRow, ledger: StudentLedger, convention: EnergyConvention): { readonly pj: number; readonly fixedPj: number } {
  const { acPj } = arithmeticOf(ledger, convention);
  const isByWords = row.site === 'query' && convention.overlaps === 'popcounts';
  const overlapsPj = isByWords ? row.popcountWords * convention.popcountWordPj : 0;
  const neuronsPj = row.membraneUpdates * (convention.membraneUpdatePj + 2 * MEMBRANE_BITS * convention.membraneBitPj);
  const keysPj = row.site === 'query' ? row.cacheBitsRead * convention.cacheBitPj : 0; // every pair is compared, whatever fired
  const fixedPj = overlapsPj + neuronsPj + keysPj;
  const additionsPj = isByWords ? 0 : row.accumulates * acPj;
  const memoryPj = row.weightsRead * WEIGHT_BITS[ledger.precision] * convention.weightBitPj + (row.site === 'query' ? 0 : row.cacheBitsRead * convention.cacheBitPj);
  return { pj: fixedPj + additionsPj + memoryPj, fixedPj };
}

/** A student's energy by a convention. */
export function studentEnergyOf(ledger: StudentLedger, convention: EnergyConvention): Energy & { readonly fixedPj: number } {
  const rows = ledger.rows.map((row) => rowEnergy(row, ledger, convention));
  const { macPj } = arithmeticOf(ledger, convention);
  return {
    blocksPj: rows.reduce((sum, { pj }) => sum + pj, 0), fixedPj: rows.reduce((sum, row) => sum + row.fixedPj, 0),
    headPj: ledger.head.macs * macPj + ledger.head.weightsRead * WEIGHT_BITS[ledger.precision] * convention.weightBitPj,
  };
}

/** A dense network's energy: a multiply-accumulate and a weight (in attention a cached number) read for each operation. */
export function denseEnergyOf({ blockMacs, attentionMacs, readoutMacs }: DenseCounts, precision: DensePrecision, convention: EnergyConvention): Energy {
  const { macPj } = convention[precision];
  const bits = WEIGHT_BITS[precision];
  return {
    blocksPj: blockMacs * macPj + (blockMacs - attentionMacs) * bits * convention.weightBitPj + attentionMacs * bits * convention.cacheBitPj,
    headPj: readoutMacs * (macPj + bits * convention.weightBitPj),
  };
}

/** Sets a student beside dense networks that processed the same tokens, by each convention. */
export function accountFor(ledger: StudentLedger, dense: DenseCounts, conventions: readonly EnergyConvention[]): readonly ConventionReport[] {
  return conventions.map((convention) => {
    const { fixedPj, ...student } = studentEnergyOf(ledger, convention);
    const comparisons = PRECISIONS.map((precision): Comparison => {
      const other = denseEnergyOf(dense, precision, convention);
      const ratioBlocks = student.blocksPj / other.blocksPj;
      const spikesPj = student.blocksPj - fixedPj;
      const breakEvenRate = spikesPj === 0 ? 0 : Math.max(0, ((other.blocksPj - fixedPj) / spikesPj) * effectiveRate(ledger));
      return {
        precision, dense: other, ratioBlocks, breakEvenRate, ratioWithHead: (student.blocksPj + student.headPj) / (other.blocksPj + other.headPj),
        verdict: verdictOf({ precision, ratioBlocks, breakEvenRate, rate: effectiveRate(ledger) }),
      };
    });
    return { convention: convention.name, student, comparisons };
  });
}

function verdictOf({ precision, ratioBlocks, breakEvenRate, rate }: { precision: DensePrecision; ratioBlocks: number; breakEvenRate: number; rate: number }): string {
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  const network = `a dense ${precision} network`;
  if (ratioBlocks <= 1) return `at an effective rate of ${percent(rate)} the student's blocks use ${percent(ratioBlocks)} of what ${network} uses`;
  if (breakEvenRate === 0) return `${network} would use less at any rate: neurons alone cost more than its products`;
  return `at an effective rate of ${percent(rate)} ${network} would use less: the student needs ${percent(breakEvenRate)} to break even`;
}
