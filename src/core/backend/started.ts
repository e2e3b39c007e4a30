import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../errors.js';

/** What a running backend can do. */
export interface BackendCapabilities {
  /** Event-driven kernels of our own; otherwise every operation is composed of standard ones. */ readonly spikingKernels: boolean;
  /** Whether tensor values can be read without waiting; where not, `await tensor.data()` is the only way. */ readonly synchronousRead: boolean;
  /** True when a GPU interface is emulated on the CPU. */ readonly software: boolean;
}

/** A backend that is active and has computed something right. */
export interface StartedBackend {
  /** What computes, for people: a processor or adapter name. */ readonly device: string;
  readonly capabilities: BackendCapabilities;
}

/**
 * Makes a registered backend the active one and lets it multiply two small matrices.
 * @throws BackendError when it does not start or computes something else.
 */
export async function activate(name: string): Promise<void> {
  let values: ArrayLike<number>;
  tf.env().set('PROD', true); // keeps advice for browsers and Node.js off the user's terminal; shapes are checked all the same
  try {
    if (!(await tf.setBackend(name))) throw new Error('it does not initialise');
    const product = tf.tidy(() => tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5], [6]])));
    values = await product.data();
    product.dispose();
  } catch (cause) {
    throw new BackendError(`the ${name} backend does not start: ${messageOf(cause)}`, { cause });
  }
  if (values[0] !== 17 || values[1] !== 39) {
    throw new BackendError(`the ${name} backend computes wrong products: (${Array.from(values).join(', ')}) instead of (17, 39)`);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
