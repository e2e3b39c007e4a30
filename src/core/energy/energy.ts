import { ShapeError } from '../errors.js';
import type { OpCounts } from '../types.js';
import type { EnergyConstants } from './constants.js';
import type { DenseCounts } from './dense-counts.js';
import { totalAccumulates } from './firing-rate.js';

/** Energy of a student beside that of a dense model that processed the same tokens. */
export interface StudentEnergy {
  /** Everything counted, per processed token. */ readonly pjPerToken: number;
  /** Blocks of the student over blocks of the dense model (what the paper reports). */ readonly ratioBlocks: number;
  /** Everything over everything, both readouts dense. */ readonly ratioWithHead: number;
}

/** Energy in picojoules of a dense model: every operation is a multiply-accumulate. */
export function denseEnergyPj(counts: DenseCounts, constants: EnergyConstants): number {
  return (counts.blockMacs + counts.readoutMacs) * constants.macPj;
}

/**
 * Energy of a student's counted events, by the paper's convention (sec. 4.3): E = E_AC · accumulates + E_MAC · macs, where the
 * accumulates are all inside blocks and the macs are all in the readout. Popcounts, neuron updates, residual and bias
 * additions and memory traffic cost nothing by convention.
 * @throws ShapeError when the counts cover no token or the dense model has no work to compare with.
 */
export function studentEnergy(counts: OpCounts, dense: DenseCounts, constants: EnergyConstants): StudentEnergy {
  if (counts.tokens === 0 || dense.blockMacs === 0) throw new ShapeError('energy per token needs at least one processed token, found 0');
  const blocksPj = totalAccumulates(counts) * constants.acPj;
  const allPj = blocksPj + counts.macs * constants.macPj;
  return {
    pjPerToken: allPj / counts.tokens,
    ratioBlocks: blocksPj / (dense.blockMacs * constants.macPj),
    ratioWithHead: allPj / denseEnergyPj(dense, constants),
  };
}
