import { createRandom } from '../../src/core/corpus/random.js';
import type { EngineKernels } from '../../src/core/engine/kernels.js';
import { referenceKernels } from '../../src/core/engine/reference.js';
import type { KernelInputs } from './kernel-inputs.js';
import { kernelInputs } from './kernel-inputs.js';
import type { WasmMemory } from '../../src/core/wasm/api.js';
import type { KernelArena, PlacedArray } from './kernel-memory.js';
import { createArena, createWasmMemory } from './kernel-memory.js';

/** Runs engine kernels and the reference on identical memories and compares all of both, bit for bit. */

/** What a case is built from: it places its inputs and says what to call. */
export interface CaseSetting {
  readonly arena: KernelArena;
  readonly inputs: KernelInputs;
  /** The reference on the memory being laid out, for state that earlier calls would have left. */ readonly reference: EngineKernels;
  /** Address of scratch that is enough for both implementations and is not compared. */
  scratch(bytes: (kernels: EngineKernels) => number): number;
}

export type KernelCase = (setting: CaseSetting) => (kernels: EngineKernels) => number | void;

export interface KernelTwins {
  /** Builds one case from a seed and runs it on both. @throws Error that says which element of what differs. */
  compare(seed: number, build: KernelCase): void;
}

const PAGES = 40;
const SCRATCH = 'scratch';

/** Twins of the reference and the kernels that `open` puts on a memory; what no case placed is noise that must stay as it is. */
export async function openTwins(open: (memory: WasmMemory) => Promise<EngineKernels>): Promise<KernelTwins> {
  const [expected, actual] = [createWasmMemory(PAGES), createWasmMemory(PAGES)];
  const [reference, candidate] = [referenceKernels(expected), await open(actual)];
  const random = createRandom(1);
  const noise = Uint32Array.from({ length: expected.buffer.byteLength / 4 }, () => random.integer(2 ** 32));
  return {
    compare: (seed, build) => {
      new Uint32Array(expected.buffer).set(noise);
      const arena = createArena(expected);
      const scratch = (bytes: (kernels: EngineKernels) => number): number =>
        arena.place(new Uint8Array(Math.max(bytes(reference), bytes(candidate))).fill(0xa5), SCRATCH);
      const call = build({ arena, inputs: kernelInputs(seed), reference, scratch });
      new Uint8Array(actual.buffer).set(new Uint8Array(expected.buffer));
      const [wanted, found] = [call(reference), call(candidate)];
      // A void kernel may return undefined or nothing at all, but never a number.
      if (!Object.is(wanted, found)) throw new Error(`returned ${String(found)}; the reference returns ${String(wanted)}`);
      expectEqualMemory(arena.placed, expected.buffer, actual.buffer);
    },
  };
}

function expectEqualMemory(placed: readonly PlacedArray[], expected: ArrayBufferLike, actual: ArrayBufferLike): void {
  let start = 0;
  for (const scratch of placed.filter(({ label }) => label === SCRATCH)) {
    expectEqualBytes(placed, [expected, actual], { start, end: scratch.address });
    start = scratch.address + scratch.sizeBytes;
  }
  expectEqualBytes(placed, [expected, actual], { start, end: expected.byteLength });
}

function expectEqualBytes(placed: readonly PlacedArray[], buffers: readonly [ArrayBufferLike, ArrayBufferLike], range: { start: number; end: number }): void {
  const [expected, actual] = [Buffer.from(buffers[0]), Buffer.from(buffers[1])];
  const { start, end } = range;
  if (expected.compare(actual, start, end, start, end) === 0) return;
  let address = start;
  while (expected[address] === actual[address]) address++;
  throw new Error(describeDifference(placed, buffers, address));
}

function describeDifference(placed: readonly PlacedArray[], buffers: readonly [ArrayBufferLike, ArrayBufferLike], address: number): string {
  const array = placed.find((candidate) => address >= candidate.address && address < candidate.address + candidate.sizeBytes);
  if (array === undefined) return `byte ${address}, which belongs to no array of the case, was changed`;
  const [expected, actual] = [array.view(buffers[0]), array.view(buffers[1])];
  const index = Math.floor((address - array.address) / expected.BYTES_PER_ELEMENT);
  const shown = (value: number | undefined): string => (Object.is(value, -0) ? '-0' : String(value));
  return `${array.label}[${index}] of ${expected.length} is ${shown(actual[index])}; the reference has ${shown(expected[index])}`;
}
