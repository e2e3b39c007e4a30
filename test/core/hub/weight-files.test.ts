import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError } from '../../../src/core/errors.js';
import { writeSafetensors } from '../../../src/core/hub/safetensors.js';
import { openWeights } from '../../../src/core/hub/weight-files.js';
import { stateDictPickle, torchArchive } from '../../support/pickle-bytes.js';
import { rejection } from '../../support/rejection.js';
import { floatBytes } from '../../support/safetensors-bytes.js';

const ONE = 'model-00001-of-00002.safetensors';
const TWO = 'model-00002-of-00002.safetensors';

describe('hub/weight-files', () => {
  let folder: string;
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'bispik-weights-')); });
  afterEach(() => rm(folder, { recursive: true }));

  const shard = (file: string, name: string, value: number): Promise<void> =>
    writeSafetensors(join(folder, file), [{ name, shape: [1], values: Float32Array.from([value]) }]);
  const index = (weightMap: unknown, totalSize = 8): Promise<void> =>
    writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: totalSize }, weight_map: weightMap }));
  const refuse = async (): Promise<string> => (await rejection(openWeights(folder), FormatError)).message;
  const archive = (name: string): Uint8Array => torchArchive(stateDictPickle([
    { name, storage: { type: 'FloatStorage', key: '0', elements: 1 }, offset: 0, shape: [1], strides: [1] },
  ]), { 0: floatBytes(5) });

  it('joins shards and reports the files it reads', async () => {
    await shard(ONE, 'a', 1);
    await shard(TWO, 'b', 2);
    await index({ b: TWO, a: ONE });
    const weights = await openWeights(folder);
    expect(weights.files).to.deep.equal(['model.safetensors.index.json', ONE, TWO]);
    expect(weights.notices).to.deep.equal([]);
    expect([...await weights.tensors.get('a')!.readFloat32(), ...await weights.tensors.get('b')!.readFloat32()]).to.deep.equal([1, 2]);
  });

  it('reads pytorch_model.bin and its shards', async () => {
    await writeFile(join(folder, 'pytorch_model-00001-of-00001.bin'), archive('a'));
    await writeFile(join(folder, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map: { a: 'pytorch_model-00001-of-00001.bin' } }));
    expect([...await (await openWeights(folder)).tensors.get('a')!.readFloat32()]).to.deep.equal([5]);
    await writeFile(join(folder, 'pytorch_model.bin'), archive('whole'));
    expect((await openWeights(folder)).files).to.deep.equal(['pytorch_model.bin']);
  });

  it('does not fall back to another file when the first is broken', async () => {
    await writeFile(join(folder, 'model.safetensors'), '');
    await writeFile(join(folder, 'pytorch_model.bin'), archive('a'));
    expect(await refuse()).to.contain('model.safetensors: file is empty');
  });

  it('tells of a total size that is wrong', async () => {
    await shard(ONE, 'a', 1);
    await index({ a: ONE }, 1);
    expect((await openWeights(folder)).notices.join()).to.contain('total_size says 1 bytes, the tensors have 4');
  });

  it('refuses shard names that leave the folder, without opening them', async () => {
    await index({ a: '/etc/passwd' });
    expect(await refuse()).to.contain('absolute shard name "/etc/passwd" refused (file not opened)');
    await index({ a: '../../etc/passwd' });
    expect(await refuse()).to.contain('shard name "../../etc/passwd" leaves the folder');
  });

  it('refuses an index that disagrees with its shards', async () => {
    await shard(ONE, 'a', 1);
    await index({ a: ONE, b: TWO, c: TWO });
    expect(await refuse()).to.contain(`${TWO} is named by the index but missing (2 tensors)`);
    await shard(TWO, 'b', 2);
    expect(await refuse()).to.contain(`c is not in ${TWO}`);
    await index({ b: TWO, x: TWO });
    expect(await refuse()).to.contain(`x is not in ${TWO}`);
    await writeSafetensors(join(folder, ONE), ['a', 'more'].map((name) => ({ name, shape: [0], values: new Float32Array() })));
    await index({ a: ONE, b: TWO });
    expect(await refuse()).to.contain(`more of ${ONE} is missing from weight_map`);
    await writeFile(join(folder, 'model.safetensors.index.json'), '{"metadata":{}}');
    expect(await refuse()).to.contain('model.safetensors.index.json: weight_map is missing');
  });

  it('says what is there when it finds no weights', async () => {
    await writeFile(join(folder, 'tf_model.h5'), '');
    const refusal = await rejection(openWeights(folder), FormatError);
    expect(refusal.message).to.contain('no model.safetensors, model.safetensors.index.json, pytorch_model.bin');
    expect(refusal.suggestions.join()).to.contain('tf_model.h5 is there, but is not read');
  });
});
