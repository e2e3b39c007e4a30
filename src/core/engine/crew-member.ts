import { parentPort, workerData } from 'node:worker_threads';

import type { CrewMember } from './crew.js';
import { BARRIER_SPINS, CONTROL, CONTROL_BYTES, JOB_SPINS } from './crew.js';
import { instantiateThreads } from './instantiate.js';
import type { Machine } from './step.js';
import { createWorker } from './step.js';

/** Entry point of a worker: waits for a job, does its part, waits again, until it is told to stop. */
const { part, parts, control, memory, module, machine: rest } = workerData as CrewMember;
const { kernels, barrier } = await instantiateThreads(module, memory);
const fields = new Int32Array(memory.buffer, control, CONTROL_BYTES / 4);
const machine: Machine = {
  ...rest,
  kernels,
  memory: {
    floats: (address, length) => new Float32Array(memory.buffer, address, length),
    doubles: (address, length) => new Float64Array(memory.buffer, address, length),
  },
};

const run = createWorker(machine, { part, parts, sync: () => barrier(control, parts, BARRIER_SPINS) });

function nextSequence(seen: number): number {
  for (let spin = 0; spin < JOB_SPINS; spin++) {
    const sequence = Atomics.load(fields, CONTROL.sequence);
    if (sequence !== seen) return sequence;
  }
  Atomics.wait(fields, CONTROL.sequence, seen);
  return Atomics.load(fields, CONTROL.sequence);
}

let seen = Atomics.load(fields, CONTROL.sequence);
parentPort?.postMessage('ready');
for (;;) {
  const sequence = nextSequence(seen);
  if (sequence === seen) continue;
  seen = sequence;
  if (Atomics.load(fields, CONTROL.stopped) !== 0) break;
  try {
    run({
      tokens: fields[CONTROL.tokens]!, start: fields[CONTROL.start]!, headFirst: fields[CONTROL.headFirst]!, headCount: fields[CONTROL.headCount]!,
    });
  } catch (error) {
    // The others would wait for ever: they look at this when they have slept.
    Atomics.store(fields, CONTROL.failed, 1);
    throw error;
  }
}
