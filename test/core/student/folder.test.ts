import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { FormatError, NumericError, ShapeError } from '../../../src/core/errors.js';
import { openSafetensors, writeSafetensors } from '../../../src/core/hub/safetensors.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { StudentConfig } from '../../../src/core/student/config.js';
import { readStudent, writeStudent } from '../../../src/core/student/folder.js';
import { parameterShapes } from '../../../src/core/student/parameters.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT } from '../../support/tiny-models.js';

/** Seeded parameters with −0, a subnormal and the largest float32 among them. */
function parametersOf(config: StudentConfig): Map<string, tf.Tensor> {
  const random = createRandom(6);
  return new Map(Array.from(parameterShapes(config), ([name, shape]) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal());
    values.set([-0, 1e-42, 3.4028234663852886e38]);
    return [name, tf.tensor(values, [...shape])];
  }));
}
// The attention gain has one entry a head: three heads leave room for the three special values.
const PRACTICAL = { ...TINY_STUDENT, hiddenSize: 9, heads: 3 };
const PAPER = { ...TINY_PAPER_STUDENT, hiddenSize: 9, heads: 3 };

interface Stored { name: string; shape: readonly number[]; values: Float32Array }

/** Rewrites the tensors of a student folder and drops the record of their hash, as another program would. */
async function changeTensors(folder: string, change: (tensors: Stored[]) => Stored[]): Promise<void> {
  const path = join(folder, 'model.safetensors');
  const entries = await openSafetensors(path);
  const stored = await Promise.all(Array.from(entries.values(), async (entry) => ({ name: entry.name, shape: entry.shape, values: await entry.readFloat32() })));
  await writeSafetensors(path, change(stored));
  await rm(join(folder, 'provenance.json'));
}

const withStudent = (body: (folder: string) => Promise<void>) => withTempFolder(async (root) => {
  const folder = join(root, 'student');
  const parameters = parametersOf(PRACTICAL);
  await writeStudent(folder, { config: PRACTICAL, parameters }, { seed: 6 });
  tf.dispose([...parameters.values()]);
  await body(folder);
});

describe('student folder', () => {
  before(async () => { await prepareBackend('cpu'); });

  for (const [form, config] of [['practical', PRACTICAL], ['paper', PAPER]] as const) {
    it(`${form}: reads back configuration and every bit of the weights, and leaves nothing else behind`, () => withTempFolder(async (root) => {
      const written = parametersOf(config);
      const before = tf.memory().numTensors;
      await writeStudent(root, { config, parameters: written }, {});
      const { config: read, parameters } = await readStudent(root);
      expect(read).to.deep.equal(config);
      expect([...parameters.keys()]).to.deep.equal([...written.keys()]);
      for (const [name, tensor] of parameters) {
        const original = written.get(name) as tf.Tensor;
        expect(tensor.shape, name).to.deep.equal(original.shape);
        const bits = async (x: tf.Tensor): Promise<number[]> => Array.from(new Uint32Array((await x.data<'float32'>()).slice().buffer));
        expect(await bits(tensor), name).to.deep.equal(await bits(original));
      }
      expect(tf.memory().numTensors - before).to.equal(parameters.size);
    }));
  }

  it('stores matrices (out, in) as Hugging Face does, tables and distance currents as they are', () => withTempFolder(async (root) => {
    const parameters = parametersOf(PRACTICAL).set('layers.0.out.weight', tf.tensor2d(Float32Array.from({ length: 81 }, (_, i) => i), [9, 9]));
    await writeStudent(root, { config: PRACTICAL, parameters }, {});
    const entries = await openSafetensors(join(root, 'model.safetensors'));
    const shape = (name: string): readonly number[] | undefined => entries.get(name)?.shape;
    // D 9, E 18, F 16, V 13, context 12
    expect([shape('layers.0.qkv.weight'), shape('layers.1.fc1.weight'), shape('layers.1.fc2.weight')]).to.deep.equal([[27, 18], [16, 18], [9, 16]]);
    expect([shape('embed_tokens.weight'), shape('embed_positions.weight'), shape('layers.0.attention.distance_bias')]).to.deep.equal([[13, 9], [12, 9], [3, 12]]);
    expect(Array.from(await entries.get('layers.0.out.weight')!.readFloat32()).slice(0, 3)).to.deep.equal([0, 9, 18]);
  }));

  it('writes three files, equal for equal students, in one order whatever order the parameters came in', () => withTempFolder(async (root) => {
    const parameters = parametersOf(PRACTICAL);
    await writeStudent(join(root, 'a'), { config: PRACTICAL, parameters }, { seed: 6 });
    await writeStudent(join(root, 'b'), { config: PRACTICAL, parameters: new Map([...parameters].reverse()) }, { seed: 6 });
    const files = (await readdir(join(root, 'a'))).sort();
    expect(files).to.deep.equal(['config.json', 'model.safetensors', 'provenance.json']);
    for (const file of files) expect((await readFile(join(root, 'a', file))).equals(await readFile(join(root, 'b', file))), file).to.equal(true);
    const provenance = JSON.parse(await readFile(join(root, 'a', 'provenance.json'), 'utf8')) as Record<string, unknown>;
    expect(provenance['seed']).to.equal(6);
    expect(provenance['weightsSha256']).to.match(/^[0-9a-f]{64}$/);
  }));

  it('refuses to write without one of its parameters, or where a file is in the way', () => withTempFolder(async (root) => {
    const parameters = parametersOf(PRACTICAL);
    parameters.delete('layers.1.fc2.bias');
    expect((await rejection(writeStudent(root, { config: PRACTICAL, parameters }, {}), ShapeError)).message).to.contain('layers.1.fc2.bias');
    await writeFile(join(root, 'file'), '');
    expect((await rejection(writeStudent(join(root, 'file', 'student'), { config: PRACTICAL, parameters: parametersOf(PRACTICAL) }, {}), FormatError)).exitCode).to.equal(5);
  }));

  const damages: readonly (readonly [title: string, change: (tensors: Stored[]) => Stored[], error: typeof ShapeError | typeof NumericError, message: RegExp])[] = [
    ['a missing tensor', (all) => all.filter(({ name }) => name !== 'layers.1.out.bias'), ShapeError, /model\.safetensors: missing tensor layers\.1\.out\.bias \[9\]/],
    ['an unexpected tensor', (all) => [...all, { name: 'layers.2.out.bias', shape: [1], values: Float32Array.of(1) }], ShapeError, /unexpected tensor layers\.2\.out\.bias/],
    ['a matrix that was not turned', (all) => all.map((t) => (t.name === 'layers.0.fc1.weight' ? { ...t, shape: [18, 16] } : t)), ShapeError, /layers\.0\.fc1\.weight: \[18,16\] found, \[16,18\] expected/],
    ['a NaN', (all) => all.map((t) => (t.name === 'layers.0.fc1.bias' ? { ...t, values: t.values.with(3, NaN) } : t)), NumericError, /layers\.0\.fc1\.bias: value 3 is NaN/],
    ['an infinite weight', (all) => all.map((t) => (t.name === 'final_norm.bias' ? { ...t, values: t.values.with(0, -Infinity) } : t)), NumericError, /final_norm\.bias: value 0 is -Infinity/],
  ];
  for (const [title, change, error, message] of damages) {
    it(`refuses ${title}, and leaves no tensor behind`, () => withStudent(async (folder) => {
      await changeTensors(folder, change);
      const before = tf.memory().numTensors;
      const refusal = await rejection(readStudent(folder), error);
      expect(refusal.message).to.match(message);
      expect(refusal.exitCode).to.equal(error === NumericError ? 7 : 5);
      expect(tf.memory().numTensors).to.equal(before);
    }));
  }

  it('takes the folder of another program, which records no hash', () => withStudent(async (folder) => {
    await changeTensors(folder, (all) => all.reverse());
    expect((await readStudent(folder)).config).to.deep.equal(PRACTICAL);
  }));

  it('notices a flipped bit in the weights, and a truncated file', () => withStudent(async (folder) => {
    const path = join(folder, 'model.safetensors');
    const bytes = await readFile(path);
    bytes[bytes.length - 5]! ^= 1;
    await writeFile(path, bytes);
    const flipped = await rejection(readStudent(folder), FormatError);
    expect(flipped.message).to.contain('the weights are not those provenance.json records');
    expect(flipped.suggestions).to.have.lengthOf(1);
    await writeFile(path, bytes.subarray(0, -8));
    expect((await rejection(readStudent(folder), FormatError)).message).to.contain('model.safetensors');
  }));

  const changeConfig = async (folder: string, change: Record<string, unknown>): Promise<void> => {
    const path = join(folder, 'config.json');
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...change }));
  };

  it('refuses a configuration of the wrong type, naming file and key', () => withStudent(async (folder) => {
    await changeConfig(folder, { hidden_size: '9' });
    const refusal = await rejection(readStudent(folder), FormatError);
    expect(refusal.message).to.contain(join(folder, 'config.json')).and.contain('hidden_size: Invalid input: expected number, received string');
  }));

  it('finds at once that 10^9 layers are not there', () => withStudent(async (folder) => {
    await changeConfig(folder, { num_hidden_layers: 1e9 });
    expect((await rejection(readStudent(folder), ShapeError)).message).to.contain('36 tensors found, too few for num_hidden_layers 1000000000');
  }));
});
