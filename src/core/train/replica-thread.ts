import type { Worker } from 'node:worker_threads';

import { BackendError, FormatError, NumericError, ShapeError } from '../errors.js';
import type { ReplicaAnswer, ReplicaFailure, ReplicaRequest } from './replica.js';

type Of<Kind> = Extract<ReplicaAnswer, { kind: Kind }>;
type Ready = Omit<Of<'ready'>, 'kind'>;

/** A thread with a replica, which answers one request at a time. */
export interface ReplicaThread {
  /** When it can be asked. */ readonly started: Promise<void>;
  /** Sends the request before it returns. @throws what went wrong there, now or earlier. */
  ask<Kind extends ReplicaRequest['kind']>(request: Extract<ReplicaRequest, { kind: Kind }>): Promise<Of<Kind>>;
  end(): Promise<void>;
}

/** Talks to a thread that calls `serveReplica`. @param expected what it must say of itself when it is ready. */
export function openReplicaThread(worker: Worker, expected: Ready): ReplicaThread {
  let [hasEnded, failure] = [false, null as Error | null];
  let waiting: { resolve: (answer: ReplicaAnswer) => void; reject: (error: Error) => void } | null = null;
  const fail = (error: Error): void => {
    failure ??= error;
    waiting?.reject(failure);
    waiting = null;
  };
  const next = (): Promise<ReplicaAnswer> => new Promise((resolve, reject) => {
    if (failure === null) waiting = { resolve, reject };
    else reject(failure);
  });
  worker.on('message', (answer: ReplicaAnswer) => {
    if (answer.kind === 'failed') return fail(errorOf(answer.error));
    waiting?.resolve(answer);
    waiting = null;
  });
  worker.on('error', (cause: Error) => fail(new BackendError(`a training thread failed: ${cause.message}`, { cause, suggestions: ALONE })));
  worker.on('exit', (code) => { if (!hasEnded) fail(new BackendError(`a training thread ended by itself with code ${code}`, { suggestions: ALONE })); });
  const started = next().then((answer) => requireAlike(answer as Of<'ready'>, expected));
  started.catch(() => undefined); // told to whoever asks first
  return {
    started,
    ask: async (request) => {
      const answer = next();
      if (failure === null) worker.postMessage(request);
      return await answer as Of<typeof request.kind>;
    },
    end: async () => {
      hasEnded = true;
      await worker.terminate();
    },
  };
}

const ALONE = ['--threads 1'];

/** What the task itself throws keeps its class, so that one thread or several end a command alike. */
const KNOWN = { NumericError, ShapeError, FormatError } as const;

function errorOf({ name, message, suggestions, stack }: ReplicaFailure): Error {
  const cause = Object.assign(new Error(message), { name, stack });
  if (name in KNOWN) return new KNOWN[name as keyof typeof KNOWN](message, { cause, suggestions });
  return new BackendError(`a training thread failed: ${message}`, { cause, suggestions: [...suggestions, ...ALONE] });
}

/** Other kernels would give other bits, other parameters would lie elsewhere in the shared memory. */
function requireAlike(found: Ready, expected: Ready): void {
  if (found.device !== expected.device) throw new BackendError(`a training thread computes on ${found.device}, not on ${expected.device}`, { suggestions: ALONE });
  if (found.parameters.join() !== expected.parameters.join()) throw new Error('a training thread has other parameters than the trainer');
}
