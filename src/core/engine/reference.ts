import type { EngineKernels, KernelName } from './kernels.js';
import { attend, storeHeads } from './reference-attention.js';
import type { MemoryViews, ReferenceKernel } from './reference-memory.js';
import { viewMemory } from './reference-memory.js';
import { addCurrentFloat, addCurrentInt, addSpikes, addSums, fireFloat, fireInt } from './reference-neurons.js';
import { embedFloat, embedInt8, headFloat, headInt8, quantise, readout } from './reference-readout.js';
import { addRowsFloat, addRowsInt4, addRowsInt8 } from './reference-rows.js';

const KERNELS: { readonly [N in KernelName]: ReferenceKernel<N> } = {
  addRowsScratchBytes: () => 0, attendScratchBytes: () => 0,
  addRowsInt8, addRowsFloat, addRowsInt4,
  fireInt, fireFloat,
  storeHeads, attend,
  addSums, addCurrentInt, addCurrentFloat, addSpikes,
  embedInt8, embedFloat,
  readout, quantise, headInt8, headFloat,
};

/**
 * The kernels in plain TypeScript, on a memory whose buffer may be replaced (a WebAssembly memory that grows does that). They
 * say what the engine computes, and they run whole models where speed does not matter.
 */
export function referenceKernels(memory: { readonly buffer: ArrayBufferLike }): EngineKernels {
  let viewed: ArrayBufferLike | undefined;
  let views: MemoryViews;
  const current = (): MemoryViews => {
    if (memory.buffer !== viewed) {
      viewed = memory.buffer;
      views = viewMemory(viewed);
    }
    return views;
  };
  const bind = ([name, kernel]: [string, unknown]): [string, unknown] => {
    const run = kernel as (views: MemoryViews, ...args: number[]) => number | void;
    return [name, (...args: number[]) => run(current(), ...args)];
  };
  return Object.fromEntries(Object.entries(KERNELS).map(bind)) as unknown as EngineKernels;
}
