import { Chalk } from 'chalk';

import type { Failure } from './failure.js';
import { formatBytes, formatCount, formatDuration, formatNumber, formatPercent, formatTable } from './format.js';

interface Loss { readonly nll: number }
interface LossAndPerplexity extends Loss { readonly perplexity: number }
interface Site { readonly layer: number; readonly site: string; readonly firingRate: number }

/** What people read of an imported teacher. */
export interface ImportView {
  readonly path: string;
  readonly family: string;
  readonly parameters: number;
  readonly vocabSize: number;
  readonly dtype: string;
  /** How the teacher did on a text on arrival; null where it has no tokenizer. */
  readonly check: (LossAndPerplexity & { readonly tokens: number }) | null;
  readonly provenance: { readonly source: string; readonly commit: string | null; readonly files: readonly { readonly name: string; readonly sizeBytes: number }[] };
}

/** What people read of a trained teacher. */
export interface TeacherRunView {
  readonly path: string;
  readonly steps: number;
  readonly tokens: number;
  readonly valid: LossAndPerplexity;
  readonly unigram: Loss;
  readonly bigram: Loss;
  /** The loss of the text's own grammar, where it is known. */ readonly floor?: Loss | null;
}

/** What people read of a distillation run. */
export interface DistillView {
  readonly run: string;
  readonly student: string;
  readonly steps: number;
  readonly tokens: number;
  readonly skippedSteps: number;
  readonly valid: LossAndPerplexity;
  readonly teacher: Loss;
  readonly unigram: Loss;
  readonly bigram: Loss;
  /** The loss of the text's own grammar, where it is known. */ readonly floor?: Loss | null;
  readonly firingRate: number;
  readonly backend: string;
  readonly elapsedMs: number;
  readonly profile: ProfileView | null;
}

/** What people read of where a step's time goes; numbers are per step. */
export interface ProfileView {
  readonly path: string;
  readonly steps: number;
  readonly clock: 'gpu' | 'wall' | 'recording';
  readonly stepMs: number;
  readonly kernelMs: number;
  readonly launches: number;
  readonly bytes: number;
  readonly largestGap: { readonly ms: number; readonly after: string; readonly before: string } | null;
  readonly peak: { readonly operationsPerSecond: number; readonly bytesPerSecond: number };
  readonly kernels: readonly { readonly kernel: string; readonly launches: number; readonly ms: number; readonly share: number; readonly bytes: number; readonly shareOfPeak: number | null }[];
}

/** What people read of an evaluation. */
export interface EvalView {
  readonly tokens: number;
  readonly student?: LossAndPerplexity & {
    readonly firingRate: number;
    readonly sites: readonly Site[];
    readonly ops: { readonly acs: number; readonly macs: number; readonly popcounts: number };
    readonly energy: { readonly pjPerToken: number; readonly ratioBlocks: number; readonly ratioWithHead: number };
    readonly account: {
      readonly effectiveRate: number;
      readonly conventions: readonly {
        readonly convention: string;
        readonly comparisons: readonly { readonly precision: string; readonly ratioBlocks: number; readonly ratioWithHead: number; readonly breakEvenRate: number; readonly verdict: string }[];
      }[];
    };
    /** What the engine read and charged; null where another backend computed. */
    readonly work: { readonly tokens: number; readonly membraneUpdates: number; readonly weightBytes: number; readonly headBytes: number; readonly cacheBytes: number } | null;
  };
  readonly teacher: LossAndPerplexity | null;
  readonly unigram: Loss;
  readonly bigram: Loss;
}

/** What people read, on stderr, after generated text. */
export interface GenerationView {
  readonly tokens: number;
  readonly finishReason: string;
  readonly seed: number;
  readonly tokensPerSecond: number;
  readonly acsPerToken: number | null;
}

/** What people read when a server has ended. */
export interface ServeView {
  readonly url: string;
  readonly requests: number;
  readonly failed: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly elapsedMs: number;
}

/** What people read of `doctor`. */
export interface DoctorView {
  readonly backends: readonly { readonly name: string; readonly available: boolean; readonly device: string | null; readonly reason: string | null }[];
  readonly node: string;
  readonly platform: string;
}

const nats = (nll: number): string => nll.toFixed(4);
const gap = (from: Loss, to: Loss): string => `${from.nll >= to.nll ? '+' : '-'}${Math.abs(from.nll - to.nll).toFixed(4)}`;

/** Pairs of a name and a value, one a line. */
const facts = (rows: readonly (readonly [string, string])[]): string => rows.map(([name, value]) => `${name.padEnd(14)}${value}`).join('\n');

export function renderImport(view: ImportView): string {
  const { provenance, check } = view;
  const sizeBytes = provenance.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  return facts([
    ['teacher', view.path],
    ['family', `${view.family}, ${formatNumber(view.parameters)} parameters, vocabulary ${formatNumber(view.vocabSize)}, stored as ${view.dtype}`],
    ['source', `${provenance.source}${provenance.commit === null ? '' : ` at ${provenance.commit}`}, ${formatCount(provenance.files.length, 'file')}, ${formatBytes(sizeBytes)}`],
    ['on arrival', check === null ? 'not run: no tokenizer' : `${nats(check.nll)} nats/token over ${formatCount(check.tokens, 'token')} (perplexity ${formatNumber(check.perplexity, 2)})`],
  ]);
}

export function renderTeacherRun(view: TeacherRunView): string {
  return facts([
    ['teacher', view.path],
    ['trained', `${formatCount(view.steps, 'step')}, ${formatCount(view.tokens, 'token')}`],
    ['valid loss', `${nats(view.valid.nll)} nats/token (perplexity ${formatNumber(view.valid.perplexity, 2)})`],
    ['beside it', `bigram ${nats(view.bigram.nll)}, unigram ${nats(view.unigram.nll)}${view.floor ? `; no model can beat ${nats(view.floor.nll)}` : ''}`],
  ]);
}

export function renderDistill(view: DistillView): string {
  const skipped = view.skippedSteps === 0 ? '' : `, ${formatNumber(view.skippedSteps)} skipped`;
  const losses = formatTable([
    ['', 'nats/token', 'to student'],
    ['student', nats(view.valid.nll), ''],
    ['teacher', nats(view.teacher.nll), gap(view.teacher, view.valid)],
    ['bigram', nats(view.bigram.nll), gap(view.bigram, view.valid)],
    ['unigram', nats(view.unigram.nll), gap(view.unigram, view.valid)],
    ...(view.floor ? [['grammar', nats(view.floor.nll), gap(view.floor, view.valid)]] : []),
  ]);
  const head = facts([
    ['student', view.student],
    ['trained', `${formatCount(view.steps, 'step')}${skipped}, ${formatNumber(view.tokens)} tokens, ${formatDuration(view.elapsedMs)} on ${view.backend}`],
    ['firing rate', formatPercent(view.firingRate)],
  ]);
  return [head, losses, ...(view.profile === null ? [] : [renderProfile(view.profile)])].join('\n\n');
}

/** Kernels of a profile that people are shown; the file has all. */
const SHOWN_KERNELS = 10;

function renderProfile({ path, steps, clock, stepMs, kernelMs, launches, bytes, largestGap, peak, kernels }: ProfileView): string {
  const gigas = (value: number): string => formatNumber(value / 1e9, 1);
  const rows = kernels.slice(0, SHOWN_KERNELS).map((line) => [
    line.kernel, formatNumber(line.launches, 0), formatNumber(line.ms, 2), formatPercent(line.share), formatBytes(line.bytes), line.shareOfPeak === null ? '–' : formatPercent(line.shareOfPeak),
  ]);
  const gap = largestGap === null ? [] : [['largest gap', `${formatNumber(largestGap.ms, 2)} ms between ${largestGap.after} and ${largestGap.before}`] as const];
  return `${facts([
    ['profile', path],
    ['step', `${formatNumber(stepMs, 1)} ms, ${clock === 'recording' ? 'kernels without times' : `${formatNumber(kernelMs, 1)} ms of it in kernels`} (mean of ${formatCount(steps, 'step')})`],
    ['per step', `${formatNumber(launches, 0)} launches, ${formatBytes(bytes)} read and written`],
    ...gap,
    ['device', `measured at ${gigas(peak.operationsPerSecond)} GFLOP/s and ${gigas(peak.bytesPerSecond)} GB/s`],
  ])}\n\n${formatTable([['kernel', 'launches', 'ms', 'share', 'moved', 'of peak'], ...rows])}`;
}

export function renderServe({ url, requests, failed, promptTokens, newTokens, elapsedMs }: ServeView): string {
  return facts([
    ['served', `${url}, ${formatDuration(elapsedMs)}`],
    ['requests', `${formatNumber(requests)}${failed === 0 ? '' : `, ${formatNumber(failed)} failed`}`],
    ['tokens', `${formatNumber(promptTokens)} read, ${formatNumber(newTokens)} written`],
  ]);
}

export function renderEval(view: EvalView): string {
  const { student, teacher } = view;
  const rows = [
    ...(student === undefined ? [] : [['student', nats(student.nll), formatNumber(student.perplexity, 2)]]),
    ...(teacher === null ? [] : [['teacher', nats(teacher.nll), formatNumber(teacher.perplexity, 2)]]),
    ...([['bigram', view.bigram], ['unigram', view.unigram]] as const).map(([name, { nll }]) => [name, nats(nll), formatNumber(Math.exp(nll), 2)]),
  ];
  const losses = `${formatCount(view.tokens, 'token')} scored\n\n${formatTable([['', 'nats/token', 'perplexity'], ...rows])}`;
  return student === undefined ? losses : `${losses}\n\n${renderWork(student)}`;
}

function renderWork(student: NonNullable<EvalView['student']>): string {
  const { ops, energy } = student;
  const work = facts([
    ['firing rate', formatPercent(student.firingRate)],
    ['operations', `${formatNumber(ops.acs)} accumulates, ${formatNumber(ops.macs)} multiply-accumulates, ${formatNumber(ops.popcounts)} population counts`],
    ...(student.work === null ? [] : [['per token', renderTraffic(student.work)] as const]),
    ['energy', `${formatNumber(energy.pjPerToken)} pJ/token: ${formatPercent(energy.ratioBlocks)} of the dense model (blocks), ${formatPercent(energy.ratioWithHead)} with the head`],
  ]);
  return [work, ...(student.account.conventions.length === 0 ? [] : [renderAccount(student.account)]), renderSites(student.sites)].join('\n\n');
}

/** The same events by several conventions, beside dense networks. */
function renderAccount({ effectiveRate, conventions }: NonNullable<EvalView['student']>['account']): string {
  const lines = conventions.flatMap(({ convention, comparisons }) => comparisons.map((comparison) => [convention, comparison] as const));
  const rows = lines.map(([convention, { precision, ratioBlocks, ratioWithHead, breakEvenRate }]) =>
    [`${convention}, dense ${precision}`, formatPercent(ratioBlocks), formatPercent(ratioWithHead), breakEvenRate === 0 ? 'none' : breakEvenRate > 1 ? 'any' : formatPercent(breakEvenRate)]);
  const worse = lines.filter(([, { ratioBlocks }]) => ratioBlocks > 1).map(([convention, { verdict }]) => `${convention}: ${verdict}`);
  const table = formatTable([[`energy at an effective rate of ${formatPercent(effectiveRate)}`, 'blocks', 'with head', 'break even at'], ...rows]);
  return [table, ...worse].join('\n');
}

/** What a token cost on the engine. */
function renderTraffic({ tokens, membraneUpdates, weightBytes, headBytes, cacheBytes }: NonNullable<NonNullable<EvalView['student']>['work']>): string {
  const read = [[weightBytes, 'block weights'], [headBytes, 'head'], [cacheBytes, 'keys and values']] as const;
  return `${formatNumber(Math.round(membraneUpdates / tokens))} membrane updates; read ${read.map(([bytes, what]) => `${formatBytes(Math.round(bytes / tokens))} of ${what}`).join(', ')}`;
}

/** Layers down, sites across. */
function renderSites(sites: readonly Site[]): string {
  const names = [...new Set(sites.map(({ site }) => site))];
  const layers = [...new Set(sites.map(({ layer }) => layer))];
  const rate = (layer: number, name: string): string => {
    const found = sites.find((entry) => entry.layer === layer && entry.site === name);
    return found === undefined ? '' : formatPercent(found.firingRate);
  };
  return formatTable([['rates', ...layers.map((layer) => `layer ${layer}`)], ...names.map((name) => [name, ...layers.map((layer) => rate(layer, name))])]);
}

export function renderGeneration(view: GenerationView): string {
  const acs = view.acsPerToken === null ? '' : `, ${formatNumber(Math.round(view.acsPerToken))} accumulates/token`;
  return `${formatCount(view.tokens, 'token')}, ended by ${view.finishReason}, seed ${view.seed}, ${formatNumber(view.tokensPerSecond, 1)} tokens/s${acs}`;
}

export function renderDoctor(view: DoctorView): string {
  const rows = view.backends.map(({ name, available, device, reason }) => [name, available ? 'works' : 'no', [device, reason].filter(Boolean).join(': ')]);
  return `${formatTable([['backend', 'here', 'device or reason'], ...rows], 3)}\n\nNode.js ${view.node} on ${view.platform}`;
}

/** An error for people: what is wrong, then what to type. */
export function renderFailure(failure: Failure, options: { readonly hasColour: boolean; readonly stack: string | null }): string {
  const chalk = new Chalk({ level: options.hasColour ? 1 : 0 });
  const hints = failure.suggestions.map((suggestion) => `  ${chalk.cyan('try')}  ${suggestion}`);
  return [`${chalk.red('Error')} (${failure.code.toLowerCase().replaceAll('_', ' ')}): ${failure.message}`, ...hints, ...(options.stack === null ? [] : [options.stack])].join('\n');
}
