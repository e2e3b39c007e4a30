import type { EngineModel } from '../../src/core/engine/engine.js';
import { openEngine } from '../../src/core/engine/open-engine.js';

export const PRECISIONS = ['int8', 'int4', 'float32'] as const;
export type Precision = (typeof PRECISIONS)[number];

export interface EngineSettings { readonly precision: Precision; readonly threads: number }

/** Opens a student folder with the event-driven engine. @throws BackendError when its kernels are not built. */
export async function openBenchEngine(folder: string, { precision, threads }: EngineSettings): Promise<EngineModel> {
  return openEngine({ folder, precision, threads, notice: (message) => { process.stderr.write(`${message}\n`); } });
}
