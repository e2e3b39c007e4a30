import { FormatError } from '../../errors.js';
import type { Row, TaskDocument } from './documents.js';
import { fieldAt, kindOf, textOf } from './documents.js';
import { wholeNumberOf } from './filters.js';
import { PREPARATIONS } from './prepare.js';
import type { CompiledForm, Task } from './task.js';
import type { Template } from './template.js';

/** A continuation after a context. */
export interface TextRequest {
  readonly context: string;
  readonly continuation: string;
}

/** One item of a task, as text: what is asked of the model, and what is right. */
export interface TaskItem {
  /** Position in the split, from 0. */ readonly docId: number;
  readonly row: Row;
  readonly place: string;
  /** One a choice; one in all where there are none. */ readonly requests: readonly TextRequest[];
  /** The choices without the delimiter; empty where there are none. */ readonly choices: readonly string[];
  /** The right choice; null where there are none. */ readonly gold: number | null;
  /** What the harness calls the target, as text. */ readonly target: string;
  /** The text whose words and bytes count (rolling). */ readonly counted: string | null;
  /** The item with its answer, as an example before others. */ readonly example: string;
}

/** The form whose fields a document has, or the one it comes nearest to. */
function chooseForm(task: Task, document: TaskDocument): CompiledForm {
  const missing = (form: CompiledForm): number => {
    const row = preparedOrNull(form, document);
    return row === null ? Infinity : form.fields.filter((path) => (fieldAt(row, path) ?? null) === null).length;
  };
  return task.forms.map((form) => ({ form, lacks: missing(form) })).reduce((best, next) => (next.lacks < best.lacks ? next : best)).form;
}

function preparedOrNull(form: CompiledForm, document: TaskDocument): Row | null {
  try {
    return prepared(form, document).row;
  } catch (error) {
    if (error instanceof FormatError) return null;
    throw error;
  }
}

function prepared({ prepare }: CompiledForm, document: TaskDocument): TaskDocument {
  return prepare === null ? document : { row: PREPARATIONS[prepare](document), place: document.place };
}

/**
 * Turns the documents of one file into items; the first document decides which of the task's forms the file has.
 * @param firstId position of the first document in the split.
 * @throws FormatError naming place and field when a document lacks one, a label is out of range, or there are fewer than two choices.
 */
export function buildItems(task: Task, documents: readonly TaskDocument[], firstId: number): readonly TaskItem[] {
  const [first] = documents;
  if (first === undefined) return [];
  const form = chooseForm(task, first);
  return documents.map((document, i) => buildItem(task, form, { document, docId: firstId + i }));
}

function buildItem(task: Task, form: CompiledForm, { document, docId }: { readonly document: TaskDocument; readonly docId: number }): TaskItem {
  const from = prepared(form, document);
  const ask = ITEMS_OF[task.output_type];
  return { docId, row: document.row, place: document.place, ...ask({ task, form, from }) };
}

interface Making {
  readonly task: Task;
  readonly form: CompiledForm;
  readonly from: TaskDocument;
}

type Asked = Pick<TaskItem, 'requests' | 'choices' | 'gold' | 'target' | 'counted' | 'example'>;

const ITEMS_OF: Readonly<Record<Task['output_type'], (making: Making) => Asked>> = {
  multiple_choice: (making) => {
    const { task, from } = making;
    const context = textFrom(making, 'context');
    const choices = choicesFrom(making);
    const gold = goldFrom(making, choices.length);
    const delimiter = task.target_delimiter;
    if (choices.some((choice) => choice === '')) throw new FormatError(`${from.place}: choice ${choices.indexOf('') + 1} is empty`);
    return {
      requests: choices.map((choice) => ({ context, continuation: delimiter + choice })), choices, gold, target: String(gold), counted: null,
      example: context + delimiter + choices[gold]! + task.fewshot_delimiter,
    };
  },
  multiple_context: (making) => {
    const { task, from } = making;
    const contexts = textList(making.form.templates.contexts!, from);
    const suffix = textFrom(making, 'continuation');
    const gold = goldFrom(making, contexts.length);
    const continuation = task.target_delimiter + suffix;
    return {
      requests: contexts.map((context) => ({ context, continuation })), choices: contexts, gold, target: suffix, counted: null,
      example: contexts[gold]! + continuation + task.fewshot_delimiter,
    };
  },
  loglikelihood: (making) => {
    const request = { context: textFrom(making, 'context'), continuation: textFrom(making, 'continuation') };
    const { target_delimiter: delimiter, fewshot_delimiter: end } = making.task;
    return { requests: [request], choices: [], gold: null, target: request.continuation, counted: null, example: request.context + delimiter + request.continuation + end };
  },
  loglikelihood_rolling: (making) => {
    const continuation = textFrom(making, 'continuation');
    return { requests: [{ context: '', continuation }], choices: [], gold: null, target: continuation, counted: textFrom(making, 'counted'), example: '' };
  },
};

function textFrom({ form, from }: Making, key: 'context' | 'continuation' | 'counted'): string {
  const template = form.templates[key]!;
  return textOf(template.evaluate(from), `${from.place}: ${key} (${template.source})`);
}

function textList(template: Template, from: TaskDocument): readonly string[] {
  const list = template.evaluate(from);
  if (!Array.isArray(list) || list.length < 2) throw new FormatError(`${from.place}: ${template.source} must be a list of at least 2 texts, found ${kindOf(list)}`);
  return list.map((member, i) => textOf(member, `${from.place}: ${template.source}, member ${i + 1}`));
}

function choicesFrom({ form: { choices }, from }: Making): readonly string[] {
  if (choices === null || !Array.isArray(choices)) return textList(choices as Template, from);
  return (choices as readonly Template[]).map((template) => textOf(template.evaluate(from), `${from.place}: choice ${template.source}`));
}

function goldFrom({ form, from }: Making, count: number): number {
  const template = form.templates.gold!;
  const gold = wholeNumberOf(template.evaluate(from), `${from.place}: gold (${template.source})`);
  if (gold >= 0 && gold < count) return gold;
  throw new FormatError(`${from.place}: the right choice is number ${gold} (${template.source}), outside 0 to ${count - 1}`, {
    suggestions: ['Labels count from 0; splits without labels (−1) cannot be scored'],
  });
}
