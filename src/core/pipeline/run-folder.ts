import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import type { BackendChoice } from '../backend/select.js';
import { configToYaml } from '../config/load.js';
import type { DistillConfig, TeacherConfig } from '../config/schema.js';
import { packageRoot } from '../config/shipped.js';
import { explainWriteFailure, writeTextAtomically } from '../hub/atomic-write.js';
import { holdsCheckpoints } from '../train/run.js';
import { RESOLVED_CONFIG } from './run-files.js';

/** What made a result; written beside it. */
export interface RunProvenance {
  readonly bispik: string;
  readonly node: string;
  readonly tensorflowJs: string;
  readonly backend: { readonly name: string; readonly device: string };
  readonly seed: number;
  readonly createdAt: string;
}

/** Versions, seed and backend of this process. */
export async function runProvenance(backend: BackendChoice, seed: number): Promise<RunProvenance> {
  const { version } = JSON.parse(await readFile(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
  return {
    bispik: version, node: process.versions.node, tensorflowJs: tf.version_core,
    backend: { name: backend.name, device: backend.device }, seed, createdAt: new Date().toISOString(),
  };
}

/** Creates a run folder with its resolved configuration; one that holds checkpoints keeps its own. @throws FormatError when it cannot be written. */
export async function createRunFolder(config: DistillConfig | TeacherConfig): Promise<void> {
  await mkdir(config.run, { recursive: true }).catch((cause: unknown) => { throw explainWriteFailure(config.run, cause); });
  if (await holdsCheckpoints(config.run)) return;
  await writeTextAtomically(join(config.run, RESOLVED_CONFIG), configToYaml(config));
}

/** What decides the result of a run: its configuration, without where it lies, and the hashes of what it reads. */
export function runIdentity(config: DistillConfig | TeacherConfig, hashes: Readonly<Record<string, string>>): Record<string, unknown> {
  const { run: _folder, ...rest } = config;
  if (!('teacherCache' in rest)) return { ...rest, ...hashes };
  const { teacherCache: { folder: _cache, ...sampling }, ...others } = rest;
  // Absent where it is off, so that runs begun before there were caches can be resumed.
  return { ...others, ...(sampling.enabled ? { teacherCache: sampling } : {}), ...hashes };
}
