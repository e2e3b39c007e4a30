import { ShapeError } from '../errors.js';
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

/** Tokens of one pass, at most `maxTokens`, and whose logits are wanted. */
interface Pass {
  readonly ids: TokenIds;
  /** Logits of the tokens from this one on. */ readonly headFirst: number;
  /** Takes logits, up to HEAD_TOKENS rows at a time; `row` is the first one's token. */ readonly take: (logits: Float32Array, row: number) => void;
}

export function createRunner(parts: EngineParts): Runner {
  const { machine: { weights, buffers }, memory } = parts;
  const { shape, config } = weights;
  const pool = createPagePool(memory, pageBytes(shape));
  const passes: Passes = { ...parts, pool, sites: sitesOf(weights), counters: new Float64Array(counterCount(shape.layers)), work: NO_WORK };
  return {
    pool,
    get work() { return passes.work; },
    forward: (ids) => {
      checkTokens(ids, config, 0);
      const logits = new Float32Array(ids.length * shape.vocabSize);
      const state = createState();
      const counts = sliced(ids, buffers.maxTokens, (slice, first) => runPass(passes, state, {
        ids: slice, headFirst: 0, take: (rows, row) => logits.set(rows, (first + row) * shape.vocabSize),
      }));
      clearState(state, pool);
      return { logits, counts };
    },
    append: (state, ids) => {
      checkTokens(ids, config, state.length);
      let logits: Float32Array = NO_LOGITS;
      const counts = sliced(ids, buffers.maxTokens, (slice, first) => runPass(passes, state, {
        ids: slice, headFirst: first + slice.length === ids.length ? slice.length - 1 : slice.length, take: (rows) => { logits = rows; },
      }));
      return { logits, counts };
    },
  };
}

const NO_LOGITS = new Float32Array(0);

/** Runs slices of at most `size` tokens in order and adds up what they counted. */
function sliced(ids: TokenIds, size: number, run: (slice: TokenIds, first: number) => OpCounts): OpCounts {
  if (ids.length <= size) return run(ids, 0);
  const counts: OpCounts[] = [];
  for (let first = 0; first < ids.length; first += size) counts.push(run(ids.slice(first, first + size), first));
  return counts.reduce(joinCounts);
}

/** One pass through all blocks and, for the tokens from `headFirst` on, the head. */
function runPass(passes: Passes, state: SequenceState, { ids, headFirst, take }: Pass): OpCounts {
  const { machine, memory, crew, pace, pool, counters, sites } = passes;
  const { weights: { shape, embedding }, buffers } = machine;
  const [tokens, start] = [ids.length, state.length];
  reserve(state, start + tokens, pool);
  memory.words(buffers.pageTable, state.pages.length).set(state.pages);
  clearCounters(memory, buffers, counters.length);
  for (let n = 0; n < tokens; n++) embed(machine, ids[n]!, { n, position: start + n });
  let blockTokens = tokens;
  for (let first = headFirst; first < tokens || blockTokens > 0; first += HEAD_TOKENS) {
    const headCount = Math.max(0, Math.min(HEAD_TOKENS, tokens - first));
    pace.run(crew, { tokens: blockTokens, start, headFirst: first, headCount });
    blockTokens = 0;
    if (headCount > 0) take(memory.floats(buffers.logits, headCount * shape.vocabSize), first);
  }
  state.length = start + tokens;
  sumCounters(memory, buffers, counters);
  const headTokens = tokens - headFirst;
  const counts = passCounts(counters, { tokens, start, headTokens }, { shape, sites });
  const headBytes = Math.ceil(headTokens / HEAD_TOKENS) * shape.vocabSize * embedding.rowBytes;
  passes.work = addWork(passes.work, { counters, counts, headBytes, shape });
  return counts;
}

function sitesOf({ config }: PackedWeights): readonly SpikeSite[] {
  return SPIKE_SITES.filter((site) => config.residualWrite === 'spike' || !site.endsWith('_write'));
}

/** @throws ShapeError when there are no tokens, more than the context holds, or one is outside the vocabulary. */
function checkTokens(ids: TokenIds, model: { readonly vocabSize: number; readonly contextLength: number }, offset: number): void {
  if (ids.length === 0) throw new ShapeError('there are no tokens to run the model on');
  if (offset + ids.length > model.contextLength) {
    throw new ShapeError(`${offset + ids.length} tokens are more than the model's context of ${model.contextLength}`);
  }
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (Number.isInteger(id) && id >= 0 && id < model.vocabSize) continue;
    throw new ShapeError(`token id ${id} at position ${i} is outside the model's vocabulary of ${model.vocabSize}`, {
      suggestions: ['Tokenise the text with the tokenizer of this model'],
    });
  }
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

/** Counts of two passes of one sequence; their sites are the same. */
function joinCounts(a: OpCounts, b: OpCounts): OpCounts {
  return {
    tokens: a.tokens + b.tokens,
    sites: a.sites.map((site, i) => {
      const { spikes, slots, accumulates } = b.sites[i]!;
      return { ...site, spikes: site.spikes + spikes, slots: site.slots + slots, accumulates: site.accumulates + accumulates };
    }),
    macs: a.macs + b.macs,
    popcounts: a.popcounts + b.popcounts,
  };
}
