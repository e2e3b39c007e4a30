import { UsageError } from '../../errors.js';
import type { TaskItem } from './items.js';
import { PythonRandom } from './python-random.js';
import type { Task } from './task.js';

/** The harness's seed of few-shot examples. */
export const FEWSHOT_SEED = 1234;

export interface FewShotOptions {
  readonly shots: number;
  /** Items the examples are drawn from; null: the scored ones, of which an item's own is left out. */ readonly pool: readonly TaskItem[] | null;
  /** All items of the scored split, also those a limit leaves out. */ readonly split: readonly TaskItem[];
}

/**
 * Puts examples before the contexts of items, drawn as lm-evaluation-harness draws them: Python's generator with seed 1234, one draw an item in the order
 * of the items; from the scored split one more is drawn, and the item itself left out.
 * @throws UsageError when there are too few examples, or the task scores whole texts.
 */
export function withExamples(items: readonly TaskItem[], task: Task, { shots, pool, split }: FewShotOptions): readonly TaskItem[] {
  if (shots === 0) return items;
  if (task.output_type === 'loglikelihood_rolling') throw new UsageError(`${task.task} scores whole texts, which take no examples`, { suggestions: ['--num-fewshot 0'] });
  const from = pool ?? split;
  const drawn = shots + (pool === null ? 1 : 0);
  if (from.length < drawn) throw new UsageError(`${task.task} has ${from.length} items to draw ${shots} examples from`, { suggestions: [`--num-fewshot ${Math.max(0, from.length - (drawn - shots))}`] });
  const random = new PythonRandom(FEWSHOT_SEED);
  return items.map((item) => {
    const sample = random.sample(from, drawn);
    const examples = (pool === null ? sample.filter((other) => !isSameDocument(other, item)) : sample).slice(0, shots);
    const before = examples.map(({ example }) => example).join('');
    return { ...item, requests: item.requests.map((request) => ({ ...request, context: before + request.context })) };
  });
}

/** Equal documents, as Python compares them, even at two places. */
function isSameDocument(a: TaskItem, b: TaskItem): boolean {
  return a.docId === b.docId || JSON.stringify(a.row) === JSON.stringify(b.row);
}
