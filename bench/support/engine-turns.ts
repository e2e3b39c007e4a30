import type { LlamaRates } from '../peers/llama-cpp.js';
import type { Side, Times } from './side.js';
import type { Summary } from './statistics.js';
import { quantile, spreadOf, summary } from './statistics.js';

/** `perplexity`: a pass with the logits of every token. */
export const PHASES = ['decode', 'prefill', 'perplexity'] as const;
export type Phase = (typeof PHASES)[number];

/** Tokens per second of one turn, by the clock and by processor time. */
export interface TurnRate { readonly wall: number; readonly processor: number | null }

/** One turn of one side; llama.cpp has no third phase. */
export type Turn = Readonly<Partial<Record<Phase, TurnRate>>>;

/** Somebody who takes turns. */
export interface Contestant { readonly name: string; readonly implementation: string; turn(): Promise<Turn> }

export interface TurnSizes { /** Tokens one after the other. */ readonly decode: number; /** Tokens of a pass. */ readonly prefill: number; readonly hasPerplexity: boolean }

/** A side that decodes some tokens, then makes one pass of each kind. */
export function contestantOf(name: string, side: Side, sizes: TurnSizes): Contestant {
  const pass = async (logits: 'last' | 'all'): Promise<TurnRate> => rateOf(await side.prefill({ tokens: sizes.prefill, repeats: 1, logits }), sizes.prefill);
  return {
    name, implementation: side.implementation,
    turn: async () => ({
      decode: rateOf(await side.decode(sizes.decode), 1),
      prefill: await pass('last'),
      ...(sizes.hasPerplexity ? { perplexity: await pass('all') } : {}),
    }),
  };
}

/** Medians: now and then somebody interrupts, or memory is collected. */
function rateOf({ wallMs, processorMs }: Times, tokens: number): TurnRate {
  return { wall: (1000 * tokens) / quantile(wallMs, 0.5), processor: processorMs === null ? null : (1000 * tokens) / quantile(processorMs, 0.5) };
}

/** llama.cpp on one file, a process per turn. */
export function llamaContestant(name: string, run: () => Promise<LlamaRates>, implementation: string): Contestant {
  return {
    name, implementation,
    turn: async () => {
      const rates = await run();
      const of = (phase: 'decode' | 'prefill'): TurnRate => ({ wall: quantile(rates[phase], 0.5), processor: rates.processor === null ? null : quantile(rates.processor[phase], 0.5) });
      return { decode: of('decode'), prefill: of('prefill') };
    },
  };
}

/** Everybody in turn, so that what else the machine does falls on all; one list of turns each, in the order given. */
export async function takeTurns(contestants: readonly Contestant[], repeats: number): Promise<ReadonlyMap<string, readonly Turn[]>> {
  const turns = new Map<string, Turn[]>(contestants.map(({ name }) => [name, []]));
  for (let i = 0; i < repeats; i++) {
    for (const { name, turn } of contestants) turns.get(name)?.push(await turn());
  }
  return turns;
}

/** Speed of one side in one phase. */
export interface Speed {
  /** Median of the turns. */ readonly tokensPerSecond: number;
  /** Half their middle half. */ readonly spread: number;
  /** The same per second of processor time: what the side would do with a core to itself. */ readonly perProcessorSecond: number | null;
}

export function speedOf(turns: readonly Turn[], phase: Phase): Speed | null {
  const rates = turns.flatMap((turn) => turn[phase] ?? []);
  if (rates.length === 0) return null;
  const wall = rates.map((rate) => rate.wall);
  const processor = rates.flatMap((rate) => rate.processor ?? []);
  return { tokensPerSecond: quantile(wall, 0.5), spread: spreadOf(wall), perProcessorSecond: processor.length === 0 ? null : quantile(processor, 0.5) };
}

/** How many times as fast as the other side, turn by turn. */
export interface Ratio { readonly wall: Summary; readonly processor: Summary | null }

export function ratioOf(ours: readonly Turn[], theirs: readonly Turn[], phase: Phase): Ratio | null {
  const pairs = ours.flatMap((turn, i) => {
    const [own, other] = [turn[phase], theirs[i]?.[phase]];
    return own === undefined || other === undefined ? [] : [{ own, other }];
  });
  if (pairs.length === 0) return null;
  const processor = pairs.flatMap(({ own, other }) => (own.processor === null || other.processor === null ? [] : own.processor / other.processor));
  return { wall: summary(pairs.map(({ own, other }) => own.wall / other.wall)), processor: processor.length === 0 ? null : summary(processor) };
}
