import type { Row } from '../../src/core/eval/tasks/documents.js';

/** What a shipped task must ask for a row, worked out by hand from the harness's rules. */
export interface TaskCase {
  readonly task: string;
  readonly row: Row;
  readonly requests: readonly (readonly [string, string])[];
  readonly gold: number | null;
}

const arc = [['Question: Why?\nAnswer:', ' red'], ['Question: Why?\nAnswer:', ' low  blue'], ['Question: Why?\nAnswer:', ' 😀']] as const;

export const TASK_CASES: readonly TaskCase[] = [
  ...['arc_easy', 'arc_challenge'].flatMap((task) => [
    { task, row: { id: 'a', question: 'Why?', choices: { text: ['red', 'low  blue', '😀'], label: ['1', '2', '3'] }, answerKey: '3' }, requests: arc, gold: 2 },
    { task, row: { question: { stem: 'Why?', choices: [{ text: 'red', label: 'A' }, { text: 'low  blue', label: 'B' }, { text: '😀', label: 'C' }] }, answerKey: 'B' }, requests: arc, gold: 1 },
    { task, row: { query: 'Question: Why?', choices: ['red', 'low  blue', '😀'], gold: 0 }, requests: arc, gold: 0 },
  ]),
  {
    task: 'hellaswag', gold: 1,
    row: { activity_label: ' Tea', ctx_a: 'A man [sits].  He lows.', ctx_b: 'tHE Lady', ctx: 'unused', endings: ['low [title] then [step] go', ' a  b '], label: '1' },
    requests: [['Tea: A man . He lows. The lady', ' low. then go'], ['Tea: A man . He lows. The lady', ' a b']],
  },
  {
    task: 'hellaswag', gold: 0, row: { activity_label: 'Tea', ctx: 'A man sits. he', endings: ['low', 'lower'], label: 0 },
    requests: [['Tea: A man sits. he', ' low'], ['Tea: A man sits. he', ' lower']],
  },
  { task: 'piqa', gold: 0, row: { goal: 'dig ', sol1: 'low ', sol2: 'lower', label: 0 }, requests: [['Question: dig \nAnswer:', ' low '], ['Question: dig \nAnswer:', ' lower']] },
  {
    task: 'winogrande', gold: 1, row: { sentence: 'Sam saw Al, so _ ran low.  ', option1: 'Sam', option2: 'Al', answer: '2' },
    requests: [['Sam saw Al, so Sam', ' ran low.'], ['Sam saw Al, so Al', ' ran low.']],
  },
  { task: 'winograd_wsc', gold: 0, row: { context_options: ['It is A', 'It is B'], continuation: 'low.', gold: 0 }, requests: [['It is A', ' low.'], ['It is B', ' low.']] },
  { task: 'boolq', gold: 1, row: { question: 'is it low', passage: 'It lowers.', label: 1 }, requests: [['It lowers.\nQuestion: is it low?\nAnswer:', ' no'], ['It lowers.\nQuestion: is it low?\nAnswer:', ' yes']] },
  { task: 'boolq', gold: 0, row: { question: 'q', passage: 'p', answer: false }, requests: [['p\nQuestion: q?\nAnswer:', ' no'], ['p\nQuestion: q?\nAnswer:', ' yes']] },
  { task: 'openbookqa', gold: 1, row: { question_stem: 'The sun is', choices: { text: ['low', 'lower'], label: ['A', 'B'] }, answerKey: ' B' }, requests: [['The sun is', ' low'], ['The sun is', ' lower']] },
  { task: 'openbookqa', gold: 0, row: { query: 'The sun is', choices: ['low', 'lower'], gold: 0 }, requests: [['The sun is', ' low'], ['The sun is', ' lower']] },
  {
    task: 'headqa_en', gold: 1, row: { qtext: 'How low', ra: 2, answers: [{ aid: 1, atext: 'low' }, { aid: 2, atext: 'lower' }] },
    requests: [['Question: How low\nAnswer:', ' low'], ['Question: How low\nAnswer:', ' lower']],
  },
  ...['lambada_openai', 'lambada_standard'].flatMap((task) => [
    { task, gold: null, row: { text: 'It was  so very\nlow and lower' }, requests: [['It was  so very\nlow and', ' lower']] as const },
    { task, gold: null, row: { context: 'It was', continuation: 'low' }, requests: [['It was', ' low']] as const },
  ]),
  {
    task: 'sciq', gold: 3, row: { support: '', question: 'q', distractor1: 'low', distractor2: 'b', distractor3: 'lo', correct_answer: 'lower' },
    requests: [['\nQuestion: q\nAnswer:', ' low'], ['\nQuestion: q\nAnswer:', ' b'], ['\nQuestion: q\nAnswer:', ' lo'], ['\nQuestion: q\nAnswer:', ' lower']],
  },
  // The harness puts its delimiter before choices that begin with a space already.
  {
    task: 'copa', gold: 0, row: { premise: 'The man lowered it. ', choice1: 'It was Low.', choice2: 'Éa ran.', question: 'effect', label: 0 },
    requests: [['The man lowered it therefore', '  it was Low.'], ['The man lowered it therefore', '  éa ran.']],
  },
  { task: 'wikitext', gold: null, row: { page: ' = Low = \n \n It was low , lower . \n' }, requests: [['', ' = Low =\n\nIt was low, lower.\n']] },
];
