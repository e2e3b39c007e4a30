import { createRequire } from 'node:module';
import path from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../errors.js';
import type { StartedBackend } from './started.js';
import { activate, messageOf } from './started.js';

/** In order of preference. Neither is a dependency of ours: they bring a native TensorFlow of several hundred megabytes. */
const PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** Where the packages are looked for: beside this program, then in the folder the user works in. */
const SEARCH = [import.meta.url, path.join(process.cwd(), 'package.json')];

interface Found {
  readonly name: string;
  readonly load: () => unknown;
}

/**
 * Starts native TensorFlow through whichever of its Node.js packages is installed and loads.
 * @param searchFrom files or URLs whose node_modules folders are searched.
 * @throws BackendError that tells apart: not installed, built for another Node.js, native library missing, no usable GPU (wrong CUDA), anything else.
 */
export async function startTensorflow(searchFrom: readonly string[] = SEARCH): Promise<StartedBackend> {
  const found = findPackages(searchFrom);
  if (found.length === 0) {
    throw new BackendError(`neither ${PACKAGES.join(' nor ')} is installed`, { suggestions: [`npm install ${PACKAGES[1]}`] });
  }
  const failures: BackendError[] = [];
  for (const candidate of found) {
    try {
      candidate.load();
      if (tf.findBackendFactory('tensorflow') == null) throw new Error('it loads, but brings another copy of @tensorflow/tfjs-core');
      await activate('tensorflow');
      requireGpu();
      return {
        device: `TensorFlow by ${candidate.name}`,
        capabilities: { spikingKernels: false, synchronousRead: true, software: false },
      };
    } catch (error) {
      failures.push(explain(candidate.name, error));
      forgetTensorflow();
    }
  }
  const [first] = failures;
  if (first === undefined || failures.length === 1) throw first ?? new BackendError('tensorflow does not load');
  throw new BackendError(failures.map(({ message }) => message).join('; '), { suggestions: failures.flatMap(({ suggestions }) => suggestions), cause: first });
}

/** The GPU package computes on the CPU, with a few lines on stderr, where it finds no CUDA that it was built for. */
class NoGpuError extends Error {}

function requireGpu(): void {
  const { isGPUPackage, isUsingGpuDevice } = tf.backend() as { readonly isGPUPackage?: boolean; readonly isUsingGpuDevice?: boolean };
  if (isGPUPackage === true && isUsingGpuDevice === false) throw new NoGpuError('it found no GPU that it can use');
}

/** Makes room for the next package: two cannot register the same backend. */
function forgetTensorflow(): void {
  if (tf.findBackendFactory('tensorflow') != null) tf.removeBackend('tensorflow');
  for (const { kernelName } of tf.getKernelsForBackend('tensorflow')) tf.unregisterKernel(kernelName, 'tensorflow');
}

function findPackages(searchFrom: readonly string[]): Found[] {
  return PACKAGES.flatMap((name) => {
    for (const origin of searchFrom) {
      const require = createRequire(origin);
      try {
        const file = require.resolve(name);
        return [{ name, load: () => require(file) as unknown }];
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'MODULE_NOT_FOUND') return [{ name, load: () => { throw error; } }];
      }
    }
    return [];
  });
}

function explain(name: string, cause: unknown): BackendError {
  const message = messageOf(cause);
  if (cause instanceof NoGpuError) {
    return new BackendError(`${name} is installed but found no GPU that it can use: version 4.22 needs CUDA 11.2 and cuDNN 8.1, and no others`, {
      cause, suggestions: ['install CUDA 11.2 and cuDNN 8.1 and name their folder in LD_LIBRARY_PATH', '--backend webgpu (needs no CUDA)', `npm install ${PACKAGES[1]} (computes on the CPU)`],
    });
  }
  if (/NODE_MODULE_VERSION|different Node\.js version|isNullOrUndefined/.test(message)) {
    return new BackendError(`${name} is installed but was made for another version of Node.js than ${process.version}`, {
      cause, suggestions: [`npm rebuild ${name}`, 'use Node.js 20'],
    });
  }
  if (/tfjs_binding\.node|libtensorflow|ERR_DLOPEN_FAILED|cannot open shared object/.test(`${message} ${(cause as NodeJS.ErrnoException).code ?? ''}`)) {
    return new BackendError(`${name} is installed but its native library is missing or does not load: ${firstLine(message)}`, {
      cause, suggestions: [`npm rebuild ${name} --build-addon-from-source`],
    });
  }
  return new BackendError(`${name} is installed but does not load: ${firstLine(message)}`, { cause, suggestions: [`npm install ${name}`] });
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}
