import { ngramBaselines } from '../corpus/ngram.js';
import type { NgramBaselines } from '../corpus/ngram.js';
import type { EnergyConstants } from '../energy/constants.js';
import { denseCounts, workOfLengths } from '../energy/dense-counts.js';
import type { DenseCounts } from '../energy/dense-counts.js';
import { denseEnergyPj, studentEnergy } from '../energy/energy.js';
import type { StudentEnergy } from '../energy/energy.js';
import type { EnergyConvention } from '../energy/conventions.js';
import type { NeurobenchCounts, StudentLedger } from '../energy/ledger.js';
import { neurobenchCounts, studentLedger } from '../energy/ledger.js';
import type { ConventionReport } from '../energy/verdict.js';
import { accountFor, effectiveRate } from '../energy/verdict.js';
import { meanFiringRate, siteFiringRates, totalAccumulates } from '../energy/firing-rate.js';
import type { SiteRate } from '../energy/firing-rate.js';
import { ShapeError, UsageError } from '../errors.js';
import type { LanguageModel, RunContext, TokenIds, WeightPrecision, WorkDone } from '../types.js';
import { adaptiveNgramLosses } from './adaptive-ngram.js';
import { measurePerplexity } from './perplexity.js';
import type { PerplexityReport } from './perplexity.js';
import { checkVocabulary } from './token-sequences.js';
import { cutWindows } from './windows.js';
import type { WindowOptions } from './windows.js';

export interface EvalOptions {
  /** At least one of the two models is given. */ readonly student: LanguageModel | null;
  readonly teacher: LanguageModel | null;
  readonly sequences: readonly TokenIds[];
  /** Null: the shorter of the models' contexts. */ readonly contextLength: number | null;
  /** Null: the context, so that windows do not overlap. */ readonly stride: number | null;
  /** Training text for the n-gram baselines; null: they learn from the evaluated text as they go. */ readonly ngramSequences: readonly TokenIds[] | null;
  readonly constants: EnergyConstants;
  /** By which the energy ledger is read. */ readonly conventions: readonly EnergyConvention[];
}

export interface TeacherReport {
  /** Nats per token. */ readonly nll: number;
  readonly perplexity: number;
  /** Multiply-accumulates over `processedTokens`. */ readonly ops: { readonly macs: number };
  readonly energy: { readonly pjPerToken: number };
  readonly backend: string;
}

export interface StudentReport {
  /** Nats per token. */ readonly nll: number;
  readonly perplexity: number;
  /** Spikes over slots, all sites together, 0–1. */ readonly firingRate: number;
  readonly sites: readonly SiteRate[];
  /** Totals over `processedTokens`. */ readonly ops: { readonly acs: number; readonly macs: number; readonly popcounts: number };
  /** `baseline`: the dense model the ratios compare with, the teacher or a dense model of the student's own shape. */
  readonly energy: StudentEnergy & { readonly baseline: 'teacher' | 'dense twin' };
  /** Every counted event, site by site, and what it stands for. */ readonly account: EnergyAccount;
  readonly timeSteps: number;
  readonly backend: string;
  readonly precision: WeightPrecision;
  /** What the engine did for it; null on a tensor backend. */ readonly work: WorkDone | null;
}

/** A student's counted events read by several conventions. */
export interface EnergyAccount {
  /** Accumulates over those of a network in which everything fires, 0–1. */ readonly effectiveRate: number;
  readonly ledger: StudentLedger;
  /** The dense model beside it, on the same tokens. */ readonly dense: DenseCounts;
  readonly neurobench: NeurobenchCounts;
  readonly conventions: readonly ConventionReport[];
}

/** Result of `eval`; the names are promised to scripts. */
export interface EvalReport {
  /** Targets scored: every id but the first of each sequence. */ readonly tokens: number;
  /** Tokens processed: `tokens` and the left context of overlapping windows. */ readonly processedTokens: number;
  readonly contextLength: number;
  readonly stride: number;
  /** Left out where no student was given. */ readonly student?: StudentReport;
  /** Null where no teacher was given. */ readonly teacher: TeacherReport | null;
  readonly unigram: { readonly nll: number };
  readonly bigram: { readonly nll: number };
  /** `training`: counted on the text given for it; `adaptive`: on the evaluated text before each target. */ readonly ngramCounts: 'training' | 'adaptive';
  readonly energyConstants: EnergyConstants;
}

/** What both models share in one evaluation. */
interface Setting {
  readonly sequences: readonly TokenIds[];
  readonly windows: WindowOptions;
  readonly constants: EnergyConstants;
  readonly conventions: readonly EnergyConvention[];
}

/** The models given, the student first. @throws UsageError when there is none; ShapeError when their vocabularies differ. */
export function modelsOf({ student, teacher }: Pick<EvalOptions, 'student' | 'teacher'>): readonly [LanguageModel, ...LanguageModel[]] {
  const models = [student, teacher].filter((model) => model !== null);
  const [first, second] = models;
  if (first === undefined) throw new UsageError('there is no model to evaluate', { suggestions: ['Name a student, a run or a teacher folder'] });
  if (second !== undefined && first.shape.vocabSize !== second.shape.vocabSize) {
    throw new ShapeError(`the student's vocabulary has ${first.shape.vocabSize} tokens, the teacher's ${second.shape.vocabSize}: their losses cannot be compared`, {
      suggestions: ['Name the teacher this student was distilled from with --teacher'],
    });
  }
  return [first, ...models.slice(1)];
}

/** The context wanted, or the shorter of the models' own (wanted: null). @throws UsageError when it is longer than a model's. */
export function sharedContext(wanted: number | null, models: readonly LanguageModel[]): number {
  const longest = Math.min(...models.map((model) => model.shape.contextLength));
  if (wanted !== null && wanted > longest) {
    throw new UsageError(`the context of ${wanted} tokens is longer than the model's ${longest}`, { suggestions: [`--context ${longest}`] });
  }
  return wanted ?? longest;
}

function windowOptions(options: EvalOptions, models: readonly LanguageModel[]): WindowOptions {
  const contextLength = sharedContext(options.contextLength, models);
  return { contextLength, stride: options.stride ?? contextLength };
}

function concatenate(sequences: readonly TokenIds[]): Int32Array {
  const all = new Int32Array(sequences.reduce((sum, ids) => sum + ids.length, 0));
  let at = 0;
  for (const ids of sequences) {
    all.set(ids, at);
    at += ids.length;
  }
  return all;
}

function ngramLosses({ sequences, ngramSequences }: EvalOptions, vocabSize: number): NgramBaselines {
  if (ngramSequences === null) return adaptiveNgramLosses(sequences, vocabSize);
  const train = concatenate(ngramSequences);
  if (train.length === 0) throw new UsageError('the text for the n-gram baselines has no tokens', { suggestions: ['Name another file with --ngram-data, or leave it out'] });
  return ngramBaselines({ train, windows: sequences.map((ids) => Int32Array.from(ids)), vocabSize });
}

function denseWork(model: LanguageModel, { sequences, windows }: Setting): DenseCounts {
  const lengths = cutWindows(sequences.map((ids) => ids.length), windows).map(({ length }) => length);
  return denseCounts(model.shape, workOfLengths(lengths));
}

function teacherReport(model: LanguageModel, measured: PerplexityReport, setting: Setting): TeacherReport {
  const dense = denseWork(model, setting);
  return {
    nll: measured.nll, perplexity: measured.perplexity,
    ops: { macs: dense.blockMacs + dense.readoutMacs },
    energy: { pjPerToken: denseEnergyPj(dense, setting.constants) / measured.processedTokens },
    backend: model.backend,
  };
}

function studentReport(models: { readonly student: LanguageModel; readonly teacher: LanguageModel | null }, measured: PerplexityReport, setting: Setting): StudentReport {
  const { student, teacher } = models;
  const { nll, perplexity, counts, processedTokens } = measured;
  if (counts === null) throw new ShapeError('the model given as a student counts no spikes; a teacher is evaluated as a teacher');
  if (counts.tokens !== processedTokens) throw new ShapeError(`the student counted ${counts.tokens} tokens of the ${processedTokens} it was given`);
  const dense = denseWork(teacher ?? student, setting);
  const energy = studentEnergy(counts, dense, setting.constants);
  return {
    nll, perplexity,
    firingRate: meanFiringRate(counts), sites: siteFiringRates(counts),
    ops: { acs: totalAccumulates(counts), macs: counts.macs, popcounts: counts.popcounts },
    energy: { ...energy, baseline: teacher === null ? 'dense twin' : 'teacher' },
    account: accountOf(studentLedger(counts, student), dense, setting.conventions),
    timeSteps: student.timeSteps, backend: student.backend, precision: student.precision, work: student.work,
  };
}

function accountOf(ledger: StudentLedger, dense: DenseCounts, conventions: readonly EnergyConvention[]): EnergyAccount {
  return { effectiveRate: effectiveRate(ledger), ledger, dense, neurobench: neurobenchCounts(ledger), conventions: accountFor(ledger, dense, conventions) };
}

/**
 * Measures a student beside its teacher on the same targets: loss, firing rates, counted operations, energy, and what n-grams
 * reach. By default the n-grams learn from the evaluated text as it goes by, predicting each token before counting it; with
 * `ngramSequences` they are fitted on that text instead, as during training. Models are not disposed.
 * @throws UsageError on bad options; ShapeError on ids outside the vocabulary or nothing to score; NumericError; Interrupted.
 */
export async function evaluate(options: EvalOptions, ctx: RunContext): Promise<EvalReport> {
  const { student, teacher, sequences, constants, conventions } = options;
  const models = modelsOf(options);
  const windows = windowOptions(options, models);
  checkVocabulary(sequences, models[0].shape.vocabSize);
  const setting: Setting = { sequences, windows, constants, conventions };
  const measure = (model: LanguageModel): Promise<PerplexityReport> => measurePerplexity(model, { sequences, ...windows }, ctx);
  const ofStudent = student === null ? null : await measure(student);
  const ofTeacher = teacher === null ? null : await measure(teacher);
  const ngrams = ngramLosses(options, models[0].shape.vocabSize);
  const { tokens, processedTokens } = (ofStudent ?? ofTeacher)!;
  return {
    tokens, processedTokens, ...windows,
    ...(student === null || ofStudent === null ? {} : { student: studentReport({ student, teacher }, ofStudent, setting) }),
    teacher: teacher === null || ofTeacher === null ? null : teacherReport(teacher, ofTeacher, setting),
    unigram: { nll: ngrams.unigramNll }, bigram: { nll: ngrams.bigramNll },
    ngramCounts: options.ngramSequences === null ? 'adaptive' : 'training',
    energyConstants: constants,
  };
}
