import type { BackendChoice } from '../backend/select.js';
import { selectBackend } from '../backend/select.js';
import type { BackendName } from '../config/schema.js';
import { registerOperations } from '../ops/register.js';

/** Starts a backend and readies it for our operations. @throws BackendError when it does not work here. */
export async function prepareBackend(name: BackendName): Promise<BackendChoice> {
  const choice = await selectBackend(name);
  registerOperations();
  return choice;
}
