import type { EnergyConvention } from './conventions.js';
import type { DenseCounts } from './dense-counts.js';
import type { StudentLedger } from './ledger.js';
import type { ConventionReport } from './verdict.js';

/** What `eval --trace` writes: enough to work out every picojoule with a calculator. */
export interface EnergyTrace {
  readonly format: 'bispik energy trace';
  readonly version: 1;
  /** How the numbers below go together. */ readonly formulas: readonly string[];
  readonly ledger: StudentLedger;
  readonly dense: DenseCounts;
  /** Costs of events. */ readonly conventions: readonly EnergyConvention[];
  /** What they come to. */ readonly results: readonly ConventionReport[];
}

const FORMULAS = [
  'bits = 32 for float32, 8 for int8, 4 for int4; acPj and macPj are those of the convention\'s float32 where ledger.precision is float32, of its int8 otherwise',
  'row, overlaps "accumulates": accumulates*acPj + membraneUpdates*(membraneUpdatePj + 64*membraneBitPj) + weightsRead*bits*weightBitPj + cacheBitsRead*cacheBitPj',
  'row "query", overlaps "popcounts": popcountWords*popcountWordPj in place of accumulates*acPj',
  'student.blocksPj: the sum over all rows; student.headPj: head.macs*macPj + head.weightsRead*bits*weightBitPj',
  'dense.blocksPj: blockMacs*macPj + (blockMacs - attentionMacs)*bits*weightBitPj + attentionMacs*bits*cacheBitPj; dense.headPj: readoutMacs*(macPj + bits*weightBitPj)',
];

export function energyTrace(parts: Pick<EnergyTrace, 'ledger' | 'dense' | 'conventions' | 'results'>): EnergyTrace {
  return { format: 'bispik energy trace', version: 1, formulas: FORMULAS, ...parts };
}
