import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { ConfigError, UsageError } from '../../../src/core/errors.js';
import { configToYaml, loadDistillConfig, loadTeacherConfig } from '../../../src/core/config/load.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const MINIMAL = 'run: runs/a\nteacher: models/t\ncorpus: { train: a.txt }\n';

interface Extra { readonly overrides?: readonly string[]; readonly flags?: Record<string, unknown> }

const distill = (yaml: string | Uint8Array, extra: Extra = {}) => withTempFolder(async (folder) => {
  const file = path.join(folder, 'c.yaml');
  await writeFile(file, yaml);
  return loadDistillConfig({ file, ...extra });
});

const teacher = (yaml: string) => withTempFolder(async (folder) => {
  const file = path.join(folder, 'c.yaml');
  await writeFile(file, yaml);
  return loadTeacherConfig({ file });
});

async function refusal(yaml: string, extra: Extra = {}): Promise<ConfigError> {
  const error = await rejection(distill(yaml, extra), ConfigError);
  expect(error.exitCode).to.equal(3);
  return error;
}

describe('configuration: order of the sources', () => {
  it('fills every key that is left out with the practical recipe', async () => {
    const config = await distill(MINIMAL);
    expect(config.student).to.deep.equal({
      preset: 'practical', timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true,
      residualWrite: 'current', learnedNeurons: true, onOff: true, relativeBias: true, from: null, init: 'ridge', embeddings: 'teacher', embeddingGain: 1,
      layers: null, heads: null, hiddenSize: null, feedForwardSize: null,
    });
    expect(config.distill.weights).to.deep.equal({ embedding: 0.2, attention: 0.1, feature: 0.1, softTarget: 0.3, hardTarget: 0.3 });
    expect(config.teacherCache).to.deep.equal({ enabled: false, folder: null, samples: 12 });
    expect(config.train.learningRate).to.equal(0.01);
    expect(config.backend).to.equal('auto');
  });

  it('puts the preset over the schema, the file over the preset, --set over the file and flags over --set', async () => {
    const paper = `${MINIMAL}student: { preset: paper }\n`;
    const asPublished = await distill(paper);
    expect(asPublished.train.learningRate).to.equal(5e-4);
    expect(asPublished.train.clipNorm).to.equal(0.7);
    expect(asPublished.student).to.include({ timeSteps: 4, residualWrite: 'spike', init: 'random', embeddingGain: 50, onOff: false });
    expect(asPublished.distill.rateHinge).to.deep.equal({ weight: 0, target: 0.1 });
    const file = `${paper}train: { learningRate: 0.002, steps: 500 }\n`;
    expect((await distill(file)).train).to.include({ learningRate: 0.002, steps: 500, clipNorm: 0.7 });
    const set = { overrides: ['train.learningRate=3e-3', 'train.learningRate=4e-3'] };
    expect((await distill(file, set)).train).to.include({ learningRate: 0.004, steps: 500 });
    expect((await distill(file, { ...set, flags: { train: { learningRate: 0.5 } } })).train).to.include({ learningRate: 0.5, steps: 500 });
  });

  it('takes the preset that --set names, before the file is applied', async () => {
    const config = await distill(`${MINIMAL}student: { preset: practical, timeSteps: 3 }\n`, { overrides: ['student.preset=paper'] });
    expect(config.student).to.include({ preset: 'paper', timeSteps: 3, residualWrite: 'spike' });
  });

  it('reads the value of --set as YAML', async () => {
    const config = await distill(MINIMAL, { overrides: ['distill.layerMap=[0, 2]', 'corpus.maxBytes=null', 'run=a=b', 'train.epsilon=1e-6'] });
    expect(config.distill.layerMap).to.deep.equal([0, 2]);
    expect(config.corpus.maxBytes).to.equal(null);
    expect(config.run).to.equal('a=b');
    expect(config.train.epsilon).to.equal(1e-6);
  });

  it('gives the same configuration when the resolved one is read back', async () => {
    const config = await distill(`${MINIMAL}student: { preset: paper }\n`, { overrides: ['train.steps=77'] });
    expect(await distill(configToYaml(config))).to.deep.equal(config);
  });

  it('gives a teacher run its own learning rate', async () => {
    const config = await teacher('run: runs/t\ncorpus: { kind: stories }\n');
    expect(config.train.learningRate).to.equal(0.003);
    expect(config.model).to.deep.equal({ hiddenSize: 64, layers: 3, heads: 2, feedForwardSize: 256, contextLength: 64 });
  });
});

describe('configuration: what is refused', () => {
  it('an unknown key: path, file with line, nearest key', async () => {
    const error = await refusal(`${MINIMAL}train:\n  stpes: 3\n`);
    expect(error.message).to.match(/c\.yaml:5: unknown key train\.stpes; the nearest key is train\.steps$/);
    expect(error.suggestions[0]).to.contain('Write train.steps instead of train.stpes').and.to.contain('warmupSteps');
  });

  it('a key in the wrong group, snake case, and an unknown key of --set', async () => {
    expect((await refusal(`${MINIMAL}timeSteps: 4\n`)).message).to.contain('the nearest key is student.timeSteps');
    expect((await refusal(`${MINIMAL}train: { learning_rate: 4 }\n`)).message).to.contain('the nearest key is train.learningRate');
    const error = await refusal(MINIMAL, { overrides: ['trian.steps=3'] });
    expect(error.message).to.equal('--set trian.steps=3: unknown key trian; the nearest key is train');
  });

  it('a wrong type: key, what was found, what was expected with its range', async () => {
    expect((await refusal(`${MINIMAL}train: { steps: many }\n`)).message)
      .to.match(/c\.yaml:4: train\.steps must be a whole number from 1; found the text "many"$/);
    expect((await refusal(`${MINIMAL}train: { steps: 1.5 }\n`)).message).to.contain('found the number 1.5');
    expect((await refusal(`${MINIMAL}checkBinary: 1\n`)).message).to.contain('checkBinary must be true or false; found the number 1');
    expect((await refusal(`${MINIMAL}train:\n`)).message).to.contain('train must be a group of keys; found null');
    expect((await refusal(`${MINIMAL}distill: { layerMap: [0, x] }\n`)).message).to.contain('distill.layerMap.1 must be a whole number from 0; found the text "x"');
    expect((await refusal(`${MINIMAL}corpus2: 1\n`)).message).to.contain('the nearest key is corpus');
  });

  it('a value out of range, and a word that is not a choice', async () => {
    expect((await refusal(`${MINIMAL}student: { decay: 1.5 }\n`)).message).to.contain('student.decay must be a number from 0 to 1; found the number 1.5');
    expect((await refusal(`${MINIMAL}train: { beta2: 1 }\n`)).message).to.contain('train.beta2 must be a number from 0 and below 1');
    expect((await refusal(`${MINIMAL}student: { layers: 0 }\n`)).message).to.contain('student.layers must be a whole number from 1, or null; found the number 0');
    expect((await refusal(`${MINIMAL}student: { reset: sfot }\n`)).message).to.contain('one of soft | soft-leaked | hard; found the text "sfot"');
    expect((await refusal(`${MINIMAL}student: { preset: best }\n`)).message).to.contain('one of practical | paper');
    expect((await refusal(`${MINIMAL}train: { learningRate: .nan }\n`)).message).to.contain('train.learningRate must be a number above 0 up to 1');
  });

  it('a missing key, and names all problems at once', async () => {
    const error = await refusal('run: 3\nseed: -1\n');
    expect(error.message).to.contain('3 problems').and.to.contain('teacher is missing').and.to.contain(':1: run must be text').and.to.contain(':2: seed must be');
  });

  it('text that is not YAML, with its line; duplicate keys; a list; bytes that are not UTF-8; no file', async () => {
    expect((await refusal('run: [1, 2\nteacher: x\n')).message).to.match(/c\.yaml:\d+:\d+: not valid YAML/);
    expect((await refusal('run: a\nrun: b\n')).message).to.match(/c\.yaml:2:1: not valid YAML/);
    expect((await refusal('- a\n- b\n')).message).to.contain('found a list');
    expect((await rejection(distill(Uint8Array.of(0x72, 0xff, 0xfe)), ConfigError)).message).to.contain('not UTF-8');
    const absent = await rejection(loadDistillConfig({ file: 'no/such.yaml' }), ConfigError);
    expect(absent.message).to.contain('No configuration file at /').and.to.contain('no/such.yaml');
    expect(absent.suggestions[0]).to.contain('configs');
  });

  it('an alias bomb', async () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]', ...'bcdefghi'.split('').map((key, index) => {
      const alias = `*${'abcdefgh'[index]}`;
      return `${key}: &${key} [${Array.from({ length: 9 }, () => alias).join(',')}]`;
    })].join('\n');
    expect((await refusal(bomb)).message).to.contain('not valid YAML');
  });

  it('--set without a key, without a value, or with broken YAML is a usage error', async () => {
    for (const override of ['train.steps', '=3', 'train..steps=3', 'run=[1']) {
      const error = await rejection(distill(MINIMAL, { overrides: [override] }), UsageError);
      expect(error.exitCode, override).to.equal(2);
      expect(error.message).to.contain(`--set ${override}`);
      expect(error.suggestions).to.have.length(1);
    }
  });

  it('__proto__ as a key is an unknown key and changes nothing', async () => {
    const error = await refusal(MINIMAL, { overrides: ['__proto__.polluted=1'] });
    expect(error.message).to.contain('unknown key __proto__');
    expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined);
  });
});

describe('configuration: keys that contradict each other', () => {
  const contradiction = async (yaml: string, ...parts: string[]) => {
    const error = await refusal(yaml);
    for (const part of parts) expect(error.message).to.contain(part);
    expect(error.suggestions).to.have.length(1);
  };

  it('in a distillation run, both keys named, with the line', async () => {
    await contradiction(`${MINIMAL}train:\n  steps: 50\n  warmupSteps: 50\n`, ':6: ', 'train.warmupSteps (50)', 'train.steps (50)');
    await contradiction(`${MINIMAL}student: { hiddenSize: 30, heads: 4 }\n`, 'student.heads (4)', 'student.hiddenSize (30)');
    await contradiction(`${MINIMAL}student: { learnedNeurons: false }\n`, 'student.init ridge needs learned neurons', 'student.learnedNeurons is false');
    await contradiction('run: a\nteacher: b\n', 'corpus.kind is text', 'corpus.train');
    await contradiction('run: a\nteacher: b\ncorpus: { kind: stories, valid: v.txt }\n', 'corpus.kind is stories', 'corpus.valid');
    await contradiction(`${MINIMAL}student: { layers: 3 }\ndistill: { layerMap: [0, 1] }\n`, 'distill.layerMap has 2 entries', 'student.layers is 3');
    await contradiction(`${MINIMAL}student: { heads: 1 }\ndistill: { headMap: [0, 1] }\n`, 'distill.headMap has 2 entries', 'student.heads is 1');
    await contradiction(`${MINIMAL}distill: { weights: { embedding: 0, attention: 0, feature: 0, softTarget: 0, hardTarget: 0 } }\n`, 'every weight');
    await contradiction(`${MINIMAL}distill: { weights: { embedding: 0, softTarget: 0, hardTarget: 0 } }\nteacherCache: { enabled: true }\n`, ':5: ', 'a teacher cache holds nothing for');
    await distill(`${MINIMAL}distill: { weights: { embedding: 0, softTarget: 0, hardTarget: 0 } }\n`);
  });

  it('in a teacher run', async () => {
    const base = 'run: a\ncorpus: { kind: stories }\n';
    const long = await rejection(teacher(`${base}train: { context: 65 }\n`), ConfigError);
    expect(long.message).to.contain('train.context (65)').and.to.contain('model.contextLength (64)');
    const heads = await rejection(teacher(`${base}model: { heads: 3 }\n`), ConfigError);
    expect(heads.message).to.contain('model.heads (3)').and.to.contain('model.hiddenSize (64)');
    expect(heads.suggestions).to.deep.equal(['Set model.hiddenSize to 66']);
  });
});
