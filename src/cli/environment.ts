import { homedir } from 'node:os';
import path from 'node:path';

/** What the environment says; the only place that reads it. */
export interface Environment {
  /** HF_TOKEN. */ readonly token: string | null;
  /** HF_ENDPOINT, else the public hub. */ readonly endpoint: string;
  /** HF_HOME/hub, else where Hugging Face's own tools keep downloads. */ readonly cacheDir: string;
  /** DEBUG: show stacks of unexpected errors. */ readonly isDebug: boolean;
  /** NO_COLOR is unset or empty. */ readonly allowsColour: boolean;
}

const given = (value: string | undefined): string | null => (value === undefined || value.trim() === '' ? null : value.trim());

/** Reads the variables that bispik honours; empty ones count as unset. */
export function readEnvironment(variables: NodeJS.ProcessEnv = process.env): Environment {
  const hubHome = given(variables['HF_HOME']) ?? path.join(given(variables['XDG_CACHE_HOME']) ?? path.join(homedir(), '.cache'), 'huggingface');
  return {
    token: given(variables['HF_TOKEN']),
    endpoint: (given(variables['HF_ENDPOINT']) ?? 'https://huggingface.co').replace(/\/+$/, ''),
    cacheDir: path.join(hubHome, 'hub'),
    isDebug: given(variables['DEBUG']) !== null,
    allowsColour: variables['NO_COLOR'] === undefined || variables['NO_COLOR'] === '',
  };
}
