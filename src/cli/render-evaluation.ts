import type { TasksView } from './render-tasks.js';
import { renderTasks } from './render-tasks.js';
import type { EvalView } from './render.js';
import { renderEval } from './render.js';

/** What people read of an evaluation on a text, on tasks, or on both. */
export type EvaluationView = (EvalView | { readonly [Key in keyof EvalView]?: never }) & { readonly tasks?: TasksView };

export function renderEvaluation(view: EvaluationView): string {
  const onText = view.tokens === undefined ? [] : [renderEval(view as EvalView)];
  return [...onText, ...(view.tasks === undefined ? [] : [renderTasks(view.tasks)])].join('\n\n');
}
