import { Worker } from 'node:worker_threads';

import type * as tf from '@tensorflow/tfjs-core';

import { copyValues } from '../backend/tensor-values.js';
import type { TokenBatch } from '../corpus/batches.js';
import { joinMeans, WINDOWS_AT_ONCE } from '../ops/batch-tensors.js';
import type { PassRunner } from './passes.js';
import { runPass } from './passes.js';
import type { ParameterPlaces, ReplicaMemory } from './replica-memory.js';
import { partOf, passFrom, placeParameters } from './replica-memory.js';
import type { ReplicaThread } from './replica-thread.js';
import { openReplicaThread } from './replica-thread.js';
import { describePlaces } from './replica.js';
import type { TrainingTask } from './task.js';

/** What a replica's thread is started with; plain, so that it can be sent there. */
export interface ReplicaStart<Plan> { readonly plan: Plan; readonly memory: ReplicaMemory }

/** How replicas are started. */
export interface PoolPlan<Plan> {
  /** JavaScript that builds the task from `plan` and calls `serveReplica`. */ readonly entry: URL;
  readonly plan: Plan;
  /** This thread's included, so at least 2. */ readonly threads: number;
  /** What computes here; the replicas must say the same. */ readonly device: string;
}

interface Replica { readonly thread: ReplicaThread; readonly memory: ReplicaMemory }
interface Pool { readonly places: ParameterPlaces; readonly replicas: readonly Replica[]; readonly threads: number }

/**
 * Starts `threads − 1` threads, each with its own backend and its own copy of the task and of everything that keeps: memory grows with
 * the threads. They sleep until they are asked; the first request waits until all have started.
 * @throws from `run` and `validNll`: BackendError when a thread does not start, computes with something else or ends; the errors of the
 * task as they are.
 */
export function startReplicas<Plan>(task: TrainingTask, { entry, plan, threads, device }: PoolPlan<Plan>): PassRunner {
  const places = placeParameters(task.parameters);
  const share = (): SharedArrayBuffer => new SharedArrayBuffer(places.length * Float32Array.BYTES_PER_ELEMENT);
  const parameters = share();
  const replicas = Array.from({ length: threads - 1 }, (): Replica => {
    const memory = { parameters, gradients: share() };
    const worker = new Worker(entry, { workerData: { plan, memory } satisfies ReplicaStart<Plan> });
    return { memory, thread: openReplicaThread(worker, { parameters: describePlaces(places), device }) };
  });
  const pool = { places, replicas, threads };
  const prepare = async (current: TrainingTask): Promise<void> => {
    await Promise.all(replicas.map(({ thread }) => thread.started));
    for (const [name, place] of places.places) copyValues(current.parameters.get(name) as tf.Variable, partOf(parameters, place));
  };
  return {
    threads,
    run: async (current, batches, take) => {
      await prepare(current);
      for (let start = 0; start < batches.length; start += threads) await runRound(pool, { task: current, batches: batches.slice(start, start + threads), isFresh: start === 0 }, take);
    },
    validNll: async (current, windows) => {
      await prepare(current);
      return dividedNll(pool, current, windows);
    },
    dispose: async () => { await Promise.all(replicas.map(({ thread }) => thread.end())); },
  };
}

/** At most one micro-batch a thread; ours is the first. */
async function runRound(
  { places, replicas }: Pool, { task, batches, isFresh }: { task: TrainingTask; batches: readonly TokenBatch[]; isFresh: boolean }, take: Parameters<PassRunner['run']>[2],
): Promise<void> {
  const [own, ...rest] = batches as [TokenBatch, ...TokenBatch[]];
  const answers = together(rest.map((batch, i) => (replicas[i] as Replica).thread.ask({ kind: 'pass', batch, isFresh })));
  take(runPass(task, own));
  (await answers).forEach((answer, i) => take(passFrom(answer, places, (replicas[i] as Replica).memory.gradients)));
}

/** Groups of windows are dealt out in turn; their means are put together in order, as one thread does. */
async function dividedNll({ replicas, threads }: Pool, task: TrainingTask, windows: readonly Int32Array[]): Promise<number> {
  const groups = Array.from({ length: Math.ceil(windows.length / WINDOWS_AT_ONCE) }, (_, i) => windows.slice(i * WINDOWS_AT_ONCE, (i + 1) * WINDOWS_AT_ONCE));
  const shareOf = (part: number): (typeof groups)[number][] => groups.filter((_, i) => i % threads === part);
  const answers = together(replicas.map(({ thread }, i) => thread.ask({ kind: 'validate', groups: shareOf(i + 1), isFresh: true })));
  const own: number[] = [];
  for (const group of shareOf(0)) own.push(await task.validNll(group));
  const means = [own, ...(await answers).map((answer) => answer.means)];
  return joinMeans(groups.map((group, i) => ({ mean: means[i % threads]?.[Math.floor(i / threads)] as number, windows: group.length })));
}

/** All of them; one that fails while nobody waits yet is no unhandled rejection. */
function together<X>(promises: readonly Promise<X>[]): Promise<X[]> {
  const all = Promise.all(promises);
  all.catch(() => undefined);
  return all;
}
