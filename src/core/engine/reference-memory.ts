import type { EngineKernels, KernelName } from './kernels.js';

/** The engine's memory as typed arrays over the whole of it. */
export interface MemoryViews {
  readonly i8: Int8Array;
  readonly u8: Uint8Array;
  readonly i16: Int16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
}

/** A kernel of the reference: the arguments of the contract after the memory they address. */
export type ReferenceKernel<N extends KernelName> =
  (memory: MemoryViews, ...args: Parameters<EngineKernels[N]>) => ReturnType<EngineKernels[N]>;

/** Views of a whole buffer. Its size must be a multiple of 8 bytes, and the machine little-endian like WebAssembly. */
export function viewMemory(buffer: ArrayBufferLike): MemoryViews {
  return {
    i8: new Int8Array(buffer), u8: new Uint8Array(buffer), i16: new Int16Array(buffer), i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer), f32: new Float32Array(buffer), f64: new Float64Array(buffer),
  };
}

/** Element i of an array; memory is not checked for its end, so past it the answer is `undefined` and becomes NaN or 0. */
export function at(array: ArrayLike<number>, i: number): number {
  return array[i] as number;
}

/** Whether bit `channel` of the spike words at an address is set. */
export function hasFired(memory: MemoryViews, address: number, channel: number): boolean {
  return ((at(memory.u32, (address >>> 2) + (channel >>> 5)) >>> (channel & 31)) & 1) === 1;
}

/** Channels of the set bits of `words` 64-bit words at an address, ascending. */
export function firedChannels(memory: MemoryViews, address: number, words: number): number[] {
  const fired: number[] = [];
  for (let half = 0; half < 2 * words; half++) {
    let bits = at(memory.u32, (address >>> 2) + half);
    while (bits !== 0) {
      const lowest = 31 - Math.clz32(bits & -bits);
      fired.push(32 * half + lowest);
      bits &= bits - 1;
    }
  }
  return fired;
}

/** How many bits of a 32-bit word are set. */
export function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
