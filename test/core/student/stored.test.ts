import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'chai';

import { FormatError, NumericError, ShapeError } from '../../../src/core/errors.js';
import { writeSafetensors } from '../../../src/core/hub/safetensors.js';
import { parameterShapes } from '../../../src/core/student/parameters.js';
import type { StoredTensor } from '../../../src/core/student/stored.js';
import { openStoredStudent, readRecordedHash } from '../../../src/core/student/stored.js';
import { loadedModules } from '../../support/loaded-modules.js';
import { rejection } from '../../support/rejection.js';
import { storedTensors, withValues, writeStoredStudent } from '../../support/stored-student.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT } from '../../support/tiny-models.js';

const bits = (values: Float32Array): number[] => Array.from(new Uint32Array(values.slice().buffer));

async function readAll(folder: string): Promise<StoredTensor[]> {
  const tensors: StoredTensor[] = [];
  for await (const tensor of (await openStoredStudent(folder)).tensors()) tensors.push(tensor);
  return tensors;
}

describe('stored student', () => {
  for (const [form, config] of [['practical', TINY_STUDENT], ['paper', TINY_PAPER_STUDENT]] as const) {
    it(`${form}: gives every tensor in our order, as the file has it, to the bit`, () => withTempFolder(async (folder) => {
      const written = withValues(storedTensors(config), { 'final_norm.bias': [-0, 1e-42, 3.4028234663852886e38, 0, 1, 2, 3, 4] });
      await writeStoredStudent(folder, config, written);
      await writeSafetensors(join(folder, 'model.safetensors'), [...written].reverse());
      const read = await readAll(folder);
      expect(read.map(({ name }) => name)).to.deep.equal([...parameterShapes(config).keys()]);
      for (const [i, { name, shape, values }] of read.entries()) {
        expect(shape, name).to.deep.equal(written[i]?.shape);
        expect(bits(values), name).to.deep.equal(bits(written[i]!.values));
      }
    }));
  }

  it('keeps linear weights (out, in) and tables as they are', () => withTempFolder(async (folder) => {
    await writeStoredStudent(folder, TINY_STUDENT, storedTensors(TINY_STUDENT));
    const shapes = new Map((await readAll(folder)).map(({ name, shape }) => [name, shape]));
    // D 8, E 16, F 16, V 13, context 12, 2 heads
    expect(shapes.get('layers.0.qkv.weight')).to.deep.equal([24, 16]);
    expect(shapes.get('layers.1.fc2.weight')).to.deep.equal([8, 16]);
    expect(shapes.get('embed_tokens.weight')).to.deep.equal([13, 8]);
    expect(shapes.get('layers.1.attention.distance_bias')).to.deep.equal([2, 12]);
  }));

  it('reads a tensor only when it is asked for', () => withTempFolder(async (folder) => {
    const tensors = storedTensors(TINY_STUDENT);
    await writeStoredStudent(folder, TINY_STUDENT, withValues(tensors, { 'embed_positions.weight': Array(96).fill(NaN) as number[] }));
    const reading = (await openStoredStudent(folder)).tensors();
    expect((await reading.next()).value).to.have.property('name', 'embed_tokens.weight');
    expect((await rejection(reading.next(), NumericError)).message).to.contain('embed_positions.weight: value 0 is NaN');
  }));

  it('compares the hash provenance.json records after the last tensor', () => withTempFolder(async (folder) => {
    const tensors = storedTensors(TINY_STUDENT);
    await writeStoredStudent(folder, TINY_STUDENT, tensors);
    await writeSafetensors(join(folder, 'model.safetensors'), withValues(tensors, { 'final_norm.bias': [1, 2, 3, 4, 5, 6, 7, 8] }));
    const reading = (await openStoredStudent(folder)).tensors();
    for (const { name } of tensors) expect((await reading.next()).value).to.have.property('name', name);
    expect((await rejection(reading.next(), FormatError)).message).to.equal(
      `${folder}: the weights are not those provenance.json records: a file was damaged or exchanged`);
    await rm(join(folder, 'provenance.json'));
    expect(await readAll(folder)).to.have.lengthOf(tensors.length);
  }));

  it('takes no record for none, and refuses a broken one', () => withTempFolder(async (folder) => {
    expect(await readRecordedHash(folder)).to.equal(null);
    await writeFile(join(folder, 'provenance.json'), '{"seed":1}');
    expect(await readRecordedHash(folder)).to.equal(null);
    await writeFile(join(folder, 'provenance.json'), '{"weightsSha256":"ab"}');
    expect(await readRecordedHash(folder)).to.equal('ab');
    await writeFile(join(folder, 'provenance.json'), '{"weights');
    expect((await rejection(readRecordedHash(folder), FormatError)).message).to.contain('provenance.json is not valid JSON');
  }));

  const refusals: [string, (all: StoredTensor[]) => StoredTensor[], string][] = [
    ['a missing tensor', (all) => all.filter(({ name }) => name !== 'layers.1.out.bias'), 'missing tensor layers.1.out.bias [8]'],
    ['an unexpected tensor', (all) => [...all, { name: 'lm_head.weight', shape: [1], values: new Float32Array(1) }], 'unexpected tensor lm_head.weight'],
    ['a matrix that lies the other way', (all) => all.map((t) => (t.name === 'layers.0.qkv.weight' ? { ...t, shape: [16, 24] } : t)), 'layers.0.qkv.weight: [16,24] found, [24,16] expected'],
    ['layers that are not there', (all) => all.slice(0, 1), '1 tensors found, too few for num_hidden_layers 2'],
  ];
  for (const [title, change, message] of refusals) {
    it(`refuses ${title} before reading any`, () => withTempFolder(async (folder) => {
      await writeStoredStudent(folder, TINY_STUDENT, change(storedTensors(TINY_STUDENT)));
      expect((await rejection(openStoredStudent(folder), ShapeError)).message).to.equal(`${join(folder, 'model.safetensors')}: ${message}`);
    }));
  }

  for (const value of [NaN, Infinity, -Infinity]) {
    it(`refuses ${value}, naming tensor and place`, () => withTempFolder(async (folder) => {
      const changed = withValues(storedTensors(TINY_STUDENT), { 'layers.1.attention_out.bias': [0, 0, 0, 0, 0, value, 0, 0] });
      await writeStoredStudent(folder, TINY_STUDENT, changed);
      const refusal = await rejection(readAll(folder), NumericError);
      expect(refusal.message).to.equal(`${join(folder, 'model.safetensors')}: layers.1.attention_out.bias: value 5 is ${value}`);
      expect(refusal.exitCode).to.equal(7);
    }));
  }

  it('refuses a configuration no student can have, naming the key', () => withTempFolder(async (folder) => {
    await writeStoredStudent(folder, { ...TINY_STUDENT, neuron: { ...TINY_STUDENT.neuron, timeSteps: 0 } }, storedTensors(TINY_STUDENT));
    expect((await rejection(openStoredStudent(folder), FormatError)).message).to.contain(join(folder, 'config.json')).and.contain('time_steps: ');
  }));

  it('loads no TensorFlow', async () => {
    const loaded = await loadedModules(['core/student/stored.ts']);
    expect(loaded).to.contain('src/core/hub/safetensors.ts').and.not.contain('@tensorflow');
  });
});
