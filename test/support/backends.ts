import * as tf from '@tensorflow/tfjs-core';

import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { probeBackends } from '../../src/core/backend/select.js';
import { isBackendName } from '../../src/core/backend/select.js';

const available = (await probeBackends()).filter(({ available: works }) => works).map(({ name }) => name).filter(isBackendName);

/**
 * One body of tests per backend that works on this machine, its name in the title. A backend that is absent is left out
 * (`bispik doctor` says why), `cpu` and `wasm` never are.
 */
export function describeOnBackends(title: string, body: (backend: string) => void): void {
  for (const name of available) {
    describe(`${title} [${name}]`, function () {
      if (name === 'webgpu') this.timeout(120_000); // a software adapter does 0.5 GFLOP/s
      before(async () => { await prepareBackend(name); });
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
