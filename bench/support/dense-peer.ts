/** A dense simulation of a student, as the benchmark drives it. */
export interface DensePeer {
  /** What computes. */ readonly implementation: string;
  /** Times of single tokens after a context that is already cached, each with its logits [ms]. */
  decode(tokens: number): Promise<readonly number[]>;
  /** Times of whole passes over `tokens` new tokens, with the last token's logits or with all of them [ms]. */
  prefill(tokens: number, request: PrefillRequest): Promise<readonly number[]>;
  close(): void;
}

export interface PrefillRequest { readonly repeats: number; readonly logits: 'last' | 'all' }
