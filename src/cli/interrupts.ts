/** An abort signal that Ctrl-C (or a polite kill) raises. */
export interface Interrupts {
  readonly signal: AbortSignal;
  /** Stops listening; call it when the work is done. */
  release(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Turns the first Ctrl-C into an abort signal, so that work ends at the next safe point. Listening ends with it, so that the
 * second Ctrl-C does what it does without us: it ends the process at once.
 * @param onFirst told once, to say what is going on.
 */
export function listenForInterrupts(onFirst: () => void): Interrupts {
  const controller = new AbortController();
  const release = (): void => { for (const name of SIGNALS) process.off(name, stop); };
  const stop = (): void => {
    release();
    onFirst();
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, stop);
  return { signal: controller.signal, release };
}
