import { createRandom } from '../../src/core/corpus/random.js';
import type { EngineModel } from '../../src/core/engine/engine.js';
import type { DecodingSession, LanguageModel, OpCounts } from '../../src/core/types.js';
import { randomTokens } from './random-student.js';
import type { Side } from './side.js';
import { timeCalls } from './side.js';
import { quantile } from './statistics.js';

/** Time of a token at one context. */
export interface AttentionTime {
  readonly context: number;
  /** What a token takes longer than one with almost nothing before it: attention, and what its sums set off. */ readonly msPerToken: number;
  /** The whole token. */ readonly tokenMs: number;
  /** The first as a share of the second. */ readonly share: number;
  /** The same three by processor time. */ readonly processor: { readonly msPerToken: number; readonly tokenMs: number; readonly share: number };
}

/** Our engine as the benchmark drives it. */
export interface EngineSide extends Side {
  /** Spikes per slot by site, from the engine's own counts of what it decoded so far. */
  firingRates(): Readonly<Record<string, number>>;
  /** Bytes of block weights per decoded token: the union of the rows that fired in its time steps. */
  weightBytes(): number;
  attention(contexts: readonly number[]): Promise<AttentionTime[]>;
}

/** Tokens timed at one context; they are the last ones before it. */
const ATTENTION_TOKENS = 16;
const ATTENTION_ROUNDS = 5;

/** @param context tokens that are cached before decoding starts. */
export async function engineSide(model: EngineModel, context: number): Promise<EngineSide> {
  const random = createRandom(2);
  const tokens = (count: number): number[] => randomTokens(model.shape, count, random);
  const prompted = async (length: number): Promise<DecodingSession> => {
    const session = model.openSession();
    await session.append(tokens(length));
    return session;
  };
  const prompt = await prompted(context);
  const rates = rateMeter();
  const decoded = { tokens: 0, bytes: 0 };
  await prompt.fork().append(tokens(1));
  return {
    implementation: `${model.backend}, ${model.precision}, ${model.threads} ${model.threads === 1 ? 'thread' : 'threads'}`,
    decode: async (count) => {
      const session = prompt.fork();
      const before = model.work.weightBytes;
      const times = await timeCalls(tokens(count).map((id) => async () => { rates.add((await session.append([id])).counts); }));
      decoded.tokens += count;
      decoded.bytes += model.work.weightBytes - before;
      session.dispose();
      return times;
    },
    prefill: async ({ tokens: count, repeats, logits }) => timeCalls(Array.from({ length: repeats }, () => {
      const ids = tokens(count);
      return logits === 'all' ? () => model.forward([ids]) : () => passOnce(model, ids);
    })),
    firingRates: rates.read,
    weightBytes: () => decoded.bytes / decoded.tokens,
    attention: async (contexts) => timeContexts(contexts, { prompted, tokens }),
    close: () => {
      prompt.dispose();
      model.dispose();
    },
  };
}

async function passOnce(model: LanguageModel, ids: readonly number[]): Promise<void> {
  const session = model.openSession();
  await session.append(ids);
  session.dispose();
}

/** Adds up spikes and slots by site. */
function rateMeter(): { add: (counts: OpCounts | null) => void; read: () => Record<string, number> } {
  const sums = new Map<string, { spikes: number; slots: number }>();
  return {
    add: (counts) => {
      for (const { site, spikes, slots } of counts?.sites ?? []) {
        const sum = sums.get(site) ?? { spikes: 0, slots: 0 };
        sums.set(site, { spikes: sum.spikes + spikes, slots: sum.slots + slots });
      }
    },
    read: () => Object.fromEntries(Array.from(sums, ([site, { spikes, slots }]) => [site, spikes / slots])),
  };
}

interface Prompts { readonly prompted: (length: number) => Promise<DecodingSession>; readonly tokens: (count: number) => number[] }

/** Median token times at each context and next to the start, in rounds over all of them. */
async function timeContexts(contexts: readonly number[], { prompted, tokens }: Prompts): Promise<AttentionTime[]> {
  const starts = [1, ...contexts.map((context) => context - ATTENTION_TOKENS)];
  const sessions: DecodingSession[] = [];
  for (const length of starts) sessions.push(await prompted(length));
  const samples = starts.map(() => ({ wall: [] as number[], processor: [] as number[] }));
  for (let round = 0; round < ATTENTION_ROUNDS; round++) {
    for (const [i, session] of sessions.entries()) {
      const fork = session.fork();
      const { wallMs, processorMs } = await timeCalls(tokens(ATTENTION_TOKENS).map((id) => () => fork.append([id])));
      samples[i]?.wall.push(...wallMs);
      samples[i]?.processor.push(...(processorMs ?? []));
      fork.dispose();
    }
  }
  for (const session of sessions) session.dispose();
  const [wall, processor] = (['wall', 'processor'] as const).map((clock) => beyondFirst(samples.map((times) => quantile(times[clock], 0.5))));
  return contexts.flatMap((context, i) => {
    const [byWall, byProcessor] = [wall?.[i], processor?.[i]];
    return byWall === undefined || byProcessor === undefined ? [] : [{ context, ...byWall, processor: byProcessor }];
  });
}

/** What the later times have beyond the first. */
function beyondFirst([base = 0, ...others]: readonly number[]): { msPerToken: number; tokenMs: number; share: number }[] {
  return others.map((tokenMs) => ({ msPerToken: tokenMs - base, tokenMs, share: (tokenMs - base) / tokenMs }));
}
