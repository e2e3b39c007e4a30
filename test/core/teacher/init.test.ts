import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { initTeacher } from '../../../src/core/teacher/init.js';
import { expectedOptTensors } from '../../../src/core/teacher/opt.js';
import { downloadTeacher, teacherParameter, uploadTeacher } from '../../../src/core/teacher/parameters.js';
import type { TeacherWeights } from '../../../src/core/teacher/weights.js';
import { loadTeacher, writeTeacher } from '../../../src/core/teacher/weights.js';
import { ShapeError } from '../../../src/core/errors.js';
import { hashTensors } from '../../../src/core/hub/tensor-hash.js';
import { expectClose } from '../../support/backends.js';
import { withTempFolder } from '../../support/temp-folder.js';

const SHAPE = { vocabSize: 50, hiddenSize: 32, layers: 3, heads: 4, feedForwardSize: 64, contextLength: 20, bosId: 1, eosId: 2, padId: null };

/** Root mean square of a tensor's values. */
async function rootMeanSquare(tensor: tf.Tensor): Promise<number> {
  return ((await tf.sqrt(tf.mean(tf.square(tensor))).data())[0] as number);
}

describe('a new teacher', () => {
  before(async () => { await prepareBackend('cpu'); });

  it('has every tensor of an OPT model in its shape, matrices (in, out)', () => {
    const { config, parameters } = initTeacher(SHAPE, createRandom(1));
    expect(config).to.include({ ...SHAPE, family: 'opt', embeddingSize: 32, normPlacement: 'pre', activation: 'relu', tiedHead: true, hasFinalNorm: true });
    const expected = [...expectedOptTensors(config)].map(({ name, shape }) => {
      const short = name.replace('model.decoder.', '');
      return [short, shape.length === 2 && !short.startsWith('embed_') ? [...shape].reverse() : [...shape]] as const;
    });
    expect(Object.fromEntries(Array.from(parameters, ([name, { shape }]) => [name, shape]))).to.deep.equal(Object.fromEntries(expected));
    expect(parameters.get('embed_positions.weight')?.shape).to.deep.equal([22, 32]); // OPT's offset of 2
  });

  it('starts with the spreads of its table: .02; .5/√inputs; that over √(2·3 layers) where the stream is written', async () => {
    const { parameters } = initTeacher(SHAPE, createRandom(1));
    const spreads: Record<string, number> = {
      'embed_tokens.weight': 0.02, 'embed_positions.weight': 0.02, 'layers.1.self_attn.q_proj.weight': 0.5 / Math.sqrt(32), 'layers.1.fc1.weight': 0.5 / Math.sqrt(32),
      'layers.1.self_attn.out_proj.weight': 0.5 / Math.sqrt(32 * 6), 'layers.1.fc2.weight': 0.5 / Math.sqrt(64 * 6),
    };
    for (const [name, spread] of Object.entries(spreads)) {
      const tensor = parameters.get(name) as tf.Tensor;
      expectClose([await rootMeanSquare(tensor)], [spread], { absolute: 5 * spread / Math.sqrt(2 * tensor.size) }, name);
    }
    for (const [name, tensor] of parameters) {
      if (!/bias$|norm/.test(name)) continue;
      expectClose(await tensor.data(), new Array<number>(tensor.size).fill(name.endsWith('.weight') ? 1 : 0), { absolute: 0 }, name);
    }
  });

  it('is the same for the same seed', async () => {
    const query = async (seed: number): Promise<number[]> => Array.from(await (initTeacher(SHAPE, createRandom(seed)).parameters.get('layers.2.self_attn.q_proj.weight') as tf.Tensor).data());
    expect(await query(7)).to.deep.equal(await query(7));
    expect(await query(8)).to.not.deep.equal(await query(7));
  });
});

describe('a teacher on a backend', () => {
  before(async () => { await prepareBackend('cpu'); });

  it('turns matrices to (in, out) and leaves tables as they are', async () => {
    const tensors = new Map([
      ['model.decoder.layers.0.fc1.weight', { shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) }],
      ['model.decoder.embed_tokens.weight', { shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) }],
      ['model.decoder.layers.0.fc1.bias', { shape: [2], values: Float32Array.of(7, 8) }],
      ['lm_head.weight', { shape: [2, 1], values: Float32Array.of(9, 10) }],
    ]);
    const teacher = uploadTeacher({ config: initTeacher(SHAPE, createRandom(1)).config, tensors, sha256: '' });
    const turned = teacherParameter(teacher, 'layers.0.fc1.weight');
    expect([turned.shape, Array.from(await turned.data())]).to.deep.equal([[3, 2], [1, 4, 2, 5, 3, 6]]);
    expect(Array.from(await teacherParameter(teacher, 'embed_tokens.weight').data())).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect(teacherParameter(teacher, 'lm_head.weight').shape, 'a head stays (V, D)').to.deep.equal([2, 1]);
    expect(() => teacherParameter(teacher, 'layers.9.fc1.weight')).to.throw(ShapeError, 'the teacher has no tensor layers.9.fc1.weight');
    expect((await downloadTeacher(teacher)).tensors).to.deep.equal(tensors);
  });

  it('goes to a folder and back bit for bit, and leaves only its parameters', () => withTempFolder(async (folder) => {
    const teacher = initTeacher(SHAPE, createRandom(1));
    const before = tf.memory().numTensors;
    const downloaded = await downloadTeacher(teacher);
    expect(tf.memory().numTensors).to.equal(before);
    await writeTeacher(folder, downloaded, {});
    const weights: TeacherWeights = await loadTeacher(folder);
    const again = uploadTeacher(weights);
    expect(tf.memory().numTensors - before).to.equal(teacher.parameters.size);
    const stored = await downloadTeacher(again);
    expect(hashTensors(stored.tensors)).to.equal(weights.sha256);
    for (const [name, { values }] of downloaded.tensors) expect(stored.tensors.get(name)?.values, name).to.deep.equal(values);
  }));
});
