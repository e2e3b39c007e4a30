import type { EngineKernels } from './kernels.js';
import type { EngineShape } from './layout.js';
import { PAGE_POSITIONS, WORD_CHANNELS } from './layout.js';
import type { EngineMemory } from './memory.js';

/** Most vectors (tokens × time steps) of one pass: enough to use a weight often, few enough for the caches. */
export const MAX_VECTORS = 256;
/** Tokens whose logits are computed together. */
export const HEAD_TOKENS = 16;

/** Addresses of everything a pass writes, allocated once. N = `maxTokens`, V = N·T vectors; plain numbers, so a worker can have it. */
export interface EngineBuffers {
  readonly maxTokens: number;
  /** Residual stream, f32 [V][Dp] */ readonly stream: number;
  /** Entrance spikes [V][entrance width / 64] words */ readonly entryBits: number;
  /** Query, key and value spikes [V][3·Dp/64] words */ readonly qkvBits: number;
  /** Attention output spikes [V][Dp/64] words */ readonly outBits: number;
  /** Feed-forward spikes [V][Fp/64] words */ readonly hiddenBits: number;
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

/** What each thread has for itself. */
export interface PartBuffers {
  readonly scratch: number;
  /** Events of the pass, f64; see `counters.ts`. */ readonly counters: number;
}

/** Allocates the buffers of a model for `parts` threads with `counterCount` counters each. */
export function createBuffers(memory: EngineMemory, kernels: EngineKernels, sizes: { shape: EngineShape; parts: number; counterCount: number }): EngineBuffers {
  const { shape, parts, counterCount } = sizes;
  const maxTokens = Math.max(1, Math.floor(MAX_VECTORS / shape.timeSteps));
  const vectors = maxTokens * shape.timeSteps;
  const { paddedWidth, paddedFeedForward, entranceWidth } = shape;
  const bits = (width: number): number => memory.allocate((vectors * width) / 8);
  const floats = (count: number): number => memory.allocate(4 * count);
  return {
    maxTokens,
    stream: floats(vectors * paddedWidth),
    entryBits: bits(entranceWidth),
    qkvBits: bits(3 * paddedWidth),
    outBits: bits(paddedWidth),
    hiddenBits: bits(paddedFeedForward),
    writeBits: bits(paddedWidth),
    acc: floats(vectors * Math.max(3 * paddedWidth, paddedFeedForward)),
    sums: floats(vectors * paddedWidth),
    normalised: floats(HEAD_TOKENS * paddedWidth),
    quantised: memory.allocate(2 * HEAD_TOKENS * paddedWidth),
    quantisedScales: floats(HEAD_TOKENS),
    logits: floats(HEAD_TOKENS * shape.vocabSize),
    pageTable: floats(Math.ceil(shape.contextLength / PAGE_POSITIONS)),
    parts: Array.from({ length: parts }, () => ({
      scratch: memory.allocate(scratchBytes(kernels, shape, vectors)),
      counters: memory.allocate(8 * counterCount),
    })),
  };
}

function scratchBytes(kernels: EngineKernels, shape: EngineShape, vectors: number): number {
  const rows = Object.values(shape.matrices).map(({ inputs }) => kernels.addRowsScratchBytes(inputs / WORD_CHANNELS, vectors));
  return Math.max(kernels.attendScratchBytes(shape.timeSteps, shape.headWidth), ...rows);
}
