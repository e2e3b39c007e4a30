/** Kernels of the inference engine; src/core/engine/kernels.ts says what each computes. */
export { addRowsScratchBytes } from './lists';
export { addRowsInt8 } from './rows-int8';
export { addRowsFloat } from './rows-float';
export { addRowsInt4 } from './rows-int4';
export { fireInt, fireFloat } from './neurons';
export { storeHeads, attend, attendScratchBytes } from './attention';
export { embedInt8, embedFloat, addSums, addCurrentInt, addCurrentFloat, addSpikes, readout } from './stream';
export { quantise, headInt8, headFloat } from './head';
