import { ExpectationError } from '../errors.js';
import { measurePerplexity } from '../eval/perplexity.js';
import { encodeText } from '../eval/token-sequences.js';
import { downloadSnapshot } from '../hub/download.js';
import { teacherLanguageModel } from '../teacher/language-model.js';
import type { ArrivalCheck, ImportResult } from '../teacher/import.js';
import { importTeacher as importTeacherFolder } from '../teacher/import.js';
import { uploadTeacher } from '../teacher/parameters.js';
import type { TeacherWeights } from '../teacher/weights.js';
import { loadTokenizer } from '../tokenizer/load.js';
import type { RunContext, TokenIds } from '../types.js';
import { readSequences } from './evaluate-model.js';
import { prepareBackend } from './prepare-backend.js';
import { hasTokenizer } from './tokenizer-files.js';

/** What `bispik import-teacher` was asked. */
export interface ImportTeacherOptions {
  /** Repository on the hub (owner/name), or a local folder. */ readonly source: string;
  readonly out: string;
  readonly revision: string;
  readonly token: string | null;
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly offline: boolean;
  readonly overwrite: boolean;
  /** Perplexity that `data` must give, within `EXPECTATION_TOLERANCE`; null: any. */ readonly expectPerplexity: number | null;
  /** Text (or .jsonl of token ids) the teacher is run on; null: a short text of ours. */ readonly data: string | null;
  readonly bispikVersion: string;
}

/** How far a perplexity may be from the expected one, relatively: float16 weights and window rules move it by less. */
export const EXPECTATION_TOLERANCE = 0.01;

/** Plain English that any language model should find likelier than noise. */
const SHORT_TEXT = `The old lighthouse stood at the end of the harbour. Every evening the keeper climbed the stairs, lit the lamp and
looked out over the water. When the fog came in, he rang the bell until the last boat was home. In the morning he wrote the weather
into a book, drank his coffee and went to bed.
`;

/**
 * Brings a model into a teacher folder and runs it there before the folder gets its name: its loss is part of the result, and a
 * perplexity that is not the expected one leaves nothing behind.
 * @throws ExpectationError, and whatever the download, the files and the weights give cause for.
 */
export async function importTeacher(options: ImportTeacherOptions, ctx: RunContext): Promise<ImportResult> {
  const { revision, token, endpoint, cacheDir, offline } = options;
  return importTeacherFolder({
    source: options.source, out: options.out, overwrite: options.overwrite, bispikVersion: options.bispikVersion,
    download: (repo, context) => downloadSnapshot({ repo, revision, token, endpoint, cacheDir, offline }, context),
    check: (weights, folder) => checkArrival(weights, folder, { options, ctx }),
  }, ctx);
}

async function checkArrival(weights: TeacherWeights, folder: string, { options, ctx }: { options: ImportTeacherOptions; ctx: RunContext }): Promise<ArrivalCheck | null> {
  const sequences = await arrivalSequences(folder, options.data);
  if (sequences === null) return null;
  await prepareBackend('auto');
  const model = teacherLanguageModel(uploadTeacher(weights));
  try {
    const { contextLength } = model.shape;
    const { tokens, nll, perplexity } = await measurePerplexity(model, { sequences, contextLength, stride: contextLength }, ctx);
    requireExpected(perplexity, options);
    return { tokens, nll, perplexity };
  } finally {
    model.dispose();
  }
}

/** What the teacher is run on; null where a model without a tokenizer was given no token ids. */
async function arrivalSequences(folder: string, data: string | null): Promise<readonly TokenIds[] | null> {
  if (data !== null) return readSequences(data, folder);
  return (await hasTokenizer(folder)) ? encodeText(SHORT_TEXT, await loadTokenizer(folder)) : null;
}

function requireExpected(perplexity: number, { expectPerplexity, data, source }: ImportTeacherOptions): void {
  if (expectPerplexity === null || Math.abs(perplexity / expectPerplexity - 1) <= EXPECTATION_TOLERANCE) return;
  throw new ExpectationError(
    `${source}: perplexity ${perplexity.toFixed(2)} on ${data}, expected ${expectPerplexity} within ${100 * EXPECTATION_TOLERANCE} %; nothing was written`,
    { suggestions: ['check that the text is the one the figure belongs to, in the same form', 'check --revision, and that tokenizer and weights belong together'] },
  );
}
