import type { BackendChoice } from '../backend/select.js';
import { prepareHalfProducts, selectBackend } from '../backend/select.js';
import type { BackendName, TrainSettings } from '../config/schema.js';
import { BackendError } from '../errors.js';
import type { Reporter } from '../types.js';
import { registerOperations } from '../ops/register.js';

/** Starts a backend and readies it for our operations. @throws BackendError when it does not work here. */
export async function prepareBackend(name: BackendName): Promise<BackendChoice> {
  const choice = await selectBackend(name);
  registerOperations();
  return choice;
}

/** Readies what `train.precision` asks for on a started backend, and says what computes. @throws BackendError when the backend does not have it. */
export async function preparePrecision({ precision }: Pick<TrainSettings, 'precision'>, backend: BackendChoice, reporter: Reporter): Promise<void> {
  if (precision === 'float32') return;
  const { isReady, details } = await prepareHalfProducts(backend.name);
  if (!isReady) {
    throw new BackendError(`train.precision: mixed needs matrix products with float16 inputs, which ${backend.name} (${backend.device}) does not have: ${details.join('; ')}`, {
      suggestions: ['--set train.precision=float32', ...(backend.name === 'webgpu' ? [] : ['--backend webgpu'])],
    });
  }
  reporter.notice(`Mixed precision: ${details.join('; ')}`);
}
