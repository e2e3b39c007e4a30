import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { expect } from 'chai';
import type { z } from 'zod';

import { writeStories } from '../../src/core/corpus/stories.js';
import { RESULT_SCHEMAS } from '../support/result-schemas.js';
import { documentOf, expectCli } from '../support/run-cli.js';

const TEACHER = `
run: runs/teacher
backend: wasm
corpus: { kind: stories, stories: { count: 400 } }
tokenizer: { vocabSize: 300 }
model: { hiddenSize: 32, layers: 2, heads: 2, feedForwardSize: 64, contextLength: 32 }
train: { steps: 400, batch: 8, context: 32, learningRate: 0.01, warmupSteps: 10, validateEvery: 200, validateWindows: 16, checkpointEvery: 200 }
`;
const STUDENT = `
run: runs/student
backend: wasm
teacher: SET
corpus: { kind: stories, stories: { count: 400 } }
calibration: { sequences: 16 }
train: { steps: 30, batch: 8, context: 32, warmupSteps: 4, validateEvery: 15, validateWindows: 16, checkpointEvery: 10 }
`;

// One folder, used by every test in turn: each command takes what the one before it has made.
describe('e2e: train a teacher, distil it, measure, write', function () {
  this.timeout(180_000);
  let folder = '';
  let teacher = '';
  let student = '';

  const run = async <Name extends keyof typeof RESULT_SCHEMAS>(schema: Name, args: readonly string[]): Promise<z.infer<(typeof RESULT_SCHEMAS)[Name]>> => {
    const done = await expectCli(0, [...args, '--json'], { folder, timeoutMs: 170_000 });
    return RESULT_SCHEMAS[schema].parse(await documentOf(done)) as z.infer<(typeof RESULT_SCHEMAS)[Name]>;
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'bispik-e2e-'));
    await writeFile(path.join(folder, 'teacher.yaml'), TEACHER);
    await writeFile(path.join(folder, 'student.yaml'), STUDENT);
    await writeFile(path.join(folder, 'valid.txt'), writeStories({ seed: 5, count: 12 }).text);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('train-teacher writes a teacher that learned', async () => {
    const result = await run('train-teacher', ['train-teacher', '--config', 'teacher.yaml']);
    teacher = path.resolve(folder, result.path);
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json', 'provenance.json']) expect(existsSync(path.join(teacher, file)), file).to.equal(true);
    expect(result.steps).to.equal(400);
    expect(result.tokens).to.equal(400 * 8 * 32);
  });

  it('distill writes a student and the files of a run', async () => {
    const result = await run('distill', ['distill', '--config', 'student.yaml', '--set', `teacher=${teacher}`]);
    student = path.resolve(folder, result.student);
    expect(result).to.include({ steps: 30, tokens: 30 * 8 * 32, skippedSteps: 0, backend: 'wasm' });
    expect(result.valid.nll).to.be.below(result.unigram.nll);
    expect(result.firingRate).to.be.above(0).and.below(0.5);
    const home = path.resolve(folder, result.run);
    for (const file of ['config.resolved.yaml', 'metrics.jsonl', 'checkpoints', 'student/model.safetensors']) expect(existsSync(path.join(home, file)), file).to.equal(true);
    const metrics = (await readFile(path.join(home, 'metrics.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const line of metrics) expect(line).to.include.keys('step', 'tokens', 'loss', 'ea', 'saa', 'sfa', 'sta', 'hta', 'rateLoss', 'gradNorm', 'lr', 'firingRate', 'tokensPerSecond');
    expect(metrics.some((line) => 'valid' in line)).to.equal(true);
  });

  it('distill --cache-teacher keeps what the teacher says in 64 bytes a token, and takes it from there the next time', async () => {
    const again = ['distill', '--config', 'student.yaml', '--set', `teacher=${teacher}`, '--set', 'train.steps=4', '--set', 'train.warmupSteps=1', '--set', 'student.from=runs/student/student', '--cache-teacher'];
    const first = await run('distill', [...again, '--set', 'run=runs/cached']);
    expect(first.teacherCache).to.include({ tokens: 4 * 8 * 32, computedTokens: 4 * 8 * 32 });
    expect(first.teacherCache?.bytesPerToken).to.be.within(52, 64);
    const second = await run('distill', [...again, '--set', 'run=runs/cached-too', '--set', 'train.learningRate=0.001']);
    expect(second.teacherCache).to.deep.equal({ ...first.teacherCache, computedTokens: 0 });
    const refused = await expectCli(3, [...again, '--set', 'run=runs/of-another-text', '--set', `teacherCache.folder=${first.teacherCache?.folder}`, '--set', 'corpus.stories.seed=2'], { folder });
    expect(refused.stderr).to.contain('belongs to another corpus').and.to.contain('--set teacherCache.folder=');
  });

  it('distill refuses a run folder that is taken, and leaves its configuration alone', async () => {
    const resolved = path.join(folder, 'runs', 'student', 'config.resolved.yaml');
    const before = await readFile(resolved, 'utf8');
    const refused = await expectCli(3, ['distill', '--config', 'student.yaml', '--set', `teacher=${teacher}`, '--set', 'train.steps=31'], { folder });
    expect(refused.stderr).to.contain('already holds a run').and.to.contain('bispik distill --resume runs/student');
    expect(await readFile(resolved, 'utf8')).to.equal(before);
  });

  it('distill goes on from an earlier student, and refuses one of another architecture', async () => {
    const further = ['distill', '--config', 'student.yaml', '--set', `teacher=${teacher}`, '--set', 'student.from=runs/student/student'];
    const unmoved = await run('distill', [...further, '--set', 'run=runs/same', '--set', 'train.steps=1', '--set', 'train.warmupSteps=0', '--set', 'train.learningRate=1e-12']);
    const evaluated = await run('eval of a student', ['eval', student, '--data', 'valid.txt']);
    const same = await run('eval of a student', ['eval', 'runs/same', '--data', 'valid.txt']);
    expect(same.student.nll).to.be.closeTo(evaluated.student.nll, 1e-6);
    expect(unmoved.steps).to.equal(1);
    const provenance = async (of: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(path.join(folder, of, 'provenance.json'), 'utf8')) as Record<string, unknown>;
    expect((await provenance('runs/same/student'))['start']).to.deep.equal({ folder: 'runs/student/student', sha256: (await provenance('runs/student/student'))['weightsSha256'] });
    await run('distill', [...further, '--set', 'run=runs/slower', '--set', 'student.timeSteps=3', '--set', 'train.steps=2', '--set', 'train.warmupSteps=1']);
    const refused = await expectCli(3, [...further, '--set', 'run=runs/other', '--set', 'student.onOff=false', '--set', 'student.layers=1'], { folder });
    expect(refused.stderr).to.contain('num_hidden_layers 2 where this run has 1, on_off true where this run has false');
    expect(existsSync(path.join(folder, 'runs', 'other'))).to.equal(false);
  });

  it('eval puts the student beside its teacher, and text says what the document says', async () => {
    const result = await run('eval of a student', ['eval', student, '--data', 'valid.txt']);
    expect(result.student.perplexity).to.be.closeTo(Math.exp(result.student.nll), 1e-6 * result.student.perplexity);
    expect(result.student.energy.ratioBlocks).to.be.above(0).and.below(1);
    const text = await expectCli(0, ['eval', student, '--data', 'valid.txt'], { folder });
    expect(text.stdout).to.contain(result.student.nll.toFixed(4)).and.to.contain(result.unigram.nll.toFixed(4)).and.to.contain('feed_forward_entry');
  });

  it('eval takes the teacher alone, and the run folder for its student', async () => {
    const alone = await run('eval of a teacher', ['eval', teacher, '--data', 'valid.txt']);
    const byRun = await run('eval of a student', ['eval', 'runs/student', '--data', 'valid.txt']);
    expect(byRun.teacher?.nll).to.equal(alone.teacher.nll);
  });

  it('eval on the engine is eval on the training graph: float32 to 0.1 % of the perplexity with equal counts, int8 to 1 %', async () => {
    const graph = await run('eval of a student', ['eval', student, '--data', 'valid.txt', '--backend', 'wasm']);
    const exact = await run('eval of a student', ['eval', student, '--data', 'valid.txt', '--precision', 'float32']);
    const quick = await run('eval of a student', ['eval', student, '--data', 'valid.txt', '--precision', 'int8']);
    expect(exact.student.perplexity / graph.student.perplexity).to.be.closeTo(1, 0.001);
    expect(exact.student.firingRate / graph.student.firingRate).to.be.closeTo(1, 0.001);
    expect(exact.student.ops.popcounts).to.equal(graph.student.ops.popcounts);
    expect(quick.student.perplexity / graph.student.perplexity).to.be.closeTo(1, 0.01);
    expect(graph.student).to.include({ backend: 'wasm', precision: 'float32', work: null });
    expect(quick.student).to.include({ backend: 'engine', precision: 'int8' });
  });

  it('generate loads no TensorFlow for a student', async () => {
    const log = path.join(folder, 'loaded.txt');
    const preload = pathToFileURL(path.resolve(import.meta.dirname, '..', 'support', 'load-log.mjs')).href;
    await expectCli(0, ['generate', student, '--prompt', 'Once', '--max-new-tokens', '2'], { folder, env: { NODE_OPTIONS: `--import ${preload}`, BISPIK_LOAD_LOG: log } });
    const loaded = await readFile(log, 'utf8');
    expect(loaded).to.contain('core/engine/').and.not.to.contain('@tensorflow');
  });

  it('generate ends where the context is full, or slides on when it may', async () => {
    const args = ['generate', student, '--prompt', 'Once upon a time', '--max-new-tokens', '80', '--seed', '3', '--temperature', '1'];
    expect(await run('generate', args)).to.include({ finishReason: 'context' });
    const slid = await run('generate', [...args, '--slide']);
    expect(slid).to.include({ finishReason: 'length', tokens: 80 });
  });

  it('generate gives the same text for the same seed, on stdout alone', async () => {
    const args = ['generate', student, '--prompt', 'Once upon a time', '--max-new-tokens', '12', '--seed', '7', '--temperature', '0.8'];
    const result = await run('generate', args);
    const text = await expectCli(0, args, { folder });
    expect(text.stdout).to.equal(`${result.text}\n`);
    expect(text.stderr).to.contain('seed 7').and.to.contain('accumulates/token');
    expect(result.acsPerToken).to.be.above(0);
  });

  it('generate refuses a prompt longer than the context', async () => {
    const refused = await expectCli(2, ['generate', student, '--prompt', 'the fox and the dog '.repeat(30)], { folder });
    expect(refused.stderr).to.contain('32');
  });

  it('Ctrl-C saves and says how to resume; the resumed run ends in the weights of one never interrupted', async () => {
    const args = ['distill', '--config', 'student.yaml', '--set', `teacher=${teacher}`, '--set', 'run=runs/broken', '--set', 'train.logEvery=1'];
    const stopped = await expectCli(130, args, { folder, onStderr: { text: 'of 30 steps', act: (pid) => { process.kill(pid, 'SIGINT'); } } });
    expect(stopped.stderr).to.contain('bispik distill --resume');
    const resumed = await run('distill', ['distill', '--resume', 'runs/broken']);
    expect(resumed.steps).to.equal(30);
    const weights = await Promise.all(['student', 'broken'].map((name) => readFile(path.join(folder, 'runs', name, 'student', 'model.safetensors'))));
    expect(weights[0]?.equals(weights[1] as Buffer)).to.equal(true);
  });

  it('distill refuses to resume a run whose configuration was changed, naming what', async () => {
    const resolved = path.join(folder, 'runs', 'broken', 'config.resolved.yaml');
    await writeFile(resolved, (await readFile(resolved, 'utf8')).replace('clipNorm: 1', 'clipNorm: 3'));
    const refused = await expectCli(3, ['distill', '--resume', 'runs/broken'], { folder });
    expect(refused.stderr).to.contain('train.clipNorm (checkpoint 1, now 3)');
  });

  it('import-teacher takes the teacher from its folder and runs it', async () => {
    const result = await run('import-teacher', ['import-teacher', teacher, '--out', 'models/copy', '--data', 'valid.txt']);
    expect(result.family).to.equal('opt');
    const wrong = await expectCli(8, ['import-teacher', teacher, '--out', 'models/other', '--data', 'valid.txt', '--expect-ppl', '1.5'], { folder });
    expect(wrong.stderr).to.contain('1.5');
    expect(existsSync(path.join(folder, 'models/other'))).to.equal(false);
  });
});
