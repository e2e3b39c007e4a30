import * as tf from '@tensorflow/tfjs-core';

import type { GpuBackend } from '../webgpu-kernels/gpu.js';
import type { GpuClock, GpuSpan } from './gpu-clock.js';
import { startGpuClock } from './gpu-clock.js';
import { listenToKernels } from './kernel-calls.js';

/** What all launches of one kernel came to. */
export interface KernelProfile {
  readonly kernel: string;
  readonly launches: number;
  /** On the GPU by its own clock; elsewhere by the wall [ms]. */ readonly ms: number;
  /** Sizes of all inputs and outputs. */ readonly bytes: number;
  /** By formula, spikes as if dense: `operationsOf`. */ readonly operations: number;
}

/** What a piece of work spent on the active backend. */
export interface WorkProfile {
  /** Longest first. */ readonly kernels: readonly KernelProfile[];
  /** By the wall. */ readonly wallMs: number;
  /** `gpu`: timestamp queries; `wall`: kernels return when they are done; `recording`: a GPU without timestamp queries, whose kernel times say nothing. */
  readonly clock: 'gpu' | 'wall' | 'recording';
  /** Share of the wall time in which a kernel ran. */ readonly utilisation: number;
  /** The longest time without a kernel between two of them; null where kernels have no times of their own. */
  readonly largestGap: { readonly ms: number; readonly after: string; readonly before: string } | null;
}

type Totals = Map<string, { launches: number; ms: number; bytes: number; operations: number }>;

/** Runs `work` and says what its kernels spent. */
export async function profileWork(work: () => Promise<void>): Promise<WorkProfile> {
  const isGpu = tf.getBackend() === 'webgpu';
  const clock = isGpu ? startGpuClock(tf.backend() as unknown as GpuBackend) : null;
  const totals: Totals = new Map();
  const spans: GpuSpan[] = [];
  const origin = performance.now();
  const stopListening = listenToKernels({
    begin: (name) => clock?.enter(name),
    end: ({ name, callMs, isComposed, bytes, operations }) => {
      clock?.leave();
      add(totals, name, { launches: isComposed ? 0 : 1, ms: isGpu ? 0 : callMs, bytes, operations });
      const endNs = 1e6 * (performance.now() - origin);
      if (!isGpu) spans.push({ name, beginNs: endNs - 1e6 * callMs, endNs });
    },
  });
  try {
    await work();
  } finally {
    stopListening();
    if (clock !== null) spans.push(...await readSpans(clock, totals));
  }
  return summarise(totals, spans, { wallMs: performance.now() - origin, clock: clock !== null ? 'gpu' : isGpu ? 'recording' : 'wall' });
}

function add(totals: Totals, name: string, more: { launches: number; ms: number; bytes: number; operations: number }): void {
  const sum = totals.get(name) ?? { launches: 0, ms: 0, bytes: 0, operations: 0 };
  totals.set(name, { launches: sum.launches + more.launches, ms: sum.ms + more.ms, bytes: sum.bytes + more.bytes, operations: sum.operations + more.operations });
}

async function readSpans(clock: GpuClock, totals: Totals): Promise<GpuSpan[]> {
  const spans = await clock.stop();
  for (const { name, beginNs, endNs } of spans) add(totals, name, { launches: 0, ms: (endNs - beginNs) / 1e6, bytes: 0, operations: 0 });
  return spans;
}

function summarise(totals: Totals, spans: readonly GpuSpan[], rest: Pick<WorkProfile, 'wallMs' | 'clock'>): WorkProfile {
  const kernels = Array.from(totals, ([kernel, sum]) => ({ kernel, ...sum })).sort((a, b) => b.ms - a.ms || b.bytes - a.bytes);
  const busyMs = kernels.reduce((sum, { ms }) => sum + ms, 0);
  return { kernels, ...rest, utilisation: busyMs / rest.wallMs, largestGap: rest.clock === 'recording' ? null : largestGap(spans) };
}

/** The longest time in which no kernel ran, between the first and the last. */
export function largestGap(spans: readonly GpuSpan[]): WorkProfile['largestGap'] {
  const inOrder = [...spans].sort((a, b) => a.beginNs - b.beginNs);
  let largest: WorkProfile['largestGap'] = null;
  let latest = inOrder[0];
  for (const span of inOrder.slice(1)) {
    const ms = (span.beginNs - latest!.endNs) / 1e6;
    if (ms > (largest?.ms ?? 0)) largest = { ms, after: latest!.name, before: span.name };
    if (span.endNs > latest!.endNs) latest = span;
  }
  return largest;
}
