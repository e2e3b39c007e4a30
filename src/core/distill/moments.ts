/** One share of the peak. */
export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
}

/** Peak memory of a run, predicted. */
export interface MemoryEstimate {
  readonly peakBytes: number;
  /** Where in a step the peak is. */ readonly moment: string;
  /** What is alive then, largest first. */ readonly parts: readonly MemoryPart[];
  /** The largest single tensor. */ readonly largest: MemoryPart;
}

/** Shares in numbers (float32); the moments of a step are lists of them. */
export type Shares = Readonly<Record<string, number>>;

/** The largest of some moments, and the largest of some tensors. */
export function estimateOf(moments: readonly Moment[], tensors: Shares): MemoryEstimate {
  const total = (shares: Shares): number => Object.values(shares).reduce((sum, numbers) => sum + numbers, 0);
  const peak = moments.reduce((most, moment) => (total(moment.shares) > total(most.shares) ? moment : most));
  const bytes = (numbers: number): number => numbers * Float32Array.BYTES_PER_ELEMENT;
  const parts = Object.entries(peak.shares).filter(([, numbers]) => numbers > 0).map(([name, numbers]) => ({ name, bytes: bytes(numbers) }));
  const [name, numbers] = Object.entries(tensors).reduce((most, tensor) => (tensor[1] > most[1] ? tensor : most));
  return { peakBytes: bytes(total(peak.shares)), moment: peak.name, parts: parts.sort((a, b) => b.bytes - a.bytes), largest: { name, bytes: bytes(numbers) } };
}

/** A moment of a step, and what is alive then. */
export interface Moment { readonly name: string; readonly shares: Shares }
