import * as tf from '@tensorflow/tfjs-core';

import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import type { BackendProbe, ComputeBackend } from '../../src/core/backend/select.js';
import { BACKENDS, probeBackends } from '../../src/core/backend/select.js';

/** These work everywhere; if they do not, that is a failure and not a reason to skip. */
const REQUIRED: readonly ComputeBackend[] = ['wasm', 'cpu'];
/** A software adapter does 0.5 GFLOP/s. */
const SLOW_TIMEOUT_MS = 180_000;

let probes: Promise<readonly BackendProbe[]> | null = null;

/**
 * One body of tests per backend, its name in the title. A backend that is absent here is skipped and listed as pending
 * (`bispik doctor` says why); `cpu` and `wasm` never are.
 */
export function describeOnBackends(title: string, body: (backend: ComputeBackend) => void): void {
  describeOn(BACKENDS, title, body);
}

/** One body of tests for each backend that has kernels of ours. */
export function describeOnOurKernels(title: string, body: (backend: ComputeBackend) => void): void {
  describeOn(['webgpu', 'wasm'], title, body);
}

/** Tests of what only the WebGPU backend has; pending where there is no adapter. */
export function describeOnWebGpu(title: string, body: () => void): void {
  describeOn(['webgpu'], title, body);
}

/** One body of tests for each of these backends. */
export function describeOn(names: readonly ComputeBackend[], title: string, body: (backend: ComputeBackend) => void): void {
  for (const name of names) {
    describe(`${title} [${name}]`, function () {
      if (name === 'webgpu') this.timeout(SLOW_TIMEOUT_MS);
      before(async function () {
        this.timeout(SLOW_TIMEOUT_MS);
        if (!REQUIRED.includes(name)) {
          probes ??= probeBackends();
          if ((await probes).find((probe) => probe.name === name)?.available !== true) this.skip();
        }
        await prepareBackend(name);
      });
      afterEach(() => { tf.engine().disposeVariables(); });
      body(name);
    });
  }
}

/** Asserts that two lists of numbers agree; the message prints the largest difference and where it is. */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: { absolute: number; relative?: number }, what = 'values'): void {
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} numbers, expected ${expected.length}`);
  let [worst, at] = [-1, -1];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    const excess = difference - tolerance.absolute - (tolerance.relative ?? 0) * Math.abs(expected[i] as number);
    if (!(excess <= 0) && !(difference <= worst)) [worst, at] = [difference, i];
  }
  if (at >= 0) throw new Error(`${what}: largest difference ${worst} at ${at}: ${actual[at]}, expected ${expected[at]}`);
}
