/** Text operations of Python, as far as lm-evaluation-harness's prompts and counts depend on them; JavaScript's own differ in rare characters. */

/**
 * Members of a regular expression's character class: what Python's `\s`, `str.strip` and `str.isspace` take for white space. JavaScript's `\s` lacks
 * U+001C–1F and U+0085 and has U+FEFF.
 */
export const PYTHON_SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const LEADING = new RegExp(`^[${PYTHON_SPACE}]+`);
const SPACES = new RegExp(`[${PYTHON_SPACE}]+`);
const IS_SPACE = new RegExp(`[${PYTHON_SPACE}]`);

/** `str.lstrip()`. */
export function pythonLstrip(text: string): string {
  return text.replace(LEADING, '');
}

/** `str.rstrip()`; a loop, since a regular expression anchored at the end is tried at every run of spaces. */
export function pythonRstrip(text: string): string {
  let end = text.length;
  while (end > 0 && IS_SPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** `str.strip()`. */
export function pythonStrip(text: string): string {
  return pythonLstrip(pythonRstrip(text));
}

/** `len(re.split(r"\s+", text))`: white space at an edge adds an empty word. */
export function countWords(text: string): number {
  return text.split(SPACES).length;
}

/** `len(text)`: Unicode code points; a pair of surrogates is one, a lone one counts as in Python. */
export function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** `len(text.encode("utf-8"))`. */
export function countUtf8Bytes(text: string): number {
  return Buffer.byteLength(text, 'utf8');
}

/** Letters of which one character is two (DŽ, LJ, NJ, DZ): title case is a form of its own. */
const DIGRAPHS: readonly string[] = ['\u01c4\u01c5\u01c6', '\u01c7\u01c8\u01c9', '\u01ca\u01cb\u01cc', '\u01f1\u01f2\u01f3'];
const GEORGIAN = /[\u10d0-\u10ff]/;

/** Title case of one character (Unicode 14, as in Python 3.11), which is not always its upper case. */
function titleCase(character: string): string {
  const digraph = DIGRAPHS.find((forms) => forms.includes(character));
  if (digraph !== undefined) return digraph[1]!;
  if (GEORGIAN.test(character)) return character;
  const upper = character.toUpperCase();
  if (character === '\u0149') return upper;
  // Greek with iota below: the iota stays below, as part of the letter where there is such a letter.
  if (upper.length > 1 && upper.endsWith('\u0399')) {
    const below = `${upper.slice(0, -1)}\u0345`;
    return upper.length === 2 ? below.normalize('NFC') : below;
  }
  const [head = ''] = upper;
  return head + upper.slice(head.length).toLowerCase();
}

/** `str.capitalize()`: the first character in title case, all others in lower case. */
export function pythonCapitalize(text: string): string {
  const [first] = text;
  if (first === undefined) return '';
  // Lower-casing the whole text gives a final sigma the letters before it.
  return titleCase(first) + text.toLowerCase().slice(first.toLowerCase().length);
}
