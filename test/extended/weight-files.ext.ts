import { expect } from 'chai';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BispikError } from '../../src/core/errors.js';
import { openSafetensors } from '../../src/core/hub/safetensors.js';
import type { TensorMap } from '../../src/core/hub/tensor-map.js';
import { openTorchFile } from '../../src/core/hub/torch-file.js';
import { readTeacherFolder } from '../../src/core/teacher/weights.js';

/** Folder with `fixtures/`: model files of every layout and `bad/cases.json`, a table of broken ones. */
const SHARED = process.env['BISPIK_SHARED_DATA'];

interface BadCase {
  readonly path: string;
  readonly expect: 'refuse' | 'accept' | 'warn' | 'either';
  readonly problem: string;
}

/** Words of the table's last column that our message must hold, where the table gives exact ones. */
const TELLING: Readonly<Record<string, string>> = {
  'models/bad-then-good/': 'model.safetensors', 'models/config-missing-several/': 'vocab_size, num_hidden_layers, ffn_dim', 'models/inf-weights/': '2 infinite values, first at [0,1]',
  'models/nan-weight/': '1 NaN, first at [3,2]', 'models/wrong-shape/': '[8,16] found, [16,8] expected', 'models/config-huge-layers/': 'model.decoder.layers.1.',
  'models/integer-weights/': 'dtype I64', 'models/index-missing-shard/': '(10 tensors)', 'models/extra-adapter/': 'unmerged adapter',
  'safetensors/header-length-max.safetensors': '18446744073709551615', 'safetensors/duplicate-key.safetensors': 'defined twice',
  'torch/os-system.bin': 'os.system', 'torch/os-system-after-tensor.bin': 'os.system', 'torch/memo-swap.bin': 'os.system', 'torch/global-unused.bin': 'os.system',
  'torch/protocol4-stack-global.bin': 'os.system', 'torch/builtins-eval.bin': 'builtins.eval', 'torch/torch-hub-load.bin': 'torch.hub.load',
  'torch/zip-bomb.bin': 'has 60000000 bytes, 24 expected', 'torch/huge-size-zero-stride.bin': '1000000000000000000 elements over a storage of 6',
};

describe('extended: weight files of the shared data', function () {
  if (SHARED === undefined) {
    it('needs BISPIK_SHARED_DATA');
    return;
  }
  const bad = join(SHARED, 'fixtures', 'bad');

  it('meets every broken file as its table demands', async () => {
    const cases = JSON.parse(await readFile(join(bad, 'cases.json'), 'utf8')) as readonly BadCase[];
    const wrong: string[] = [];
    for (const item of cases) {
      const { outcome, message } = await meet(bad, item.path);
      const isRight = item.expect === 'either' || outcome === (item.expect === 'refuse' ? 'refused' : 'read');
      const telling = TELLING[item.path] ?? '';
      if (!isRight || (item.expect === 'warn' && message === '') || !message.includes(telling)) wrong.push(`${item.path} (${item.problem}): ${outcome}: ${message}`);
    }
    expect(cases.length).to.be.greaterThan(90);
    expect(wrong).to.deep.equal([]);
  });

  for (const name of ['opt-prenorm', 'opt-postnorm', 'opt-prenorm-noprefix', 'gpt2-noprefix-buffers']) {
    it(`${name}: safetensors and pickle hold equal values`, async () => {
      const folder = join(SHARED, 'fixtures', name);
      const [plain, pickled] = [await openSafetensors(join(folder, 'model.safetensors')), await openTorchFile(join(folder, 'pytorch_model.bin'))];
      for (const [key, entry] of plain) expect(await bitsOf(pickled, key), key).to.deep.equal(new Uint8Array((await entry.readFloat32()).buffer));
    });
  }

  for (const name of ['opt-prenorm', 'opt-postnorm', 'opt-prenorm-noprefix']) {
    it(`${name}: loads as the same teacher from either file`, async () => {
      const source = join(SHARED, 'fixtures', name);
      const folder = await mkdtemp(join(tmpdir(), 'bispik-ext-'));
      for (const file of ['config.json', 'pytorch_model.bin']) await cp(join(source, file), join(folder, file));
      expect((await readTeacherFolder(folder)).weights.sha256).to.equal((await readTeacherFolder(source)).weights.sha256);
      await rm(folder, { recursive: true });
    });
  }

  it('reads or refuses every real-world pickle, never with a bug', async () => {
    const files = (await readdir(join(SHARED, 'pickles'), { recursive: true })).filter((file) => /\.(?:pt|pth|npz)$/.test(file));
    for (const file of files) {
      const tensors = await openTorchFile(join(SHARED, 'pickles', file)).catch(refusalOf);
      if (typeof tensors === 'string') continue;
      for (const entry of tensors.values()) await entry.readFloat32().catch(refusalOf);
    }
    expect(files.length).to.be.greaterThan(50);
  });
});

async function meet(bad: string, path: string): Promise<{ outcome: 'read' | 'refused'; message: string }> {
  try {
    if (path.startsWith('models/')) return { outcome: 'read', message: (await readTeacherFolder(join(bad, path))).notices.join() };
    const tensors = await (path.startsWith('torch/') ? openTorchFile : openSafetensors)(join(bad, path));
    for (const entry of tensors.values()) await entry.readFloat32();
    return { outcome: 'read', message: '' };
  } catch (error) {
    return { outcome: 'refused', message: refusalOf(error) };
  }
}

/** The message of one of our own errors; anything else is a bug and fails the test. */
function refusalOf(error: unknown): string {
  if (!(error instanceof BispikError)) throw error;
  return error.message;
}

async function bitsOf(tensors: TensorMap, name: string): Promise<Uint8Array> {
  return new Uint8Array((await tensors.get(name)!.readFloat32()).buffer);
}
