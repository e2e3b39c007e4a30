import { PYTHON_SPACE } from './python-text.js';

const inner = (open: string, close: string): RegExp => new RegExp(`\\${open}[${PYTHON_SPACE}]*([^\\${close}]*?)[${PYTHON_SPACE}]*\\${close}`, 'g');

/** A rule's match and what takes its place, in the order they are applied. */
const RULES: readonly (readonly [string | RegExp, string])[] = [
  ['s \'', 's\''],
  // Written with its delimiters inside the pattern, it almost never matches; WikiText results everywhere have it so.
  [/\/' [0-9]\//g, '/\'[0-9]/'],
  [' @-@ ', '-'], [' @,@ ', ','], [' @.@ ', '.'],
  [' : ', ': '], [' ; ', '; '], [' . ', '. '], [' ! ', '! '], [' ? ', '? '], [' , ', ', '],
  [inner('(', ')'), '($1)'], [inner('[', ']'), '[$1]'], [inner('{', '}'), '{$1}'], [inner('"', '"'), '"$1"'], [inner('\'', '\''), '\'$1\''],
  ['= = = =', '===='], ['= = =', '==='], ['= =', '=='],
  [' \u00b0 ', '\u00b0'],
  [' \n', '\n'], ['\n ', '\n'],
  [' N ', ' 1 '],
  [' \'s', '\'s'],
];

/** WikiText as it was before its tokens were set apart: the rules of lm-evaluation-harness's `wikitext_detokenizer`, in its order. */
export function detokenizeWikitext(page: string): string {
  return RULES.reduce((text, [match, replacement]) => text.replaceAll(match, replacement), page);
}
