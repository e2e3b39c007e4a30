import { formatCount, formatDuration, formatNumber, formatTable } from './format.js';

interface Value {
  readonly value: number;
  readonly stderr: number | null;
}

interface Skill {
  readonly retained: number | null;
  readonly retainedInterval: { readonly low: number | null; readonly high: number | null } | null;
  readonly verdict: string;
}

interface Metric {
  readonly chance: number;
  readonly unigram: Value;
  readonly student?: Value;
  readonly teacher?: Value;
  readonly skill?: Skill;
}

interface TaskView {
  readonly task: string;
  readonly shots: number;
  readonly items: { readonly effective: number; readonly scored: number };
  readonly truncatedItems: number;
  readonly overlongItems: number;
  readonly unigram: { readonly counts: 'training' | 'benchmark' };
  readonly metrics: Readonly<Record<string, Metric>>;
}

/** What people read of evaluation tasks. */
export interface TasksView {
  readonly isPartial: boolean;
  readonly contextLength: number;
  readonly results: Readonly<Record<string, TaskView>>;
  readonly files: readonly string[];
  readonly elapsedMs: number;
}

const isShare = (metric: string): boolean => metric.startsWith('acc');

function scoreText(metric: string, { value, stderr }: Value): string {
  if (isShare(metric)) return `${(100 * value).toFixed(1)}${stderr === null ? '' : ` ±${(100 * stderr).toFixed(1)}`}`;
  return `${formatNumber(value, 2)}${stderr === null ? '' : ` ±${formatNumber(stderr, 2)}`}`;
}

function keptText(skill: Skill | undefined): string {
  if (skill === undefined) return '';
  if (skill.retained === null || skill.retainedInterval === null) return 'cannot be told';
  const { low, high } = skill.retainedInterval;
  const bound = (of: number | null, none: string): string => (of === null ? none : `${Math.round(100 * of)}`);
  return `${Math.round(100 * skill.retained)} % (${bound(low, 'below any')} to ${bound(high, 'above any')})`;
}

/** Scores with their null models beside them, then what to know about them. */
export function renderTasks(view: TasksView): string {
  const tasks = Object.values(view.results);
  const rows = tasks.flatMap(({ task, shots, items, metrics }) => Object.entries(metrics).map(([metric, of]) => [
    task, metric, `${shots}`, `${items.scored}`, of.student === undefined ? '' : scoreText(metric, of.student), of.teacher === undefined ? '' : scoreText(metric, of.teacher),
    scoreText(metric, { value: of.chance, stderr: null }), scoreText(metric, { value: of.unigram.value, stderr: null }), keptText(of.skill),
  ]));
  const table = formatTable([['task', 'metric', 'shots', 'items', 'student', 'teacher', 'chance', 'unigram', 'skill kept (95 %)'], ...rows], 2);
  return [...(view.isPartial ? [partialText(tasks)] : []), table, notesOf(view, tasks).join('\n')].join('\n\n');
}

function partialText(tasks: readonly TaskView[]): string {
  const scored = tasks.reduce((sum, { items }) => sum + items.scored, 0);
  const wanted = tasks.reduce((sum, { items }) => sum + items.effective, 0);
  return `PARTIAL: interrupted after ${formatNumber(scored)} of the ${formatNumber(wanted)} items of the tasks begun.`;
}

function notesOf({ contextLength, files, elapsedMs }: TasksView, tasks: readonly TaskView[]): readonly string[] {
  const verdicts = tasks.flatMap(({ task, metrics }) => Object.entries(metrics).flatMap(([metric, { skill }]) => (skill === undefined || skill.verdict === 'both are above chance' ? [] : [`${task} ${metric}: ${skill.verdict}.`])));
  const counts = new Set(tasks.map(({ unigram }) => unigram.counts));
  const cut = tasks.reduce((sum, { truncatedItems }) => sum + truncatedItems, 0);
  const long = tasks.reduce((sum, { overlongItems }) => sum + overlongItems, 0);
  return [
    ...verdicts,
    'Accuracies in per cent ± standard error. Skill kept: (student - chance) / (teacher - chance), paired bootstrap over items.',
    `Unigram: token frequencies of ${counts.has('training') ? 'the text after --ngram-data' : 'the scored prompts and answers themselves, right and wrong alike'}.`,
    `Context ${formatCount(contextLength, 'token')}${cut === 0 ? '' : `: ${formatCount(cut, 'item')} lost the left end of a prompt`}${long === 0 ? '' : `; in ${formatCount(long, 'item')} an answer alone is longer and was scored in windows`}.`,
    `${formatDuration(elapsedMs)}${files.length === 0 ? '' : `; written: ${files.join(', ')}`}`,
  ];
}
