import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';

import { findPythonWithTorch } from '../../bench/support/python-peer.js';
import { probeBackends } from '../../src/core/backend/select.js';
import { packageRoot } from '../../src/core/config/shipped.js';

const TINY = '--hidden-size 16 --layers 1 --heads 2 --vocab-size 61 --context 13';
const TINY_TORCH = '--device cpu --d-model 16 --layers 1 --heads 2 --vocab 61 --context 13 --modes eager-float32,eager-bf16';

interface Results {
  readonly environment: { readonly name: string; readonly device: { readonly features: readonly string[] } };
  readonly checks: { readonly passes: number; readonly failures: number };
  readonly webgpu: { readonly students: readonly { readonly failed: string | null; readonly batches: readonly { readonly batch: number; readonly tokensPerSecond: number; readonly loss: number }[] }[] };
  readonly torch: { readonly students: readonly { readonly batches: readonly { readonly tokensPerSecond: number; readonly loss: number }[] }[] };
}

describe('scripts/gpu-bundle.mjs', () => {
  let folder: string;
  before(async function () {
    if (!(await probeBackends()).some(({ name, available }) => name === 'webgpu' && available)) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'bispik-bundle-'));
  });
  after(() => { if (folder !== undefined) rmSync(folder, { recursive: true }); });

  it('checks and measures in a folder of its own, with an empty environment', function () {
    this.timeout(600_000);
    const python = findPythonWithTorch();
    const packed = spawnSync(process.execPath, ['scripts/gpu-bundle.mjs', '--fast', '--out', join(folder, 'made')], { cwd: packageRoot(), encoding: 'utf8' });
    expect(packed.status, packed.stderr).to.equal(0);
    expect(statSync(join(folder, 'made/bispik-gpu.tar.xz')).size).to.be.below(64 * 2 ** 20);
    cpSync(join(folder, 'made'), join(folder, 'carried'), { recursive: true });

    const results = join(folder, 'results');
    const parts = ['environment', 'checks', 'webgpu', ...(python === null ? [] : ['torch'])];
    const run = spawnSync('sh', [join(folder, 'carried/gpu-run.sh'), results, ...parts], {
      encoding: 'utf8',
      env: {
        PATH: '/usr/bin:/bin', BISPIK_UNPACKED: join(folder, 'unpacked'), CHECKS_FLAGS: '--only layer-norm-kernels --jobs 1', CHECKS_S: '200', WEBGPU_S: '200',
        WEBGPU_FLAGS: `${TINY} --time-steps 2 --batches 2,1 --recompute blocks --precision float32 --seconds-per-batch 0.1`,
        TORCH_FLAGS: `${TINY_TORCH} --time-steps 2 --batches 2,1 --seconds-per-batch 0.1`, PYTHON: python ?? '',
      },
    });
    const log = readFileSync(join(results, 'log.txt'), 'utf8');
    expect(run.status, `${run.stdout}${run.stderr}${log}`).to.equal(0);

    const read = <Part extends keyof Results>(part: Part): Results[Part] => JSON.parse(readFileSync(join(results, `${part}.json`), 'utf8')) as Results[Part];
    expect(read('environment').name).to.not.equal('');
    expect(read('checks').passes).to.be.above(0);
    expect(read('checks').failures).to.equal(0);
    const [student] = read('webgpu').students;
    expect(student!.failed).to.equal(null);
    expect(student!.batches.map(({ batch }) => batch)).to.deep.equal([2, 1]);
    for (const { tokensPerSecond, loss } of student!.batches) {
      expect(tokensPerSecond).to.be.above(0);
      expect(loss).to.be.within(0.1, 100);
    }
    const peers = python === null ? [] : read('torch').students.flatMap(({ batches }) => batches);
    expect(peers).to.have.length(python === null ? 0 : 4);
    for (const { loss } of peers) expect(loss).to.be.within(0.1, 100);
    const readme = readFileSync(join(results, 'README.md'), 'utf8');
    expect(readme).to.contain(`${read('checks').passes} passed, 0 failed`).and.contain('| paper, T 2, recompute blocks, float32 | 2 |');
  });
});
