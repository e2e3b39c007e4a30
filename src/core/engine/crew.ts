import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

import { BackendError, UsageError } from '../errors.js';
import type { Barrier } from './instantiate.js';
import type { EngineMemory } from './memory.js';
import type { Job, Machine } from './step.js';
import { createWorker } from './step.js';
import type { WasmMemory, WasmModule } from '../wasm/api.js';

/** Those who run jobs: this thread, alone or with workers. */
export interface Crew {
  readonly threads: number;
  /** Runs one job to its end, with all threads or with this one only; the result is the same. */
  run(job: Job, who: 'all' | 'alone'): void;
  dispose(): void;
}

/** This thread alone. */
export function soloCrew(machine: Machine): Crew {
  const run = createWorker(machine, { part: 0, parts: 1, sync: () => undefined });
  return { threads: 1, run: (job) => run(job), dispose: () => undefined };
}

/** Fields of the control block, i32 each. The first three are the barrier's (assembly/engine/barrier.ts). */
export const CONTROL = { waiting: 0, round: 1, failed: 2, sequence: 3, tokens: 4, start: 5, headFirst: 6, headCount: 7, stopped: 8 } as const;
export const CONTROL_BYTES = 64;
/** Looks at the barrier before a thread sleeps: some 100 µs, twice what waking takes. With less, whoever waits for a sleeper to wake falls asleep in its turn. */
export const BARRIER_SPINS = 100_000;
/** Looks for the next job before a worker sleeps: longer than it takes to choose a token, so that no token waits for a worker to wake. */
export const JOB_SPINS = 20_000;

/** Entry point of the workers: beside this file, or the built one where the sources run directly, since workers load JavaScript only. */
const MEMBER = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/src/core/engine/crew-member.js' : './crew-member.js', import.meta.url);

/** What a worker is started with. */
export interface CrewMember {
  readonly part: number;
  readonly parts: number;
  readonly control: number;
  readonly memory: WasmMemory;
  readonly module: WasmModule;
  readonly machine: Omit<Machine, 'kernels' | 'memory'>;
}

/** Everything `startCrew` needs. */
export interface CrewPlan {
  readonly machine: Machine;
  readonly memory: EngineMemory;
  readonly module: WasmModule;
  readonly barrier: Barrier;
  readonly threads: number;
}

/** How many threads an engine may have here. */
export function threadLimit(): number {
  return availableParallelism();
}

/** @throws UsageError when more threads are asked for than there are cores: they would wait for each other. */
export function checkThreads(threads: number): void {
  const limit = threadLimit();
  if (Number.isInteger(threads) && threads >= 1 && threads <= limit) return;
  throw new UsageError(`${threads} threads were asked for; this machine has ${limit} ${limit === 1 ? 'core' : 'cores'}`, { suggestions: [`--threads ${limit}`] });
}

/**
 * Starts `threads − 1` workers over the shared memory; they sleep until there is a job. This thread is part 0 of every job.
 * @throws BackendError when a worker does not start.
 */
export async function startCrew({ machine, memory, module, barrier, threads }: CrewPlan): Promise<Crew> {
  const control = memory.allocate(CONTROL_BYTES);
  const fields = new Int32Array(memory.memory.buffer, control, CONTROL_BYTES / 4);
  const { weights, buffers } = machine;
  const workers = Array.from({ length: threads - 1 }, (_, n) => {
    const member: CrewMember = { part: n + 1, parts: threads, control, memory: memory.memory, module, machine: { weights, buffers } };
    const worker = new Worker(MEMBER, { workerData: member });
    worker.unref();
    return worker;
  });
  await Promise.all(workers.map(started));
  const alone = soloCrew(machine);
  const together = createWorker(machine, { part: 0, parts: threads, sync: () => barrier(control, threads, BARRIER_SPINS) });
  return {
    threads,
    run: (job, who) => {
      if (who === 'alone') return alone.run(job, who);
      announce(fields, job, threads);
      try {
        together(job);
      } catch (cause) {
        if (Atomics.exchange(fields, CONTROL.failed, 1) === 0) throw cause; // ours; the others stop when they look
        throw new BackendError('a thread of the engine failed', { cause, suggestions: ['--threads 1'] });
      }
    },
    dispose: () => {
      Atomics.store(fields, CONTROL.stopped, 1);
      Atomics.add(fields, CONTROL.sequence, 1);
      Atomics.notify(fields, CONTROL.sequence);
    },
  };
}

function announce(fields: Int32Array, job: Job, threads: number): void {
  Atomics.store(fields, CONTROL.waiting, threads);
  fields[CONTROL.tokens] = job.tokens;
  fields[CONTROL.start] = job.start;
  fields[CONTROL.headFirst] = job.headFirst;
  fields[CONTROL.headCount] = job.headCount;
  Atomics.add(fields, CONTROL.sequence, 1);
  Atomics.notify(fields, CONTROL.sequence);
}

function started(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', (cause) => reject(new BackendError('a thread of the engine did not start', { cause, suggestions: ['--threads 1'] })));
  });
}
