import { checkTokenIds } from '../corpus/token-ids.js';
import type { OpCounts, SequenceLogits, SpikeSite, StepLogits, TokenIds, WorkDone } from '../types.js';
import { SPIKE_SITES } from '../types.js';
import type { EngineBuffers } from './buffers.js';
import { HEAD_TOKENS } from './buffers.js';
import { addWork, counterCount, NO_WORK, passCounts } from './counters.js';
import type { Crew } from './crew.js';
import { pageBytes } from './layout.js';
import type { EngineMemory } from './memory.js';
import type { Pace } from './pace.js';
import type { PagePool } from './pages.js';
import { createPagePool } from './pages.js';
import type { SequenceState } from './state.js';
import { clearState, createState, reserve } from './state.js';
import type { Machine } from './step.js';
import type { PackedWeights } from './weights.js';

/** What an engine is put together from. */
export interface EngineParts {
  readonly machine: Machine;
  readonly memory: EngineMemory;
  readonly crew: Crew;
  readonly pace: Pace;
}

/** Runs sequences through the engine, pass by pass; holds everything that changes between calls. */
export interface Runner {
  readonly pool: PagePool;
  readonly work: WorkDone;
  /** Logits (L, V) of a whole sequence. @throws ShapeError on tokens the model cannot take. */
  forward(ids: TokenIds): SequenceLogits;
  /** Appends tokens; the logits lie in memory that the next call uses again. @throws ShapeError on tokens the model cannot take. */
  append(state: SequenceState, ids: TokenIds): StepLogits;
}

/** What passes share. */
interface Passes extends EngineParts {
  readonly pool: PagePool;
  readonly sites: readonly SpikeSite[];
  readonly counters: Float64Array;
  work: WorkDone;
}

/** The logits of a call that are wanted. */
interface WantedLogits {
  /** Those of the tokens from this one on. */ readonly first: number;
  /** Takes up to HEAD_TOKENS rows at a time; `row` is the first one's token. */ readonly take: (logits: Float32Array, row: number) => void;
}

export function createRunner(parts: EngineParts): Runner {
  const { machine: { weights }, memory } = parts;
  const { shape, config } = weights;
  const pool = createPagePool(memory, pageBytes(shape));
  const passes: Passes = { ...parts, pool, sites: sitesOf(weights), counters: new Float64Array(counterCount(shape.layers)), work: NO_WORK };
  return {
    pool,
    get work() { return passes.work; },
    forward: (ids) => {
      checkTokenIds(ids, config, 0);
      const logits = new Float32Array(ids.length * shape.vocabSize);
      const state = createState();
      const counts = run(passes, { state, ids }, { first: 0, take: (rows, row) => logits.set(rows, row * shape.vocabSize) });
      clearState(state, pool);
      return { logits, counts };
    },
    append: (state, ids) => {
      checkTokenIds(ids, config, state.length);
      let logits: Float32Array = NO_LOGITS;
      const counts = run(passes, { state, ids }, { first: ids.length - 1, take: (rows) => { logits = rows; } });
      return { logits, counts };
    },
  };
}

const NO_LOGITS = new Float32Array(0);

/** Appends tokens to a state in passes of at most `maxTokens`; returns what all of them counted. */
function run(passes: Passes, { state, ids }: { readonly state: SequenceState; readonly ids: TokenIds }, wanted: WantedLogits): OpCounts {
  const { machine: { weights: { config, shape, embedding }, buffers }, memory, counters, sites } = passes;
  const start = state.length;
  let headRuns = 0;
  clearCounters(memory, buffers, counters.length);
  for (let first = 0; first < ids.length; first += buffers.maxTokens) {
    const slice = ids.length <= buffers.maxTokens ? ids : ids.slice(first, first + buffers.maxTokens);
    const head = { first: Math.min(slice.length, Math.max(0, wanted.first - first)), take: (rows: Float32Array, row: number) => wanted.take(rows, first + row) };
    headRuns += runPass(passes, { state, ids: slice }, head);
  }
  sumCounters(memory, buffers, counters);
  const counts = passCounts(counters, { tokens: ids.length, start, headTokens: ids.length - wanted.first }, { config, shape, sites });
  passes.work = addWork(passes.work, { counters, counts, headBytes: headRuns * shape.vocabSize * embedding.rowBytes, shape });
  return counts;
}

/** One pass through all blocks and, for the tokens from `head.first` on, the head; returns how often the head was read. */
function runPass({ machine, memory, crew, pace, pool }: Passes, { state, ids }: { readonly state: SequenceState; readonly ids: TokenIds }, head: WantedLogits): number {
  const { weights: { shape }, buffers } = machine;
  const [tokens, start] = [ids.length, state.length];
  reserve(state, start + tokens, pool);
  memory.words(buffers.pageTable, state.pages.length).set(state.pages);
  for (let n = 0; n < tokens; n++) embed(machine, ids[n]!, { n, position: start + n });
  let blockTokens = tokens;
  for (let first = head.first; first < tokens || blockTokens > 0; first += HEAD_TOKENS) {
    const headCount = Math.max(0, Math.min(HEAD_TOKENS, tokens - first));
    pace.run(crew, { tokens: blockTokens, start, headFirst: first, headCount });
    blockTokens = 0;
    if (headCount > 0) head.take(memory.floats(buffers.logits, headCount * shape.vocabSize), first);
  }
  state.length = start + tokens;
  return Math.ceil((tokens - head.first) / HEAD_TOKENS);
}

function sitesOf({ config }: PackedWeights): readonly SpikeSite[] {
  return SPIKE_SITES.filter((site) => config.residualWrite === 'spike' || !site.endsWith('_write'));
}

/** Token + position embedding of the pass's token `n`, the same current at every time step (A.2). */
function embed({ kernels, memory, weights, buffers }: Machine, id: number, at: { n: number; position: number }): void {
  const { shape: { paddedWidth: width, timeSteps }, embedding, positions, config } = weights;
  const stream = buffers.stream + 4 * at.n * timeSteps * width;
  const row = embedding.weights + id * embedding.rowBytes;
  const position = positions + 4 * at.position * width;
  if (embedding.scales === null) {
    kernels.embedFloat(row, position, config.embeddingGain, stream, width, timeSteps);
  } else {
    kernels.embedInt8(row, memory.floats(embedding.scales + 4 * id, 1)[0]!, position, config.embeddingGain, stream, width, timeSteps);
  }
}

function clearCounters(memory: EngineMemory, buffers: EngineBuffers, count: number): void {
  for (const part of buffers.parts) memory.doubles(part.counters, count).fill(0);
}

function sumCounters(memory: EngineMemory, buffers: EngineBuffers, into: Float64Array): void {
  into.fill(0);
  for (const part of buffers.parts) memory.doubles(part.counters, into.length).forEach((value, i) => { into[i]! += value; });
}
