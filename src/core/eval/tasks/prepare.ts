import { FormatError } from '../../errors.js';
import type { Row, TaskDocument } from './documents.js';
import { fieldAt, kindOf, requiredField, textOf } from './documents.js';
import { detokenizeWikitext } from './detokenize-wikitext.js';
import { pythonCapitalize, pythonStrip } from './python-text.js';

/** Changes a document into one with the fields its templates name; for prompts that need more than fields and filters. */
type Preparation = (document: TaskDocument) => Row;

const text = (document: TaskDocument, field: string): string => textOf(requiredField(document, [field]), `${document.place}: ${field}`);

function stringList(document: TaskDocument, field: string): string[] {
  const value = requiredField(document, [field]);
  if (!Array.isArray(value)) throw new FormatError(`${document.place}: ${field} must be a list of texts, found ${kindOf(value)}`);
  return value.map((member, i) => textOf(member, `${document.place}: ${field}, member ${i + 1}`));
}

/** WikiHow's marks: a title ends a sentence, anything else in brackets goes, one pass over double spaces. The dot spares newlines, as in Python. */
function cleanHellaswag(passage: string): string {
  return pythonStrip(passage).replaceAll(' [title]', '. ').replaceAll(/\[[^\n]*?\]/g, '').replaceAll('  ', ' ');
}

/** `query` and `choices`. Rows without `ctx_a` and `ctx_b` keep their `ctx` as it is: where its second part began is not known. */
function prepareHellaswag(document: TaskDocument): Row {
  const isSplit = fieldAt(document.row, ['ctx_a']) !== undefined;
  const context = isSplit ? `${text(document, 'ctx_a')} ${pythonCapitalize(text(document, 'ctx_b'))}` : text(document, 'ctx');
  return {
    ...document.row, query: cleanHellaswag(`${text(document, 'activity_label')}: ${context}`), choices: stringList(document, 'endings').map(cleanHellaswag),
  };
}

/** `contexts`: the sentence up to the gap with either option in it; `suffix`: what follows the gap. */
function prepareWinogrande(document: TaskDocument): Row {
  const sentence = text(document, 'sentence');
  const gap = sentence.indexOf('_');
  if (gap < 0) throw new FormatError(`${document.place}: the sentence has no gap "_": ${JSON.stringify(sentence.slice(0, 80))}`);
  const contexts = ['option1', 'option2'].map((option) => sentence.slice(0, gap) + text(document, option));
  return { ...document.row, contexts, suffix: pythonStrip(sentence.slice(gap + 1)) };
}

const CONNECTORS: Readonly<Record<string, string>> = { cause: 'because', effect: 'therefore' };

/** `connector`, by what is asked for. */
function prepareCopa(document: TaskDocument): Row {
  const question = text(document, 'question');
  const connector = Object.hasOwn(CONNECTORS, question) ? CONNECTORS[question] : undefined;
  if (connector === undefined) throw new FormatError(`${document.place}: question must be cause or effect, found ${JSON.stringify(question)}`);
  return { ...document.row, connector };
}

/** `detokenized`: the page as it was before its tokens were set apart. */
function prepareWikitext(document: TaskDocument): Row {
  return { ...document.row, detokenized: detokenizeWikitext(text(document, 'page')) };
}

/** By the name a task file gives under `prepare`. */
export const PREPARATIONS = { hellaswag: prepareHellaswag, winogrande: prepareWinogrande, copa: prepareCopa, wikitext: prepareWikitext } as const satisfies Record<string, Preparation>;
export type PreparationName = keyof typeof PREPARATIONS;
