import type { MessagePort } from 'node:worker_threads';

import * as tf from '@tensorflow/tfjs-core';

import { copyValues, setValues } from '../backend/tensor-values.js';
import type { TokenBatch } from '../corpus/batches.js';
import { BispikError } from '../errors.js';
import type { Pass } from './passes.js';
import { runPass, tensorsOf } from './passes.js';
import type { ParameterPlaces, ReplicaMemory } from './replica-memory.js';
import { partOf, placeParameters } from './replica-memory.js';
import type { RateSite, TrainingTask } from './task.js';

/** What a replica is asked for. */
export type ReplicaRequest =
  /** `isFresh`: the parameters in the shared memory are others than at the last request. */
  | { readonly kind: 'pass'; readonly isFresh: boolean; readonly batch: TokenBatch }
  | { readonly kind: 'validate'; readonly isFresh: boolean; readonly groups: readonly (readonly Int32Array[])[] };

/** Losses of a pass as numbers; each is a float32, so that nothing is lost on the way. */
export interface LossNumbers {
  readonly total: number;
  readonly terms: Readonly<Record<string, number>>;
  readonly rates: { readonly sites: readonly RateSite[]; readonly values: Float32Array } | null;
}

/** What a replica answers. */
export type ReplicaAnswer =
  | { readonly kind: 'ready'; readonly device: string; readonly parameters: readonly string[] }
  | { readonly kind: 'pass'; readonly losses: LossNumbers; /** Whose gradients lie in the shared memory. */ readonly names: readonly string[] }
  | { readonly kind: 'validate'; /** Nats per token of each group. */ readonly means: readonly number[] }
  | { readonly kind: 'failed'; readonly error: ReplicaFailure };

/** An error as it crosses from one thread to the other. */
export interface ReplicaFailure { readonly name: string; readonly message: string; readonly suggestions: readonly string[]; readonly stack: string }

/** Names and shapes in order: replicas whose lists are equal agree about the shared memory. */
export function describePlaces({ places }: ParameterPlaces): string[] {
  return Array.from(places, ([name, { shape }]) => `${name} [${shape.join(', ')}]`);
}

/** Answers requests with this thread's copy of the task until the thread is ended. @param device what computes here. */
export function serveReplica(task: TrainingTask, { port, memory, device }: { port: MessagePort; memory: ReplicaMemory; device: string }): void {
  const places = placeParameters(task.parameters);
  port.on('message', (request: ReplicaRequest) => {
    void answer(task, { request, places, memory }).catch((error: unknown) => failedBy(error)).then((reply) => port.postMessage(reply));
  });
  port.postMessage({ kind: 'ready', device, parameters: describePlaces(places) } satisfies ReplicaAnswer);
}

/** What a thread says when it cannot go on. */
export function failedBy(error: unknown): ReplicaAnswer {
  const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return { kind: 'failed', error: { name, message, stack, suggestions: error instanceof BispikError ? error.suggestions : [] } };
}

interface Setting { readonly request: ReplicaRequest; readonly places: ParameterPlaces; readonly memory: ReplicaMemory }

async function answer(task: TrainingTask, { request, places, memory }: Setting): Promise<ReplicaAnswer> {
  if (request.isFresh) readParameters(task, places, memory.parameters);
  if (request.kind === 'pass') return handOver(runPass(task, request.batch), places, memory.gradients);
  const means: number[] = [];
  for (const windows of request.groups) means.push(await task.validNll(windows));
  return { kind: 'validate', means };
}

function readParameters(task: TrainingTask, { places }: ParameterPlaces, buffer: SharedArrayBuffer): void {
  for (const [name, place] of places) {
    setValues(task.parameters.get(name) as tf.Variable, partOf(buffer, place));
  }
}

function handOver({ gradients, losses }: Pass, { places }: ParameterPlaces, buffer: SharedArrayBuffer): ReplicaAnswer {
  const number = (scalar: tf.Scalar): number => scalar.dataSync()[0] as number;
  for (const [name, gradient] of gradients) {
    const place = places.get(name);
    if (place === undefined) throw new Error(`a gradient of ${name}, which is no parameter`);
    copyValues(gradient, partOf(buffer, place));
  }
  const numbers: LossNumbers = {
    total: number(losses.total),
    terms: Object.fromEntries(Object.entries(losses.terms).map(([name, term]) => [name, number(term)])),
    rates: losses.rates === null ? null : { sites: losses.rates.sites, values: losses.rates.values.dataSync<'float32'>() },
  };
  const names = [...gradients.keys()];
  tf.dispose([...gradients.values(), ...tensorsOf(losses)]);
  return { kind: 'pass', losses: numbers, names };
}
