import type { EngineShape } from './layout.js';
import { WORD_CHANNELS } from './layout.js';

/** From the first to before the last. */
export type Range = readonly [from: number, to: number];

/** A thread of a group. */
export interface Part {
  readonly part: number;
  readonly parts: number;
}

/**
 * What of a model belongs to a thread: ranges of multiples of 64 channels, so that no two threads write to one word of spikes.
 * The channels of a range of heads belong to whoever has the heads: what a head needs is then always there.
 */
export interface Division {
  readonly heads: Range;
  /** Of the stream, of the attended values, of each third of query, key and value. */ readonly channels: Range;
  /** Columns of query, key and value in their one matrix: a range of each third, or all of it. */ readonly qkv: readonly Range[];
  /** Of the hidden neurons. */ readonly hidden: Range;
  /** Of the vocabulary's rows. */ readonly vocabulary: Range;
}

/** `units` split as evenly as possible: what part `part` of `parts` has. */
export function partOf(units: number, { part, parts }: Part): Range {
  return [Math.floor((units * part) / parts), Math.floor((units * (part + 1)) / parts)];
}

/** Divides a model among `parts` threads. */
export function divide(shape: EngineShape, part: Part): Division {
  const { heads, headWidth, paddedWidth, paddedFeedForward, vocabSize } = shape;
  const together = headsThatShareWords(headWidth);
  const groups = Math.ceil(heads / together);
  const [first, last] = partOf(groups, part);
  const channels: Range = [first * together * headWidth, last === groups ? paddedWidth : last * together * headWidth];
  const [from, to] = partOf(paddedFeedForward / WORD_CHANNELS, part);
  const thirds = [0, 1, 2].map((third): Range => [third * paddedWidth + channels[0], third * paddedWidth + channels[1]]);
  return {
    heads: [first * together, Math.min(heads, last * together)],
    channels: first === last ? [0, 0] : channels,
    qkv: first === last ? [] : part.parts === 1 ? [[0, 3 * paddedWidth]] : thirds,
    hidden: [from * WORD_CHANNELS, to * WORD_CHANNELS],
    vocabulary: partOf(vocabSize, part),
  };
}

/** The fewest heads whose channels are whole words. */
function headsThatShareWords(headWidth: number): number {
  let heads = 1;
  while ((heads * headWidth) % WORD_CHANNELS !== 0) heads++;
  return heads;
}
