import { expect } from 'chai';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError, NumericError, ShapeError } from '../../../src/core/errors.js';
import { hashTensors } from '../../../src/core/hub/tensor-hash.js';
import { loadTeacher, readTeacherFolder, writeTeacher } from '../../../src/core/teacher/weights.js';
import { rejection } from '../../support/rejection.js';
import { TINY_OPT_CONFIG, tinyOptTensors, writeTinyOpt } from '../../support/tiny-opt.js';
import type { TinyTensor } from '../../support/tiny-opt.js';

const FC1 = 'model.decoder.layers.0.fc1.weight';

describe('teacher/weights', () => {
  let root: string;
  before(async () => { root = await mkdtemp(join(tmpdir(), 'bispik-teacher-')); });
  after(() => rm(root, { recursive: true }));

  let count = 0;
  const folderOf = (tensors: ReadonlyMap<string, TinyTensor>, config: object = TINY_OPT_CONFIG): Promise<string> => writeTinyOpt(join(root, `folder-${count += 1}`), tensors, config);
  const load = async (change: (tensors: Map<string, TinyTensor>) => void, config: object = TINY_OPT_CONFIG): ReturnType<typeof loadTeacher> => {
    const tensors = tinyOptTensors();
    change(tensors);
    return loadTeacher(await folderOf(tensors, config));
  };

  it('gives the same tensors under every prefix, in one canonical order', async () => {
    const expected = await loadTeacher(await folderOf(tinyOptTensors()));
    expect(expected.tensors.size).to.equal(20);
    expect([...expected.tensors.get('model.decoder.layers.0.fc2.bias')!.values]).to.deep.equal([17, 17 + 1 / 64, 17 + 2 / 64, 17 + 3 / 64]);
    for (const prefix of ['decoder.', '']) {
      const other = await loadTeacher(await folderOf(tinyOptTensors(prefix)));
      expect([...other.tensors.keys()]).to.deep.equal([...expected.tensors.keys()]);
      expect(other.sha256).to.equal(expected.sha256);
    }
  });

  it('takes lm_head.weight as a second name of the embedding where both are equal, and skips the version mark', async () => {
    const plain = await load(() => undefined);
    const doubled = await load((t) => t.set('lm_head.weight', t.get('model.decoder.embed_tokens.weight')!).set('decoder.version', { shape: [1], values: Float32Array.of(3) }));
    expect(doubled.sha256).to.equal(plain.sha256);
    const differing = load((t) => t.set('lm_head.weight', { shape: [6, 4], values: tinyOptTensors().get('model.decoder.embed_tokens.weight')!.values.with(9, -1) }));
    expect((await rejection(differing, FormatError)).message).to.contain('lm_head.weight differs from model.decoder.embed_tokens.weight, first at [2,1]');
  });

  it('reads an untied head, models without bias and norms without weights', async () => {
    const untied = await load((t) => t.set('lm_head.weight', { shape: [6, 4], values: new Float32Array(24) }), { ...TINY_OPT_CONFIG, tie_word_embeddings: false });
    expect(untied.tensors.has('lm_head.weight')).to.equal(true);
    const bare = await load((t) => { for (const name of t.keys()) if (/bias$|norm/.test(name)) t.delete(name); }, { ...TINY_OPT_CONFIG, enable_bias: false, layer_norm_elementwise_affine: false });
    expect(bare.tensors.size).to.equal(8);
  });

  it('reads the 350M layout: projected embeddings, no final norm', async () => {
    const config = { ...TINY_OPT_CONFIG, do_layer_norm_before: false, word_embed_proj_dim: 2 };
    const weights = await load((t) => {
      t.delete('model.decoder.final_layer_norm.weight');
      t.delete('model.decoder.final_layer_norm.bias');
      t.set('model.decoder.embed_tokens.weight', { shape: [6, 2], values: new Float32Array(12) });
      t.set('model.decoder.project_in.weight', { shape: [4, 2], values: new Float32Array(8) });
      t.set('model.decoder.project_out.weight', { shape: [2, 4], values: new Float32Array(8) });
    }, config);
    expect(weights.tensors.get('model.decoder.project_in.weight')!.shape).to.deep.equal([4, 2]);
    const withNorm = load((t) => t.set('model.decoder.embed_tokens.weight', { shape: [6, 4], values: new Float32Array(24) }), { ...TINY_OPT_CONFIG, do_layer_norm_before: false });
    expect((await rejection(withNorm, FormatError)).message).to.contain('final_layer_norm.weight and 1 more: the configuration has no norm after the last layer');
  });

  it('names missing and unexpected tensors', async () => {
    const missing = await rejection(load((t) => t.delete('model.decoder.layers.0.self_attn.k_proj.bias')), FormatError);
    expect(missing.message).to.contain('missing tensor model.decoder.layers.0.self_attn.k_proj.bias');
    const fc1 = tinyOptTensors().get(FC1)!;
    const extra = await rejection(load((t) => t.set('model.decoder.layers.1.fc1.weight', fc1)), FormatError);
    expect(extra.message).to.contain('unexpected tensor model.decoder.layers.1.fc1.weight: num_hidden_layers is 1');
    const adapter = await rejection(load((t) => t.set('model.decoder.layers.0.self_attn.q_proj.lora_A.weight', fc1)), FormatError);
    expect(adapter.message).to.contain('an unmerged adapter');
    expect(adapter.suggestions.join()).to.contain('merge_and_unload()');
    const project = await rejection(load((t) => t.set('model.decoder.project_in.weight', fc1)), FormatError);
    expect(project.message).to.contain('word_embed_proj_dim equals hidden_size');
    const doubled = await rejection(load((t) => t.set('decoder.layers.0.fc1.weight', fc1)), FormatError);
    expect(doubled.message).to.contain('two names of the same tensor');
    const stranger = await rejection(load((t) => t.set('score.weight', fc1)), FormatError);
    expect(stranger.message).to.contain('unexpected tensor score.weight: no tensor of an OPT model has this name');
  });

  it('finds at once that 10^9 layers are not there', async () => {
    const started = Date.now();
    const refusal = await rejection(load(() => undefined, { ...TINY_OPT_CONFIG, num_hidden_layers: 1e9 }), FormatError);
    expect(refusal.message).to.match(/missing tensors model\.decoder\.layers\.1\..* and more/);
    expect(Date.now() - started).to.be.below(2000);
  });

  it('names the tensor and both shapes where they differ', async () => {
    const transposed = await rejection(load((t) => t.set(FC1, { ...t.get(FC1)!, shape: [4, 8] })), ShapeError);
    expect(transposed.message).to.contain(`${FC1}: [4,8] found, [8,4] expected`);
    const rank = await rejection(load((t) => t.set('model.decoder.final_layer_norm.weight', { shape: [1, 4], values: new Float32Array(4) })), ShapeError);
    expect(rank.message).to.contain('final_layer_norm.weight: [1,4] found, [4] expected');
    const vocabulary = await rejection(load(() => undefined, { ...TINY_OPT_CONFIG, vocab_size: 7 }), ShapeError);
    expect(vocabulary.message).to.contain('embed_tokens.weight: [6,4] found, [7,4] expected');
    expect(vocabulary.exitCode).to.equal(5);
  });

  it('counts NaN and infinite values and tells where the first is', async () => {
    const nan = await rejection(load((t) => { t.get(FC1)!.values[14] = NaN; }), NumericError);
    expect(nan.message).to.contain(`${FC1}: 1 NaN, first at [3,2]`);
    const infinite = await rejection(load((t) => { t.get(FC1)!.values.set([Infinity, -Infinity], 1); }), NumericError);
    expect(infinite.message).to.contain(`${FC1}: 2 infinite values, first at [0,1]`);
    expect(infinite.exitCode).to.equal(7);
  });

  it('writes a folder that reads back bit for bit and notices damage', async () => {
    const weights = await load(() => undefined);
    const folder = join(root, 'written');
    await writeTeacher(folder, weights, { source: 'here' });
    expect((await readdir(folder)).sort()).to.deep.equal(['config.json', 'model.safetensors', 'provenance.json']);
    const again = await readTeacherFolder(folder);
    expect(again.weights.sha256).to.equal(weights.sha256).and.to.equal(hashTensors(again.weights.tensors));
    expect(again.weights.config).to.deep.equal(weights.config);
    expect([again.files, again.dtypes]).to.deep.equal([['model.safetensors'], ['F32']]);
    const provenance = JSON.parse(await readFile(join(folder, 'provenance.json'), 'utf8')) as Record<string, unknown>;
    expect(provenance).to.deep.equal({ source: 'here', weightsSha256: weights.sha256 });

    const damaged = join(root, 'damaged');
    await cp(folder, damaged, { recursive: true });
    const bytes = await readFile(join(damaged, 'model.safetensors'));
    bytes[bytes.length - 3]! ^= 1;
    await writeFile(join(damaged, 'model.safetensors'), bytes);
    expect((await rejection(loadTeacher(damaged), FormatError)).message).to.contain('the weights are not those provenance.json records');
  });

  it('writes equal weights alike, whatever order they were made in', async () => {
    const weights = await load(() => undefined);
    const folder = join(root, 'reversed');
    await writeTeacher(folder, { ...weights, tensors: new Map([...weights.tensors].reverse()) }, {});
    expect((await loadTeacher(folder)).sha256).to.equal(weights.sha256);
  });
});
