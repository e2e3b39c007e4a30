import type { EngineKernels } from './kernels.js';
import type { EngineShape } from './layout.js';
import { PAGE_POSITIONS, WORD_CHANNELS } from './layout.js';
import type { EngineMemory } from './memory.js';

/** Most vectors (tokens × time steps) of one pass: enough to use a weight often, few enough for the caches. */
export const MAX_VECTORS = 256;
/** With at most this many vectors the row kernels read rows as they lie, where they are (assembly/engine/lists.ts: MAX_DIRECT). */
export const DIRECT_VECTORS = 8;
/** Tokens whose logits are computed together. */
export const HEAD_TOKENS = 16;

/** Addresses of everything a pass writes, allocated once. N = `maxTokens`, V = N·T vectors; plain numbers, so a worker can have it. */
export interface EngineBuffers {
  readonly maxTokens: number;
  /** Residual stream, f32 [V][Dp] */ readonly stream: number;
  readonly spikes: SpikeBuffers;
  /** Query, key and value spikes [V][3·Dp/64] words */ readonly qkvBits: number;
  /** Spikes written to the stream [V][Dp/64] words */ readonly writeBits: number;
  /** Sums of a matrix, i32 or f32 [V][widest output] */ readonly acc: number;
  /** Attended values, i32 [V][Dp] */ readonly sums: number;
  /** Input of the head, f32 [HEAD_TOKENS][Dp] */ readonly normalised: number;
  /** The same as integers, i16 [HEAD_TOKENS][Dp], and their steps, f32 [HEAD_TOKENS] */ readonly quantised: number;
  readonly quantisedScales: number;
  /** f32 [HEAD_TOKENS][V] */ readonly logits: number;
  /** Page addresses of the sequence at work, u32 [⌈C/64⌉] */ readonly pageTable: number;
  /** Per part. */ readonly parts: readonly PartBuffers[];
}

/** Spikes that meet a matrix. */
export interface SpikeBuffers {
  /** Entrance spikes [V][entrance width / 64] words */ readonly entry: number;
  /** Attention output spikes [V][Dp/64] words */ readonly out: number;
  /** Feed-forward spikes [V][Fp/64] words */ readonly hidden: number;
}

/** What each thread has for itself. */
export interface PartBuffers {
  /** Of this part's channels, at most DIRECT_VECTORS vectors; the rest stays 0. */ readonly spikes: SpikeBuffers;
  /** Sums of these spikes' rows, i32 [DIRECT_VECTORS][output]: of the matrices that charge neurons, and of those that write to the stream. */
  readonly sums: { readonly charge: number; readonly write: number };
  readonly scratch: number;
  /** Events of the pass, f64; see `counters.ts`. */ readonly counters: number;
}

/** Allocates the buffers of a model for `parts` threads with `counterCount` counters each. */
export function createBuffers(memory: EngineMemory, kernels: EngineKernels, sizes: { shape: EngineShape; parts: number; counterCount: number }): EngineBuffers {
  const { shape, parts, counterCount } = sizes;
  const maxTokens = Math.max(1, Math.floor(MAX_VECTORS / shape.timeSteps));
  const vectors = maxTokens * shape.timeSteps;
  const { paddedWidth, paddedFeedForward, entranceWidth } = shape;
  const bits = (width: number, count = vectors): number => memory.allocate((count * width) / 8);
  const spikes = (count: number): SpikeBuffers => ({ entry: bits(entranceWidth, count), out: bits(paddedWidth, count), hidden: bits(paddedFeedForward, count) });
  const widest = Math.max(3 * paddedWidth, paddedFeedForward);
  const floats = (count: number): number => memory.allocate(4 * count);
  return {
    maxTokens,
    stream: floats(vectors * paddedWidth),
    spikes: spikes(vectors),
    qkvBits: bits(3 * paddedWidth),
    writeBits: bits(paddedWidth),
    acc: floats(vectors * widest),
    sums: floats(vectors * paddedWidth),
    normalised: floats(HEAD_TOKENS * paddedWidth),
    quantised: memory.allocate(2 * HEAD_TOKENS * paddedWidth),
    quantisedScales: floats(HEAD_TOKENS),
    logits: floats(HEAD_TOKENS * shape.vocabSize),
    pageTable: floats(Math.ceil(shape.contextLength / PAGE_POSITIONS)),
    parts: Array.from({ length: parts }, () => ({
      spikes: spikes(DIRECT_VECTORS),
      sums: { charge: floats(DIRECT_VECTORS * widest), write: floats(DIRECT_VECTORS * paddedWidth) },
      scratch: memory.allocate(scratchBytes(kernels, shape, vectors)),
      counters: memory.allocate(8 * counterCount),
    })),
  };
}

function scratchBytes(kernels: EngineKernels, shape: EngineShape, vectors: number): number {
  const rows = Object.values(shape.matrices).map(({ inputs }) => kernels.addRowsScratchBytes(inputs / WORD_CHANNELS, vectors));
  return Math.max(kernels.attendScratchBytes(shape.timeSteps, shape.headWidth, shape.heads), ...rows);
}
