import type { LanguageModel } from '../../src/core/types.js';

export const PRECISIONS = ['int8', 'int4', 'float32'] as const;
export type Precision = (typeof PRECISIONS)[number];

export interface EngineSettings { readonly precision: Precision; readonly threads: number }

/** Opens a student folder with the event-driven engine; a string says why that is not possible. */
export async function openEngine(_folder: string, _settings: EngineSettings): Promise<LanguageModel | string> {
  return 'this commit has no event-driven engine yet';
}
