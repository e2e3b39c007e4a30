import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import type { EngineSettings } from './open-engine.js';

/** A fresh process that opens a student and gives one token. */
export interface StartUp {
  /** From the call that opens the folder to the first token's logits. */ readonly firstTokenMs: number;
  /** From the start of the process. */ readonly processMs: number;
  /** Largest resident set of the process. */ readonly peakRssBytes: number;
}

const SCRIPT = new URL('first-token.mjs', import.meta.url).pathname;

/** The second of two runs, so that packed weights and files are in their caches. @throws Error when the process fails. */
export async function measureStart(folder: string, { precision, threads }: EngineSettings): Promise<StartUp> {
  const run = async (): Promise<StartUp> => {
    const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, folder, precision, String(threads)]);
    return JSON.parse(stdout) as StartUp;
  };
  await run();
  return run();
}
