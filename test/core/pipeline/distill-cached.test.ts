import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { DistillConfig } from '../../../src/core/config/schema.js';
import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { teacherFolder } from '../../../src/core/config/shipped.js';
import { ConfigError, Interrupted } from '../../../src/core/errors.js';
import { loadRunCorpus } from '../../../src/core/pipeline/corpus.js';
import { distill } from '../../../src/core/pipeline/distill.js';
import { distillationBatches } from '../../../src/core/pipeline/distillation.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { RunTeacherParts } from '../../../src/core/pipeline/run-teacher.js';
import { openRunTeacher } from '../../../src/core/pipeline/run-teacher.js';
import { runProvenance } from '../../../src/core/pipeline/run-folder.js';
import { loadTeacher } from '../../../src/core/teacher/weights.js';
import { loadTokenizer } from '../../../src/core/tokenizer/load.js';
import type { ProgressEvent, RunContext } from '../../../src/core/types.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const STEPS = 6;
const ALONE = { profile: false, threads: 1 } as const;

/** Six steps of two windows of 16 tokens on a few stories, from a student that knows them: so short a run from scratch may learn nothing. */
function configOf(run: string, change: { seed?: number; folder?: string | null; steps?: number; count?: number } = {}): DistillConfig {
  return distillConfigSchema.parse({
    run, teacher: 'builtin:stories', backend: 'wasm', seed: change.seed ?? 0, corpus: { kind: 'stories', stories: { count: change.count ?? 60 } },
    student: { from: teacherFolder('builtin:stories-student') }, teacherCache: { enabled: true, folder: change.folder ?? null },
    train: { steps: change.steps ?? STEPS, batch: 2, context: 16, warmupSteps: 1, validateEvery: 3, validateWindows: 2, checkpointEvery: 1, logEvery: 1, learningRate: 2e-3 },
  });
}

/** A context that aborts when `when` says so, and keeps the notices. */
function contextUntil(when: (event: ProgressEvent) => boolean = () => false): RunContext & { notices: string[] } {
  const control = new AbortController();
  const notices: string[] = [];
  return {
    notices, signal: control.signal,
    reporter: { notice: (message) => { notices.push(message); }, progress: (event) => { if (when(event)) control.abort(); } },
  };
}

const weightsOf = (run: string): Promise<Buffer> => readFile(join(run, 'student', 'model.safetensors'));

describe('pipeline: distilling from a teacher cache', function () {
  this.timeout(60_000);
  before(() => prepareBackend('wasm'));

  it('builds what the run needs and does not run the teacher again; runs stopped by Ctrl-C while it is built or later, and resumed, end in the same bits', () => withTempFolder(async (root) => {
    const first = contextUntil();
    const before = tf.memory().numTensors;
    const report = await distill({ config: configOf(join(root, 'a')), ...ALONE }, first);
    expect(tf.memory().numTensors).to.equal(before);
    const cache = report.teacherCache;
    expect(cache).to.include({ computedTokens: STEPS * 2 * 16, tokens: STEPS * 2 * 16 });
    expect(cache?.folder).to.match(new RegExp(`^${root}/\\.bispik/teacher-[0-9a-f]{12}$`));
    expect(first.notices.join('\n')).to.contain('running the teacher on 12 of the 12 windows')
      .and.to.contain('losses: distill.weights.embedding, distill.weights.softTarget, distill.weights.hardTarget; off')
      .and.to.contain('distill.weights.attention, distill.weights.feature');
    const names = await readdir(cache?.folder as string);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(cache?.folder as string, name))).size));
    expect(cache?.bytesPerToken).to.equal(sizes.reduce((a, b) => a + b) / (STEPS * 2 * 16));
    const lines = (await readFile(join(root, 'a', 'metrics.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, number>);
    for (const line of lines) expect(line).to.include({ saa: 0, sfa: 0 });
    for (const term of ['ea', 'sta', 'hta']) expect(lines.at(-1)?.[term], term).to.be.above(0);

    // One pass of the teacher does all of so short a run (a test of fillCache stops between passes), so this run stops before its first step.
    const early = join(root, 'elsewhere', 'b');
    await rejection(distill({ config: configOf(early), ...ALONE }, contextUntil(({ phase }) => phase === 'cache teacher')), Interrupted);
    const late = join(root, 'c');
    await rejection(distill({ config: configOf(late), ...ALONE }, contextUntil(({ phase, done }) => phase === 'distil' && done === 4)), Interrupted);
    for (const run of [early, late]) {
      const resumed = await distill({ resume: run, ...ALONE }, contextUntil());
      expect(resumed.teacherCache?.computedTokens, run).to.equal(0);
      expect(resumed.teacher.nll).to.equal(report.teacher.nll);
      expect(await weightsOf(run)).to.deep.equal(await weightsOf(join(root, 'a')));
    }
  }));
});

describe('pipeline: whose teacher cache it is', function () {
  this.timeout(60_000);

  async function partsOf(config: DistillConfig): Promise<RunTeacherParts> {
    const backend = await prepareBackend('wasm');
    const folder = teacherFolder('builtin:stories');
    const [weights, tokenizer] = [await loadTeacher(folder), await loadTokenizer(folder)];
    return { config, weights, tokenizerSha256: tokenizer.hash, corpus: await loadRunCorpus(config.corpus, tokenizer, 16), provenance: await runProvenance(backend, 0) };
  }
  const quiet = () => ({ reporter: silentReporter, signal: new AbortController().signal });

  it('another teacher, tokenizer or corpus is refused by name; another seed or a longer run adds what is missing', () => withTempFolder(async (root) => {
    const folder = join(root, 'cache');
    const parts = await partsOf(configOf('run', { folder, steps: 2 }));
    const first = await openRunTeacher(parts, quiet());
    expect(first.cache).to.include({ computedTokens: 64, tokens: 64 });
    first.dispose();
    const hash = '0'.repeat(64);
    const others: [string, RunTeacherParts][] = [
      ['another teacher', { ...parts, weights: { ...parts.weights, sha256: hash } }],
      ['another tokenizer', { ...parts, tokenizerSha256: hash }],
      ['another corpus', { ...parts, corpus: (await partsOf(configOf('run', { folder, count: 61 }))).corpus }],
    ];
    for (const [name, changed] of others) {
      const refusal = await rejection(openRunTeacher(changed, quiet()), ConfigError);
      expect(refusal.message).to.contain(`the teacher cache ${folder} belongs to ${name} (`);
    }
    const config = configOf('run', { folder, steps: 6, seed: 3 });
    const windows = new Set(Array.from({ length: 6 }, () => [...distillationBatches(parts.corpus.train, config).next().starts]).flat());
    const further = await openRunTeacher({ ...parts, config }, quiet());
    expect(further.cache?.computedTokens).to.be.within(16, 16 * 12);
    expect(further.cache?.tokens).to.equal(64 + (further.cache?.computedTokens as number));
    const stream = further.batches(distillationBatches(parts.corpus.train, config));
    const batch = stream.next();
    expect([...batch.starts].every((start) => windows.has(start))).to.equal(true);
    expect(batch.sampled?.ids).to.have.lengthOf(2 * 16 * 12);
    further.dispose();
  }));

  it('keeps no more of the teacher on the backend than the losses read, and frees it', () => withTempFolder(async (root) => {
    const parts = await partsOf(configOf(join(root, 'run'), { steps: 2 }));
    const before = tf.memory().numTensors;
    const teacher = await openRunTeacher(parts, quiet());
    expect(tf.memory().numTensors - before, 'token and position embeddings').to.equal(2);
    expect(await teacher.lend(async (whole) => whole.parameters.size)).to.equal(parts.weights.tensors.size);
    expect(tf.memory().numTensors - before).to.equal(2);
    teacher.dispose();
    const { config } = parts;
    const withoutEmbedding = await openRunTeacher({ ...parts, config: { ...config, distill: { ...config.distill, weights: { ...config.distill.weights, embedding: 0 } } } }, quiet());
    expect(tf.memory().numTensors).to.equal(before);
    withoutEmbedding.dispose();
  }));

  it('a vocabulary whose ids need more than two bytes is refused', () => withTempFolder(async (root) => {
    const parts = await partsOf(configOf(join(root, 'run')));
    const weights = { ...parts.weights, config: { ...parts.weights.config, vocabSize: 65_537 } };
    expect((await rejection(openRunTeacher({ ...parts, weights }, quiet()), ConfigError)).message).to.contain('the teacher has 65537 tokens').and.to.contain('65536');
  }));
});
