import { ApiError } from './api-error.js';

/** Runs jobs, a few at a time; the others wait in a line of bounded length. */
export interface WorkQueue {
  readonly running: number;
  readonly waiting: number;
  /**
   * Runs `job` when its turn has come. @param signal leaves the line, and is for the job to obey.
   * @throws ApiError 429 when the line is full, 503 once the queue is closed; whatever the job throws.
   */
  run<Result>(job: () => Promise<Result>, signal: AbortSignal): Promise<Result>;
  /** Sends home everybody in the line; jobs that run go on. @returns when the last one has ended. */
  close(): Promise<void>;
}

/** A job's turn. */
interface Turn { readonly come: () => void; readonly refuse: (error: Error) => void }

/** @param concurrency jobs at a time. @param capacity how many may wait. */
export function createWorkQueue({ concurrency, capacity }: { readonly concurrency: number; readonly capacity: number }): WorkQueue {
  const line = new Set<Turn>();
  let running = 0;
  let isClosed = false;
  let whenIdle: (() => void) | null = null;
  const leave = (): void => {
    const [next] = line;
    if (next !== undefined) {
      line.delete(next);
      next.come();
      return; // its place is the one that became free
    }
    running--;
    if (running === 0) whenIdle?.();
  };
  return {
    get running() { return running; },
    get waiting() { return line.size; },
    run: async (job, signal) => {
      if (isClosed) throw closed();
      signal.throwIfAborted();
      if (running < concurrency) running++;
      else if (line.size >= capacity) throw new ApiError(429, `${running} requests are being answered and ${line.size} wait: try again later`, { code: 'queue_full' });
      else await wait(line, signal);
      try {
        signal.throwIfAborted();
        return await job();
      } finally {
        leave();
      }
    },
    close: () => {
      isClosed = true;
      for (const { refuse } of line) refuse(closed());
      line.clear();
      return running === 0 ? Promise.resolve() : new Promise((resolve) => { whenIdle = resolve; });
    },
  };
}

const closed = (): ApiError => new ApiError(503, 'the server is shutting down', { code: 'shutting_down' });

function wait(line: Set<Turn>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const turn: Turn = { come: () => { signal.removeEventListener('abort', giveUp); resolve(); }, refuse: (error) => { signal.removeEventListener('abort', giveUp); reject(error); } };
    const giveUp = (): void => {
      line.delete(turn);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    line.add(turn);
  });
}
