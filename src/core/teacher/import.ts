import { realpath, stat } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { Interrupted, UsageError } from '../errors.js';
import type { LocalSnapshot } from '../hub/local-snapshot.js';
import { localSnapshot } from '../hub/local-snapshot.js';
import { requireFreeFolder, writeFolderAtomically } from '../hub/staged-folder.js';
import type { RunContext } from '../types.js';
import { importTokenizer } from './import-tokenizer.js';
import type { TeacherFolder, TeacherWeights } from './weights.js';
import { readTeacherFolder, writeTeacher } from './weights.js';

/** What running the teacher on arrival showed. */
export interface ArrivalCheck {
  /** Predicted tokens. */ readonly tokens: number;
  /** Mean loss, nats per token. */ readonly nll: number;
  readonly perplexity: number;
}

export interface ImportOptions {
  /** A local folder, or a repository id of the Hub. */ readonly source: string;
  /** Folder to be written. */ readonly out: string;
  /** Fetches a repository of the Hub, or finds it in the cache. */
  readonly download: (repository: string, context: RunContext) => Promise<LocalSnapshot>;
  /** Replace a model folder at `out`. */ readonly overwrite: boolean;
  /** Recorded in the provenance. */ readonly bispikVersion: string;
  /** Runs the teacher in its new folder before that gets its name; what it throws leaves nothing behind. Null: it could not be run. */
  readonly check?: (weights: TeacherWeights, folder: string) => Promise<ArrivalCheck | null>;
}

/** Where an imported teacher comes from, as its provenance.json says. */
export interface TeacherProvenance {
  readonly source: string;
  readonly commit: string | null;
  readonly files: LocalSnapshot['files'];
  /** Element types of the source's weights. */ readonly sourceDtypes: readonly string[];
  /** ISO 8601, UTC. */ readonly date: string;
  readonly bispikVersion: string;
}

export interface ImportResult {
  /** Absolute. */ readonly path: string;
  readonly family: 'opt';
  /** Numbers in all tensors, a tied head counted once. */ readonly parameters: number;
  readonly vocabSize: number;
  /** Element type of the weights written. */ readonly dtype: 'float32';
  /** SHA-256 of the weights, whichever file format they came from. */ readonly weightsSha256: string;
  /** Files the tokenizer came from; null when the source has none. */ readonly tokenizer: string | null;
  readonly check: ArrivalCheck | null;
  readonly provenance: TeacherProvenance;
}

/**
 * Imports a teacher into a folder of Hugging Face layout: float32 `model.safetensors`, `config.json`, tokenizer, `provenance.json`.
 * The folder appears complete or not at all.
 * @throws UsageError when `out` is taken, DownloadError, or what {@link readTeacherFolder} and the check refuse.
 */
export async function importTeacher(options: ImportOptions, context: RunContext): Promise<ImportResult> {
  const target = { overwrite: options.overwrite, marker: 'config.json' };
  await requireFreeFolder(options.out, target);
  const snapshot = await findSource(options, context);
  await requireApart(snapshot.folder, options.out);
  const teacher = await readTeacherFolder(snapshot.folder, context);
  for (const notice of teacher.notices) context.reporter.notice(notice);
  const provenance = describeSource(options, snapshot, teacher);
  return writeFolderAtomically(options.out, target, async (staging) => {
    await writeTeacher(staging, teacher.weights, { ...provenance });
    const tokenizer = await importTokenizer({ from: snapshot.folder, to: staging, config: teacher.weights.config }, context.reporter);
    requireNotInterrupted(context);
    const check = await options.check?.(teacher.weights, staging) ?? null;
    requireNotInterrupted(context);
    return describeResult(resolve(options.out), teacher.weights, { tokenizer, check, provenance });
  });
}

async function findSource(options: ImportOptions, context: RunContext): Promise<LocalSnapshot> {
  const { source } = options;
  const found = await stat(source).catch(() => null);
  if (found?.isDirectory() === true) {
    if (REPOSITORY_ID.test(source)) context.reporter.notice(`${source} is a local folder: it is imported, not the Hub's repository of that name`);
    return localSnapshot(source, context);
  }
  if (found !== null) throw new UsageError(`${source} is a file`, { suggestions: ['name the folder that holds config.json and the weights'] });
  if (!REPOSITORY_ID.test(source)) {
    throw new UsageError(`${source}: no such folder, and not a repository id of the Hub`, { suggestions: ['bispik import-teacher facebook/opt-125m --out models/opt-125m'] });
  }
  return options.download(source, context);
}

/** `owner/name` or, for a few old models, `name`. */
const REPOSITORY_ID = /^[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?$/;

/** Replacing the folder one reads from would lose the original. */
async function requireApart(from: string, out: string): Promise<void> {
  const source = await realpath(from);
  const target = await realpath(out).catch(() => resolve(out));
  if (source === target || source.startsWith(target + sep)) throw new UsageError(`--out ${out} is the source folder itself or contains it`, { suggestions: ['choose another --out'] });
}

function describeSource(options: ImportOptions, snapshot: LocalSnapshot, teacher: TeacherFolder): TeacherProvenance {
  return {
    source: snapshot.source, commit: snapshot.commit, files: snapshot.files, sourceDtypes: teacher.dtypes,
    date: new Date().toISOString(), bispikVersion: options.bispikVersion,
  };
}

function describeResult(path: string, weights: TeacherWeights, rest: Pick<ImportResult, 'tokenizer' | 'check' | 'provenance'>): ImportResult {
  const parameters = [...weights.tensors.values()].reduce((sum, { values }) => sum + values.length, 0);
  return { path, family: 'opt', parameters, vocabSize: weights.config.vocabSize, dtype: 'float32', weightsSha256: weights.sha256, ...rest };
}

function requireNotInterrupted({ signal }: RunContext): void {
  if (signal.aborted) throw new Interrupted('the import was interrupted; nothing was written', { suggestions: ['run the same command again: finished downloads are kept'] });
}
