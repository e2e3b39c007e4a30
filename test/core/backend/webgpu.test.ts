import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { expect } from 'chai';

import { probeBackends } from '../../../src/core/backend/select.js';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../../..');

/** Runs a small module in a process of its own; the source may import from the project as `#src/…`. */
async function runModule(source: string, env: Record<string, string> = {}): Promise<{ stdout: string; stderr: string }> {
  const resolved = source.replaceAll('#src/', `${new URL('../../../src/', import.meta.url).href}`);
  return run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', resolved], { cwd: ROOT, timeout: 60_000, env: { ...process.env, ...env } });
}

const START = `
  import { startWebGpu } from '#src/core/backend/webgpu.ts';
  import * as tf from '@tensorflow/tfjs-core';
`;

describe('WebGPU backend', function () {
  this.timeout(60_000);

  before(async function () {
    const probe = (await probeBackends()).find(({ name }) => name === 'webgpu');
    if (probe?.available === true) return;
    console.log(`      skipped: ${probe?.reason ?? 'no probe'}`);
    this.skip();
  });

  it('computes, says on what, and lets the process end by itself with work still queued', async () => {
    const { stdout } = await runModule(`${START}
      const { device, capabilities } = await startWebGpu({ allowSoftware: true });
      const y = tf.matMul(tf.ones([64, 32]), tf.fill([32, 8], 0.5));
      console.log(JSON.stringify({ device, capabilities, value: (await y.data())[511] }));
      tf.matMul(tf.ones([256, 256]), tf.ones([256, 256]));
    `);
    const { device, capabilities, value } = JSON.parse(stdout) as { device: string; capabilities: { software: boolean; synchronousRead: boolean }; value: number };
    expect(value).to.equal(16);
    expect(device).to.not.equal('');
    expect(capabilities.synchronousRead).to.equal(false);
    if (capabilities.software) expect(device).to.contain('(software adapter)');
  });

  it('process.exit in the middle of work keeps its exit code', async () => {
    const error = await runModule(`${START}
      await startWebGpu({ allowSoftware: true });
      tf.matMul(tf.ones([512, 512]), tf.ones([512, 512]));
      process.exit(5);
    `).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('code', 5);
  });

  it('a software adapter is refused where it is not allowed, with what to type', async () => {
    const { stdout } = await runModule(`${START}
      const { capabilities } = await startWebGpu({ allowSoftware: true });
      const error = await startWebGpu({ allowSoftware: false }).then(() => null, (e) => e);
      console.log(JSON.stringify({ software: capabilities.software, refused: error === null ? null : [error.name, error.exitCode] }));
    `);
    const { software, refused } = JSON.parse(stdout) as { software: boolean; refused: unknown };
    expect(refused).to.deep.equal(software ? ['BackendError', 6] : null);
  });
});

describe('WebGPU backend without an adapter', function () {
  this.timeout(60_000);

  it('says what is missing instead of crashing', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'bispik-'));
    const hidden = { VK_DRIVER_FILES: path.join(folder, 'none.json'), VK_ICD_FILENAMES: path.join(folder, 'none.json') };
    try {
      const { stdout } = await runModule(`${START}
        const error = await startWebGpu({ allowSoftware: true }).then(() => null, (e) => e);
        console.log(JSON.stringify(error === null ? null : [error.name, error.exitCode, error.message, error.suggestions]));
      `, hidden);
      const result = JSON.parse(stdout) as [string, number, string, string[]] | null;
      if (result === null) return; // a system whose adapter is not found through Vulkan
      expect(result.slice(0, 2)).to.deep.equal(['BackendError', 6]);
      expect(result[2]).to.contain('no WebGPU adapter');
      expect(result[3]).to.include('--backend wasm');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
