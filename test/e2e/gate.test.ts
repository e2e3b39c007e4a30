import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { expect } from 'chai';

import { packageRoot } from '../../src/core/config/shipped.js';
import type { GateResult } from '../../src/core/pipeline/gate-evaluation.js';
import type { Verification } from '../../src/core/pipeline/verify-model.js';
import { openStoredStudent } from '../../src/core/student/stored.js';
import { documentOf, expectCli } from '../support/run-cli.js';
import { unseenStories } from '../support/story-text.js';
import { writeStoredStudent } from '../support/stored-student.js';

/** Measured with this very text; `npm run golden:update` writes it anew, in a change that explains why. */
const BASELINE = path.resolve(import.meta.dirname, '..', 'fixtures', 'gate', 'stories-student.json');

interface Evaluated { readonly gate: GateResult; readonly verification: Verification }

describe('golden: the built-in student against its baseline', function () {
  this.timeout(120_000);
  let folder = '';
  const evaluate = async (status: number, args: readonly string[]): Promise<Evaluated> =>
    (await documentOf(await expectCli(status, ['eval', ...args, '--teacher', 'builtin:stories', '--data', 'stories.txt', '--json'], { folder }))) as Evaluated;
  const verdicts = ({ gate }: Evaluated): Record<string, string> => Object.fromEntries(gate.comparisons.map(({ name, verdict }) => [name, verdict]));
  /** The built-in student with other weights or settings. */
  const altered = async (name: string, change: { readonly tensor?: string; readonly by?: number; readonly config?: Record<string, number> }): Promise<string> => {
    const { config, tensors: read } = await openStoredStudent(path.join(packageRoot(), 'assets', 'stories-student'));
    const tensors = [];
    for await (const tensor of read()) tensors.push(tensor);
    const target = path.join(folder, name);
    await writeStoredStudent(target, config, tensors.map((tensor) => (tensor.name === change.tensor ? { ...tensor, values: tensor.values.map((value) => value * change.by!) } : tensor)));
    await cp(path.join(packageRoot(), 'assets', 'stories-student', 'tokenizer.json'), path.join(target, 'tokenizer.json'));
    if (change.config !== undefined) {
      const file = path.join(target, 'config.json');
      await writeFile(file, JSON.stringify({ ...(JSON.parse(await readFile(file, 'utf8')) as object), ...change.config }));
    }
    return name;
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'bispik-gate-'));
    await writeFile(path.join(folder, 'stories.txt'), unseenStories(1, 40));
    if (process.env['BISPIK_UPDATE_GOLDEN'] !== '1') return;
    await rm(BASELINE, { force: true });
    await evaluate(0, ['builtin:stories-student', '--baseline', BASELINE, '--bless']);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('passes: quality, energy and rates are what they were; every operation is verified; the reports are written', async () => {
    const result = await evaluate(0, ['builtin:stories-student', '--baseline', BASELINE, '--reports', 'reports', '--verify']);
    expect(verdicts(result)).to.deep.equal({ 'student.nll': 'same', 'student.energy.ratioBlocks': 'same', 'student.firingRate': 'same', 'student.bytesReadPerToken': 'same' });
    expect(await readFile(path.join(folder, 'reports', 'gate.junit.xml'), 'utf8')).to.contain('<testsuites tests="4" failures="0">');
    expect(await readFile(path.join(folder, 'reports', 'gate.md'), 'utf8')).to.contain('## Gate passed');
    const { tokens, sites, spikes, realValued } = result.verification;
    expect(tokens).to.equal(64);
    expect(new Set(sites.map(({ site }) => site))).to.deep.equal(new Set(['attention_entry', 'query', 'attention_out', 'feed_forward_entry', 'hidden']));
    expect(Math.abs(spikes.engine - spikes.graph)).to.be.at.most(1e-3 * spikes.graph);
    expect(realValued.shareOfOperations).to.be.within(0.01, 0.99);
  });

  it('a planted loss of quality is caught, with exit code 8', async () => {
    // The final norm sharpens the distribution: some 2 % of perplexity.
    const student = await altered('sharper', { tensor: 'final_norm.weight', by: 1.2 });
    const result = await evaluate(8, [student, '--baseline', BASELINE]);
    expect(verdicts(result)).to.deep.equal({ 'student.nll': 'worse', 'student.energy.ratioBlocks': 'same', 'student.firingRate': 'same', 'student.bytesReadPerToken': 'same' });
    const [nll] = result.gate.comparisons;
    expect(nll!.value! - nll!.baseline!).to.be.within(0.01, 0.05);
  });

  it('planted extra energy is caught', async () => {
    const result = await evaluate(8, [await altered('eager', { config: { threshold: 0.94 } }), '--baseline', BASELINE]);
    expect(verdicts(result)).to.include({ 'student.energy.ratioBlocks': 'worse', 'student.firingRate': 'worse', 'student.bytesReadPerToken': 'worse' });
  });

  it('blessing: a new baseline, then repeats of it while its noise is not known', async () => {
    const bless = async (model: string): Promise<GateResult['blessed']> => (await evaluate(0, [model, '--baseline', 'own.json', '--bless'])).gate.blessed;
    expect(await bless('builtin:stories-student')).to.equal('new');
    expect(await bless('builtin:stories-student')).to.equal('repeat');
    const { gate } = await evaluate(0, ['builtin:stories-student', '--baseline', 'own.json']);
    expect(gate.comparisons.map(({ repeats }) => repeats)).to.deep.equal([2, 2, 2, 2]);
    expect(await bless(await altered('sharpest', { tensor: 'final_norm.weight', by: 1.5 }))).to.equal('repeat');
  });

  it('a baseline of another model is refused, and one that is not there', async () => {
    const { error } = (await documentOf(await expectCli(5, ['eval', 'builtin:stories', '--data', 'stories.txt', '--baseline', BASELINE, '--json'], { folder }))) as { error: { message: string } };
    expect(error.message).to.contain('the baseline is of something else: kind is teacher, was student');
    await expectCli(5, ['eval', 'builtin:stories-student', '--data', 'stories.txt', '--baseline', 'none.json'], { folder });
  });
});
