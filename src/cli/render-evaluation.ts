import { formatNumber, formatPercent, formatTable } from './format.js';
import type { TasksView } from './render-tasks.js';
import { renderTasks } from './render-tasks.js';
import type { EvalView } from './render.js';
import { renderEval } from './render.js';

/** What people read of an evaluation on a text, on tasks, or on both. */
export type EvaluationView = (EvalView | { readonly [Key in keyof EvalView]?: never }) & {
  readonly tasks?: TasksView;
  readonly verification?: VerificationView;
  readonly gate?: GateView;
};

/** What people read of a proof of spikes. */
export interface VerificationView {
  readonly tokens: number;
  readonly sites: readonly { readonly products: number; readonly values: number }[];
  readonly neuronMultiplications: number;
  readonly spikes: { readonly graph: number; readonly engine: number };
  readonly realValued: { readonly macs: number; readonly shareOfOperations: number };
}

/** What people read of a gate. */
export interface GateView {
  readonly passed: boolean;
  readonly baseline: string;
  readonly blessed: 'repeat' | 'new' | null;
  readonly notes: readonly string[];
  readonly comparisons: readonly { readonly name: string; readonly baseline: number | null; readonly value: number | null; readonly tolerance: number | null; readonly chance: number | null; readonly verdict: string }[];
}

export function renderEvaluation(view: EvaluationView): string {
  const onText = view.tokens === undefined ? [] : [renderEval(view as EvalView)];
  return [
    ...onText,
    ...(view.tasks === undefined ? [] : [renderTasks(view.tasks)]),
    ...(view.verification === undefined ? [] : [renderVerification(view.verification)]),
    ...(view.gate === undefined ? [] : [renderGate(view.gate)]),
  ].join('\n\n');
}

function renderVerification({ tokens, sites, neuronMultiplications, spikes, realValued }: VerificationView): string {
  const sum = (pick: (site: VerificationView['sites'][number]) => number): string => formatNumber(sites.reduce((total, site) => total + pick(site), 0));
  return [
    `verified on ${formatNumber(tokens)} tokens: ${sum(({ products }) => products)} matrix products of the blocks, ${sum(({ values }) => values)} values that enter them, all 0 or 1; no softmax, no norm, no other product`,
    `spikes: ${formatNumber(spikes.engine)} on the engine, ${formatNumber(spikes.graph)} on the training graph; ${formatNumber(neuronMultiplications)} multiplications within neurons`,
    `real-valued: final norm and head, ${formatNumber(realValued.macs)} multiply-accumulates, ${formatPercent(realValued.shareOfOperations)} of all operations`,
  ].join('\n');
}

function renderGate({ passed, baseline, blessed, notes, comparisons }: GateView): string {
  const cell = (value: number | null): string => (value === null ? '–' : formatNumber(value, 5));
  const rows = comparisons.map(({ name, baseline: before, value, tolerance, chance, verdict }) => [name, cell(before), cell(value), chance === null ? cell(tolerance) : `p ${formatNumber(chance, 4)}`, verdict]);
  const head = blessed === null ? `gate ${passed ? 'passed' : 'FAILED'} against ${baseline}` : `${baseline} ${blessed === 'new' ? 'begins with this run' : 'has this run as one more repeat'}`;
  return [head, formatTable([['', 'baseline', 'now', 'tolerance', ''], ...rows]), ...notes].join('\n');
}
