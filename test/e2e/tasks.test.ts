import { cp, mkdtemp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { expect } from 'chai';
import type { z } from 'zod';

import { packageRoot } from '../../src/core/config/shipped.js';
import { UsageError } from '../../src/core/errors.js';
import { evaluateModel } from '../../src/core/pipeline/evaluate-model.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { silentReporter } from '../../src/core/types.js';
import { writeRandomStudent } from '../support/engine-students.js';
import { commitOf, startHub } from '../support/hub-server.js';
import { rejection } from '../support/rejection.js';
import { RESULT_SCHEMAS } from '../support/result-schemas.js';
import { documentOf, expectCli } from '../support/run-cli.js';
import type { CliOptions } from '../support/run-cli.js';
import { TINY_STUDENT } from '../support/tiny-models.js';

type Evaluation = z.infer<(typeof RESULT_SCHEMAS)['eval on tasks']>;

const MINE = `
task: mine
version: 3
description: Which of two words.
output_type: multiple_choice
forms: [{ context: "The {{a}}", choices: ["fox", "lantern{{b}}"], gold: "{{g}}" }]
metrics: [{ metric: acc, higher_is_better: true }, { metric: acc_norm, higher_is_better: true }]
`;

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const mineRows = (count: number) => Array.from({ length: count }, (_, i) => ({ a: `old man ${i % 7}`, b: 's'.repeat(i % 3), g: i % 2 }));

describe('e2e: evaluation tasks with the built-in teacher and a student beside it', function () {
  this.timeout(120_000);
  let folder = '';
  const both = ['eval', 'student', '--teacher', 'builtin:stories'];
  const run = async (args: readonly string[], options: Partial<CliOptions> & { readonly status?: number } = {}): Promise<Evaluation> =>
    RESULT_SCHEMAS['eval on tasks'].parse(await documentOf(await expectCli(options.status ?? 0, [...args, '--json'], { folder, ...options })));

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'bispik-tasks-'));
    await prepareBackend('cpu');
    await writeRandomStudent(path.join(folder, 'student'), { ...TINY_STUDENT, vocabSize: 1024, contextLength: 64 });
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) await cp(path.join(packageRoot(), 'assets', 'stories-teacher', name), path.join(folder, 'student', name));
    await mkdir(path.join(folder, 'my-tasks'));
    await mkdir(path.join(folder, 'items', 'wikitext'), { recursive: true });
    await writeFile(path.join(folder, 'my-tasks', 'mine.yaml'), MINE);
    await writeFile(path.join(folder, 'items', 'mine.jsonl'), lines(mineRows(30)));
    await writeFile(path.join(folder, 'items', 'winogrande.jsonl'), lines([1, 2].map((answer) => ({ sentence: 'Ann met Bea and _ smiled.', option1: 'Ann', option2: 'Bea', answer: String(answer) }))));
    await writeFile(path.join(folder, 'items', 'wikitext', 'test.jsonl'), lines([{ page: ' = The fox = \n \n The fox was old , and the lantern was new . \n'.repeat(4) }, { page: '' }]));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('scores the user\'s own and shipped tasks, with examples, and writes what the harness writes', async () => {
    const args = [...both, '--tasks', 'mine,winogrande,wikitext', '--include-path', 'my-tasks', '--data-path', 'items', '--out', 'results', '--log-samples', '--limit', '0.5'];
    const { tasks } = await run(args);
    expect(Object.keys(tasks.results)).to.deep.equal(['mine', 'winogrande', 'wikitext']);
    const mine = tasks.results['mine']!;
    expect(mine).to.deep.include({ version: 3, shots: 0, isPartial: false, items: { original: 30, effective: 15, scored: 15 } });
    expect(mine.metrics['acc']!.chance).to.equal(0.5);
    for (const role of ['student', 'teacher'] as const) {
      const { values } = mine.outcomes[role]!['acc']!;
      expect(mine.metrics['acc']![role]!.value).to.be.closeTo(values.reduce((a, b) => a + b) / 15, 1e-12);
    }
    expect(tasks.results['wikitext']!.metrics['word_perplexity']!.teacher!.value).to.be.above(1);
    const homes = (await readdir(path.join(folder, 'results'))).sort();
    expect(homes).to.deep.equal(['builtin__stories', 'student']);
    for (const [home, role] of [['builtin__stories', 'teacher'], ['student', 'student']] as const) {
      const names = await readdir(path.join(folder, 'results', home));
      expect(names.map((name) => name.replace(/_\d{4}-.*\./, '.')).sort()).to.deep.equal(['results.json', 'samples_mine.jsonl', 'samples_wikitext.jsonl', 'samples_winogrande.jsonl']);
      const file = async (start: string) => readFile(path.join(folder, 'results', home, names.find((name) => name.startsWith(start))!), 'utf8');
      const results = JSON.parse(await file('results_')) as Record<string, Record<string, Record<string, unknown>>>;
      expect(results['results']!['mine']).to.include({ alias: 'mine', sample_len: 15, 'acc,none': mine.metrics['acc']![role]!.value, 'acc_stderr,none': mine.metrics['acc']![role]!.stderr });
      expect(results['results']!['wikitext']).to.include({ 'word_perplexity_stderr,none': 'N/A' });
      expect(results).to.include.keys('groups', 'group_subtasks', 'configs', 'versions', 'n-shot', 'higher_is_better', 'n-samples', 'config', 'git_hash', 'date', 'task_hashes', 'tokenizer_eos_token', 'max_length', 'total_evaluation_time_seconds');
      expect([results['versions'], results['n-samples']!['mine'], results['max_length'], results['n-shot']]).to.deep.equal([{ mine: 3, winogrande: 1, wikitext: 2 }, { original: 30, effective: 15 }, 64, { mine: 0, winogrande: 0, wikitext: 0 }]);
      const samples = (await file('samples_mine')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(samples.length).to.equal(15);
      expect(samples[1]).to.deep.include({ doc_id: 1, doc: mineRows(2)[1], target: '1', filter: 'none', metrics: ['acc', 'acc_norm'], arguments: { gen_args_0: { arg_0: 'The old man 1', arg_1: ' fox' }, gen_args_1: { arg_0: 'The old man 1', arg_1: ' lanterns' } } });
      samples.forEach((sample, i) => expect(sample['acc']).to.equal(mine.outcomes[role]!['acc']!.values[i]));
    }
  });

  it('draws examples from the scored items where there are no others, and says so', async () => {
    const done = await expectCli(0, [...both, '--tasks', 'winogrande', '--data-path', 'items', '--num-fewshot', '1'], { folder });
    expect(done.stderr).to.contain('winogrande: no train split is there, so examples are drawn from the scored items');
    expect(done.stdout).to.contain('winogrande').and.to.contain('skill kept').and.to.contain('not distinguishable from chance').and.to.contain('scored prompts and answers themselves');
  });

  it('evaluates a text and tasks in one run, the unigram model counted on the text named for it', async () => {
    await writeFile(path.join(folder, 'train.txt'), 'The fox and the lantern. '.repeat(20));
    const result = await run(['eval', 'builtin:stories', '--data', 'train.txt', '--ngram-data', 'train.txt', '--tasks', 'mine', '--include-path', 'my-tasks', '--data-path', 'items']);
    expect(RESULT_SCHEMAS['eval of a teacher'].parse(result).tokens).to.be.above(50);
    expect(result.tasks.results['mine']!.unigram.counts).to.equal('training');
    expect(result.tasks.results['mine']!.metrics['acc']).not.to.have.any.keys('student', 'skill');
  });

  it('Ctrl-C leaves a partial result, marked as such, with exit code 130', async () => {
    await mkdir(path.join(folder, 'many'));
    await writeFile(path.join(folder, 'many', 'mine.jsonl'), lines(mineRows(4000)));
    const args = [...both, '--tasks', 'mine,winogrande', '--include-path', 'my-tasks', '--data-path', 'many', '--out', 'partial'];
    await cp(path.join(folder, 'items', 'winogrande.jsonl'), path.join(folder, 'many', 'winogrande.jsonl'));
    const { tasks } = await run(args, { status: 130, onStderr: { text: 'of 4000 items', act: (pid) => { process.kill(pid, 'SIGINT'); } } });
    expect(tasks.isPartial).to.equal(true);
    expect(Object.keys(tasks.results)).to.deep.equal(['mine']);
    const { items, isPartial, outcomes } = tasks.results['mine']!;
    expect([isPartial, items.effective]).to.deep.equal([true, 4000]);
    expect(items.scored).to.be.above(0).and.below(4000);
    expect([outcomes.student!['acc']!.values.length, outcomes.teacher!['acc']!.values.length]).to.deep.equal([items.scored, items.scored]);
    const [results] = (await readdir(path.join(folder, 'partial', 'student')));
    const written = JSON.parse(await readFile(path.join(folder, 'partial', 'student', results!), 'utf8')) as { bispik: object; 'n-samples': object };
    expect(written.bispik).to.deep.include({ isPartial: true, askedTasks: ['mine', 'winogrande'] });
    expect(written['n-samples']).to.deep.equal({ mine: { original: 4000, effective: items.scored } });
  });

  it('takes items from the hub, of the commit its branch points at', async () => {
    const hub = await startHub();
    const parquet = new Uint8Array(await readFile(path.join(packageRoot(), 'test', 'fixtures', 'parquet', 'headqa.parquet')));
    hub.repositories.set('EleutherAI/headqa', { commits: { [commitOf('c')]: { 'en/test-00000-of-00001.parquet': parquet } }, refs: { main: commitOf('c') }, token: 'hf_x' });
    const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_x', HF_HOME: path.join(folder, 'hf') };
    const { tasks } = await run(['eval', 'builtin:stories', '--tasks', 'headqa_en', '--limit', '6'], { env });
    expect(tasks.results['headqa_en']!).to.deep.include({ split: 'test', items: { original: 300, effective: 6, scored: 6 } });
    expect(tasks.results['headqa_en']!.source.dataset).to.deep.equal({ path: 'EleutherAI/headqa', commit: commitOf('c') });
    await hub.close();
  });

  it('refuses flags of tasks without tasks', async () => {
    expect((await expectCli(2, ['eval', 'builtin:stories', '--data', 'x', '--data-path', 'items'], { folder })).stderr).to.match(/--tasks/);
  });

  for (const [title, changes, message, hint] of [
    ['nothing to evaluate on', null, /nothing to evaluate on/, /--tasks/],
    ['an unknown task', { names: ['hellaswg'] }, /no task "hellaswg"/, /Did you mean hellaswag\?/],
    ['a folder without the task\'s items', { names: ['piqa'] }, /items has no items of piqa/, /piqa\/\*\.jsonl/],
    ['a task that is not on the hub', { names: ['winograd_wsc'], dataPath: null }, /names no dataset on the Hub/, /--data-path/],
    ['a limit of nothing', { limit: 0 }, /--limit 0/, /--limit 100/],
    ['more examples than there are', { shots: 30 }, /30 items to draw 30 examples from/, /--num-fewshot 29/],
  ] as const) {
    it(`refuses ${title}, before any model is opened`, async () => {
      const hub = { endpoint: 'http://127.0.0.1:1', token: null, cacheDir: path.join(folder, 'none') };
      const options = { names: ['mine'], dataPath: path.join(folder, 'items'), includePath: path.join(folder, 'my-tasks'), shots: 0, limit: null, out: null, logSamples: false, hub, bispikVersion: '0' };
      const asked = { model: 'builtin:stories', data: null, teacher: null, context: null, stride: null, ngramData: null, trace: null, verify: false, gate: null, backend: 'tensorflow', precision: null, threads: null } as const;
      const error = await rejection(evaluateModel({ ...asked, tasks: changes === null ? null : { ...options, ...changes } }, { reporter: silentReporter, signal: new AbortController().signal }), UsageError);
      expect(error.message).to.match(message);
      expect(error.suggestions.join('\n')).to.match(hint);
    });
  }
});
