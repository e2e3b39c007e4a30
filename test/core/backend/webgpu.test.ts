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

  // In processes of their own: after the first error nothing more can be read from a device.
  const READ = `
    const read = async (tensor) => tensor.data().then((values) => Array.from(values), (e) => ({ name: e.name, exitCode: e.exitCode, message: e.message, suggestions: e.suggestions }));
    await startWebGpu({ allowSoftware: true });
  `;

  it('a kernel that does not compile fails the next read and every later one, by name and with the message of the compiler', async () => {
    const { stdout, stderr } = await runModule(`${START}
      import { createDispatcher } from '#src/core/backend/webgpu-kernels/dispatch.ts';
      ${READ}
      const { run, makeOutput } = createDispatcher(tf.backend());
      const before = await read(tf.add(tf.tensor1d([1, 2]), 1));
      const y = makeOutput([1]);
      const code = '@compute @workgroup_size(1) fn main() { y[0] = missing; }';
      run({ name: 'Unfinished', tensors: [['y', 'read_write', 'f32']], uniforms: [], code }, { tensors: [y], uniforms: [], workgroups: [1, 1, 1] });
      const failed = await read(tf.engine().makeTensorFromTensorInfo(y));
      const later = await read(tf.add(tf.tensor1d([1, 2]), 1));
      console.log(JSON.stringify({ before, failed, later }));
    `);
    const { before, failed, later } = JSON.parse(stdout) as Record<'failed' | 'later', { name: string; exitCode: number; message: string }> & { before: number[] };
    expect(before).to.deep.equal([2, 3]);
    expect(failed).to.include({ name: 'BackendError', exitCode: 6 });
    expect(failed.message).to.match(/^the WebGPU kernel Unfinished does not compile on this device: .*unresolved value 'missing'/s);
    expect(later).to.deep.equal(failed);
    expect(stderr).to.equal('');
  });

  it('an error of a kernel of TensorFlow.js fails the next read, too', async () => {
    const { stdout } = await runModule(`${START}${READ}
      const { device } = tf.backend();
      device.createShaderModule({ label: 'TheirProgram', code: 'fn main( {' });
      console.log(JSON.stringify(await read(tf.add(tf.tensor1d([1, 2]), 1))));
    `);
    const failed = JSON.parse(stdout) as { name: string; message: string };
    expect(failed.name).to.equal('BackendError');
    expect(failed.message).to.match(/^the WebGPU kernel TheirProgram failed: .*WGSL/s);
  });

  it('a tensor larger than the device allows is refused with its size and what to reduce; smaller ones still work', async () => {
    const { stdout } = await runModule(`${START}${READ}
      const most = tf.backend().device.limits.maxBufferSize;
      let refused = null;
      try { tf.tidy(() => { tf.add(tf.fill([most / 4 + 1], 1), 1); }); } catch (e) { refused = { name: e.name, exitCode: e.exitCode, message: e.message, suggestions: e.suggestions }; }
      console.log(JSON.stringify({ most, refused, after: await read(tf.add(tf.tensor1d([1, 2]), 1)) }));
    `);
    const { most, refused, after } = JSON.parse(stdout) as { most: number; refused: { name: string; message: string; suggestions: string[] }; after: number[] };
    expect(refused).to.include({ name: 'BackendError', exitCode: 6, message: `a tensor of ${most + 4} bytes was asked for; this device allows ${most} in one buffer` });
    expect(refused.suggestions.join()).to.include('train.batch').and.include('train.accumulate').and.include('train.context');
    expect(after).to.deep.equal([2, 3]);
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
