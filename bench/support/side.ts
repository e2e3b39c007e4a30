/** Times of some tokens or passes, in milliseconds; null where a side cannot tell its processor time. */
export interface Times { readonly wallMs: readonly number[]; readonly processorMs: readonly number[] | null }

/** Passes over new tokens with nothing before them, giving the last token's logits or those of all. */
export interface PrefillRequest { readonly tokens: number; readonly repeats: number; readonly logits: 'last' | 'all' }

/** One implementation of the same student, as the benchmark drives it. */
export interface Side {
  /** What computes. */ readonly implementation: string;
  /** Each of so many tokens behind a context that is already cached, with its logits. */
  decode(tokens: number): Promise<Times>;
  prefill(request: PrefillRequest): Promise<Times>;
  close(): void;
}

/** Wall and processor time of each call; processor time is that of all threads of this process. */
export async function timeCalls(calls: Iterable<() => unknown>): Promise<Times> {
  const times = { wallMs: [] as number[], processorMs: [] as number[] };
  for (const call of calls) {
    const [start, startProcessor] = [performance.now(), process.cpuUsage()];
    await call();
    const { user, system } = process.cpuUsage(startProcessor);
    times.wallMs.push(performance.now() - start);
    times.processorMs.push((user + system) / 1000);
  }
  return times;
}
