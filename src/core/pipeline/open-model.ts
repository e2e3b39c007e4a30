import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { teacherFolder } from '../config/shipped.js';
import type { BackendName } from '../config/schema.js';
import { openEngine } from '../engine/open-engine.js';
import { FormatError, UsageError } from '../errors.js';
import { STUDENT_MODEL_TYPE } from '../student/config.js';
import { readJsonFile } from '../teacher/config.js';
import type { LanguageModel, Reporter, WeightPrecision } from '../types.js';
import { RESOLVED_CONFIG } from './run-files.js';

/** A model folder: what kind it is, and where exactly it lies. */
export interface ModelFolder {
  readonly kind: 'student' | 'teacher';
  readonly folder: string;
}

/**
 * Finds the model a path names: a student or teacher folder, or a run folder, which stands for the best model it holds.
 * @throws FormatError when there is no model there.
 */
export async function findModel(path: string): Promise<ModelFolder> {
  const folder = await modelFolderOf(teacherFolder(path));
  const config = await readJsonFile(join(folder, 'config.json'));
  const isStudent = typeof config === 'object' && config !== null && 'model_type' in config && config.model_type === STUDENT_MODEL_TYPE;
  return { kind: isStudent ? 'student' : 'teacher', folder };
}

async function modelFolderOf(path: string): Promise<string> {
  const has = (name: string): Promise<boolean> => access(join(path, name)).then(() => true, () => false);
  if (await has('config.json')) return path;
  for (const inRun of ['student', 'teacher']) {
    if (await has(join(inRun, 'config.json'))) return join(path, inRun);
  }
  if (await has(RESOLVED_CONFIG)) {
    const isDistillation = /^teacher:/m.test(await readFile(join(path, RESOLVED_CONFIG), 'utf8'));
    const goOn = isDistillation ? `bispik distill --resume ${path}` : `bispik train-teacher --config ${join(path, RESOLVED_CONFIG)}`;
    throw new FormatError(`${path} is a run that has not written a model yet`, { suggestions: [goOn] });
  }
  throw new FormatError(`${path} holds no model: config.json not found`, {
    suggestions: ['Name a student, teacher or run folder', 'bispik import-teacher facebook/opt-125m --out models/opt-125m'],
  });
}

/** What a model is run with, as the user asked. */
export interface RunWith {
  /** `auto`: students on the engine, dense models on the fastest tensor backend; a tensor backend: students on the training graph. */
  readonly backend: BackendName | 'engine';
  /** Of the engine; null: the command's own choice. */ readonly precision: WeightPrecision | null;
  /** Of the engine; null: what suits the model and this machine. */ readonly threads: number | null;
}

/**
 * Opens a model; the caller disposes it. TensorFlow.js is loaded only where it computes.
 * @throws UsageError on a wish the model cannot fulfil; BackendError; FormatError, ShapeError, NumericError on damaged files.
 */
export async function openModel({ kind, folder }: ModelFolder, run: RunWith & { readonly precision: WeightPrecision }, reporter: Reporter): Promise<LanguageModel> {
  const { backend, precision, threads } = run;
  if (kind === 'student' && (backend === 'auto' || backend === 'engine')) return openEngine({ folder, precision, threads, notice: reporter.notice });
  if (backend === 'engine') throw new UsageError(`${folder} is a dense model: the engine runs spiking students only`, { suggestions: ['--backend auto'] });
  const { openOnTensorBackend } = await import('./open-on-tensor-backend.js');
  return openOnTensorBackend({ kind, folder }, backend);
}

/** @throws UsageError when precision or threads are given for a tensor backend, which has neither. */
export function checkRunWith({ backend, precision, threads }: RunWith): void {
  if (backend === 'auto' || backend === 'engine') return;
  const [flag] = [...(precision === null ? [] : [`--precision ${precision}`]), ...(threads === null ? [] : [`--threads ${threads}`])];
  if (flag !== undefined) throw new UsageError(`${flag} is for the engine, which --backend ${backend} goes without`, { suggestions: ['Leave out --backend'] });
}

/** The teacher folder a student's provenance names; null when it does not say or the folder is gone. */
export async function teacherOfStudent(folder: string): Promise<string | null> {
  const provenance = await readJsonFile(join(folder, 'provenance.json')).catch(() => null);
  if (typeof provenance !== 'object' || provenance === null || !('teacher' in provenance)) return null;
  const { teacher } = provenance as { teacher: unknown };
  if (typeof teacher !== 'object' || teacher === null || !('folder' in teacher) || typeof teacher.folder !== 'string') return null;
  const path = teacherFolder(teacher.folder);
  return access(join(path, 'config.json')).then(() => path, () => null);
}
