import { expect } from 'chai';

import { openEngine } from '../../../../src/core/engine/open-engine.js';
import { findTasks } from '../../../../src/core/eval/tasks/find-tasks.js';
import { buildItems } from '../../../../src/core/eval/tasks/items.js';
import type { TaskItem } from '../../../../src/core/eval/tasks/items.js';
import { indexOfLargest } from '../../../../src/core/eval/tasks/metrics.js';
import { runTask } from '../../../../src/core/eval/tasks/run-task.js';
import type { TaskRun } from '../../../../src/core/eval/tasks/run-task.js';
import { scoreItems } from '../../../../src/core/eval/tasks/score-windows.js';
import type { Task } from '../../../../src/core/eval/tasks/task.js';
import { requestEncoder, tokenizeItem } from '../../../../src/core/eval/tasks/token-windows.js';
import { prepareBackend } from '../../../../src/core/pipeline/prepare-backend.js';
import { teacherLanguageModel } from '../../../../src/core/teacher/language-model.js';
import type { Tokenizer } from '../../../../src/core/tokenizer/load.js';
import type { LanguageModel } from '../../../../src/core/types.js';
import { silentReporter } from '../../../../src/core/types.js';
import { writeRandomStudent } from '../../../support/engine-students.js';
import { plainArgmax, plainLength, plainRequest, plainRolling, plainWords } from '../../../support/plain-scorer.js';
import type { PlainScore } from '../../../support/plain-scorer.js';
import { mixingLanguageModel, TINY_VOCABULARY, tinyTokenizer } from '../../../support/task-models.js';
import { TASK_CASES } from '../../../support/task-rows.js';
import { withTempFolder } from '../../../support/temp-folder.js';
import { TINY_STUDENT, tinyTeacher } from '../../../support/tiny-models.js';

const ctx = { reporter: silentReporter, signal: new AbortController().signal };
const SPACES = ['', ' ', '\t', '\n', '\u00a0', '\u1680', '\u2000', '\u3000', '\u0085', '\u001c', '\ufeff'];

/** Items beside those of the shipped tasks' cases: what is special about each stands before it. */
async function specialItems(): Promise<readonly (readonly [Task, TaskItem])[]> {
  const [piqa, wikitext, lambada, wsc] = await findTasks(['piqa', 'wikitext', 'lambada_openai', 'winograd_wsc'], null);
  const piqaOf = (sol1: string, sol2: string) => [piqa!, { goal: 'x', sol1, sol2, label: 1 }] as const;
  const rows = [
    // A choice of astral characters against a shorter one of the same UTF-16 length.
    piqaOf('😀😀😀', 'lowlow'), piqaOf('𝔘', 'ab'),
    // Context and continuation share a token, ` low`: the tail past the context's length is scored.
    [{ ...wsc!, target_delimiter: '' }, { context_options: ['it is lo', 'it is l'], continuation: 'wer low', gold: 0 }],
    // Trailing white space of every kind.
    ...SPACES.map((space) => [wsc!, { context_options: [`it${space}${space}`, `lo${space}`], continuation: 'w', gold: 0 }] as const),
    // Context empty, or nothing but white space.
    [wsc!, { context_options: ['', ' \n'], continuation: 'low', gold: 1 }],
    // The text begins with the special token that the tokenizer would add.
    [wsc!, { context_options: ['</s>low', '</s>'], continuation: 'low', gold: 1 }],
    // Context longer than the model's.
    [lambada!, { text: 'abcdefghijklmnopqrstuvwxyz low' }],
    // Pages: none, empty lines only, one window exactly, one more token than a window, several windows with a short last one.
    ...['', '\n \n\n', 'abcdefghijk', 'abcdefghijkl', 'It was a low house . \n\n\n The low lower house , " very low " , stood @-@ there 😀 .'].map((page) => [wikitext!, { page }] as const),
  ] as const;
  return rows.map(([task, row], i) => [task, buildItems(task, [{ row, place: `special:${i + 1}` }], 0)[0]!]);
}

async function caseItems(): Promise<readonly (readonly [Task, TaskItem])[]> {
  const tasks = new Map((await findTasks(TASK_CASES.map(({ task }) => task), null)).map((task) => [task.task, task]));
  return TASK_CASES.map(({ task, row }, i) => [tasks.get(task)!, buildItems(tasks.get(task)!, [{ row, place: `case:${i + 1}` }], 0)[0]!]);
}

const isRolling = (task: Task): boolean => task.output_type === 'loglikelihood_rolling';

async function plainScores(model: LanguageModel, tokenizer: Tokenizer, [task, item]: readonly [Task, TaskItem]): Promise<readonly PlainScore[]> {
  const longest = model.shape.contextLength;
  const scores: PlainScore[] = [];
  for (const request of item.requests) {
    scores.push(isRolling(task) ? await plainRolling(model, tokenizer, { text: request.continuation, longest }) : await plainRequest(model, tokenizer, { ...request, longest }));
  }
  return scores;
}

/** Every item by both strategies against the plain scorer: log-likelihoods, greediness, argmax by sum and by length. */
async function expectAgreement(model: LanguageModel, tokenizer: Tokenizer): Promise<void> {
  const items = [...await caseItems(), ...await specialItems()];
  const encoder = requestEncoder(tokenizer);
  const tokens = items.map(([task, item]) => tokenizeItem(item, encoder, { isRolling: isRolling(task), maxLength: model.shape.contextLength }));
  const expected: (readonly PlainScore[])[] = [];
  for (const item of items) expected.push(await plainScores(model, tokenizer, item));
  for (const strategy of ['forks', 'batches'] as const) {
    const scores = (await scoreItems(model, tokens, { ...ctx, strategy }))!;
    items.forEach(([task, item], i) => {
      // The harness has no likelihood for a continuation longer than the context; ours is checked by a test of its own.
      if (tokens[i]!.isOverlong) return;
      const label = `${strategy}, ${task.task}, ${item.place}`;
      const [found, wanted] = [scores[i]!, expected[i]!];
      wanted.forEach((score, choice) => {
        expect(found[choice]!.logLikelihood, `${label}, choice ${choice}`).to.be.closeTo(score.logLikelihood, 1e-4);
        expect(found[choice]!.isGreedy, `${label}, choice ${choice}`).to.equal(score.isGreedy);
      });
      for (const lengths of [item.requests.map(() => 1), item.choices.map(plainLength)]) {
        if (lengths.length === 0) continue;
        expect(indexOfLargest(found.map(({ logLikelihood }, c) => logLikelihood / lengths[c]!)), label).to.equal(plainArgmax(wanted, lengths));
      }
    });
  }
}

describe('scoring agrees with the plain scorer on every item of every task', function () {
  this.timeout(60_000);

  for (const seed of [1, 2, 3]) {
    it(`over a made-up model, seed ${seed}`, () => withTempFolder(async (folder) => expectAgreement(mixingLanguageModel(seed, seed === 1 ? 12 : 48), await tinyTokenizer(folder))));
  }

  it('over a dense model', () => withTempFolder(async (folder) => {
    await prepareBackend('wasm');
    const model = teacherLanguageModel(tinyTeacher({ vocabSize: TINY_VOCABULARY, contextLength: 40 }));
    await expectAgreement(model, await tinyTokenizer(folder));
    model.dispose();
  }));

  it('over a spiking student on the engine', () => withTempFolder(async (folder) => {
    await prepareBackend('cpu');
    await writeRandomStudent(folder, { ...TINY_STUDENT, vocabSize: TINY_VOCABULARY, contextLength: 40 });
    const model = await openEngine({ folder, precision: 'float32', threads: 1, notice: () => undefined });
    await expectAgreement(model, await tinyTokenizer(folder));
    model.dispose();
  }));

  it('leaves no session open', () => withTempFolder(async (folder) => {
    const model = mixingLanguageModel(4, 48);
    await expectAgreement(model, await tinyTokenizer(folder));
    expect(model.openSessions()).to.equal(0);
  }));
});

describe('metrics of whole tasks agree with the plain rules', () => {
  async function runOn(name: string, rows: readonly Readonly<Record<string, unknown>>[], model: LanguageModel, tokenizer: Tokenizer): Promise<TaskRun> {
    const [task] = await findTasks([name], null);
    const items = buildItems(task!, rows.map((row, i) => ({ row, place: `r:${i + 1}` })), 0);
    const source = { files: [], split: null, dataset: null };
    const input = { task: task!, items, original: items.length, source, shots: 0, fewshotSource: null };
    const models = { student: null, teacher: model };
    return (await runTask(input, { models, encoder: requestEncoder(tokenizer), maxLength: model.shape.contextLength, unigramSequences: null }, ctx))!;
  }

  it('piqa: acc, acc_norm and their standard errors', () => withTempFolder(async (folder) => {
    const [model, tokenizer] = [mixingLanguageModel(7, 48), await tinyTokenizer(folder)];
    const rows = Array.from({ length: 40 }, (_, i) => ({ goal: `go ${i}`, sol1: i % 3 === 0 ? '😀' : 'low', sol2: `lower ${'x'.repeat(i % 5)}`, label: i % 2 }));
    const { report } = await runOn('piqa', rows, model, tokenizer);
    const [task] = await findTasks(['piqa'], null);
    const hits: [number[], number[]] = [[], []];
    for (const item of buildItems(task!, rows.map((row) => ({ row, place: '' })), 0)) {
      const scores = await plainScores(model, tokenizer, [task!, item]);
      hits[0].push(Number(plainArgmax(scores, [1, 1]) === item.gold));
      hits[1].push(Number(plainArgmax(scores, item.choices.map(plainLength)) === item.gold));
    }
    (['acc', 'acc_norm'] as const).forEach((metric, m) => {
      const share = hits[m]!.reduce((a, b) => a + b) / 40;
      expect(report.metrics[metric]!.teacher!.value).to.be.closeTo(share, 1e-12);
      // 0/1 values: variance n/(n-1)·p(1-p).
      expect(report.metrics[metric]!.teacher!.stderr).to.be.closeTo(Math.sqrt((share * (1 - share)) / 39), 1e-12);
      expect(report.outcomes.teacher![metric]!.values).to.deep.equal(hits[m]);
      expect(report.metrics[metric]!.chance).to.equal(0.5);
    });
    expect(hits[0]).not.to.deep.equal(hits[1]);
  }));

  it('lambada: perplexity to 1e-5 and greedy accuracy', () => withTempFolder(async (folder) => {
    const [plain, tokenizer] = [mixingLanguageModel(3, 48), await tinyTokenizer(folder)];
    // One token in three is what the text goes on with, so that some words are greedy.
    const model = { ...plain, forward: async (sequences: readonly (readonly number[] | Int32Array)[]) => (await plain.forward(sequences)).map((result, s) => {
      [...sequences[s]!].forEach((id, i) => { if (id % 3 === 0) result.logits[i * TINY_VOCABULARY + 263] = 9; });
      return result;
    }) };
    const rows = Array.from({ length: 12 }, (_, i) => ({ text: `${'abcdef'.slice(0, 1 + (i % 5))} ${i % 3 ? 'low' : 'no'}` }));
    const { report } = await runOn('lambada_openai', rows, model, tokenizer);
    const [task] = await findTasks(['lambada_openai'], null);
    let [sum, greedy] = [0, 0];
    for (const item of buildItems(task!, rows.map((row) => ({ row, place: '' })), 0)) {
      const [score] = await plainScores(model, tokenizer, [task!, item]);
      sum += score!.logLikelihood;
      greedy += Number(score!.isGreedy);
    }
    expect(greedy).to.be.above(0).and.below(12);
    expect(report.metrics.acc!.teacher!.value).to.be.closeTo(greedy / 12, 1e-12);
    expect(report.metrics.perplexity!.teacher!.value / Math.exp(-sum / 12)).to.be.closeTo(1, 1e-5);
    expect(report.metrics.perplexity!.teacher!.stderr).to.be.above(0);
    expect(report.metrics.perplexity!.higherIsBetter).to.equal(false);
  }));

  it('wikitext: per word and byte of the original page, to 1e-5, and against a uniform model by hand', () => withTempFolder(async (folder) => {
    const [model, tokenizer] = [mixingLanguageModel(5, 12), await tinyTokenizer(folder)];
    const rows = ['', ' = Low = \n\n It was low , lower @-@ 😀 . \n', '\x1c a\u0085b \ufeff c'].map((page) => ({ page }));
    const { report } = await runOn('wikitext', rows, model, tokenizer);
    const [task] = await findTasks(['wikitext'], null);
    let [sum, words, bytes] = [0, 0, 0];
    for (const item of buildItems(task!, rows.map((row) => ({ row, place: '' })), 0)) {
      sum += (await plainScores(model, tokenizer, [task!, item]))[0]!.logLikelihood;
      words += plainWords(item.counted!);
      bytes += new TextEncoder().encode(item.counted!).length;
    }
    expect(words).to.equal(1 + 13 + 5);
    const { word_perplexity: word, byte_perplexity: byte, bits_per_byte: bits } = report.metrics;
    expect(word!.teacher!.value / Math.exp(-sum / words)).to.be.closeTo(1, 1e-5);
    expect(byte!.teacher!.value / Math.exp(-sum / bytes)).to.be.closeTo(1, 1e-5);
    expect(bits!.teacher!.value / (-sum / bytes / Math.log(2))).to.be.closeTo(1, 1e-5);
    // Uniform over V: every token costs ln 264, the tokenizer's own `</s>` included.
    const tokens = rows.reduce((count, { page }) => count + tokenizer.encode(buildItems(task!, [{ row: { page }, place: '' }], 0)[0]!.requests[0]!.continuation).length, 0);
    expect(bits!.chance).to.be.closeTo((tokens * Math.log2(264)) / bytes, 1e-9);
    expect(word!.teacher!.stderr).to.equal(null);
  }));
});
