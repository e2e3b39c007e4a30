import type { StartedBackend } from './started.js';
import { activate } from './started.js';

/** Starts the plain JavaScript backend: slow, exact, always there. @throws BackendError */
export async function startCpu(): Promise<StartedBackend> {
  await import('@tensorflow/tfjs-backend-cpu');
  await activate('cpu');
  return { device: 'JavaScript, 1 thread', capabilities: { spikingKernels: false, synchronousRead: true, software: false } };
}
