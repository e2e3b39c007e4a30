import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { startTensorflow } from '../../../src/core/backend/tensorflow.js';
import { BackendError } from '../../../src/core/errors.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

/** Puts a stand-in package into `folder` and says where to search for it. */
async function install(folder: string, name: string, source: string): Promise<string[]> {
  const target = path.join(folder, 'node_modules', name);
  await mkdir(target, { recursive: true });
  await writeFile(path.join(target, 'package.json'), JSON.stringify({ name, version: '4.22.0', main: 'index.js' }));
  await writeFile(path.join(target, 'index.js'), source);
  return [path.join(folder, 'package.json')];
}

/** Brings the backend "tensorflow" as the real packages do, computing with the JavaScript kernels. */
const WORKING = (() => {
  const require = createRequire(import.meta.url);
  return `
    const tf = require(${JSON.stringify(require.resolve('@tensorflow/tfjs-core'))});
    const { MathBackendCPU } = require(${JSON.stringify(require.resolve('@tensorflow/tfjs-backend-cpu'))});
    tf.registerBackend('tensorflow', () => new MathBackendCPU());
    tf.copyRegisteredKernels('cpu', 'tensorflow');`;
})();

describe('native TensorFlow backend', () => {
  afterEach(() => {
    if (tf.findBackendFactory('tensorflow') != null) tf.removeBackend('tensorflow');
    for (const { kernelName } of tf.getKernelsForBackend('tensorflow')) tf.unregisterKernel(kernelName, 'tensorflow');
  });

  it('not installed: names both packages and what to type', () => withTempFolder(async (folder) => {
    const error = await rejection(startTensorflow([path.join(folder, 'package.json')]), BackendError);
    expect(error.message).to.equal('neither @tensorflow/tfjs-node-gpu nor @tensorflow/tfjs-node is installed');
    expect(error.suggestions).to.deep.equal(['npm install @tensorflow/tfjs-node']);
    expect(error.exitCode).to.equal(6);
  }));

  it('installed and working: started, computing, named', () => withTempFolder(async (folder) => {
    const started = await startTensorflow(await install(folder, '@tensorflow/tfjs-node', WORKING));
    expect(started.device).to.equal('TensorFlow by @tensorflow/tfjs-node');
    expect(tf.getBackend()).to.equal('tensorflow');
    expect(tf.tidy(() => tf.sum(tf.tensor1d([1, 2, 4])).dataSync()[0])).to.equal(7);
    await tf.setBackend('cpu');
  }));

  it('prefers the GPU package, and falls back to the other when it does not load', () => withTempFolder(async (folder) => {
    await install(folder, '@tensorflow/tfjs-node-gpu', 'throw new Error("no CUDA")');
    const started = await startTensorflow(await install(folder, '@tensorflow/tfjs-node', WORKING));
    expect(started.device).to.equal('TensorFlow by @tensorflow/tfjs-node');
    await tf.setBackend('cpu');
  }));

  it('the GPU package without a CUDA that it knows: an error with what it needs, not silently the CPU', () => withTempFolder(async (folder) => {
    const withoutGpu = WORKING.replace('new MathBackendCPU()', 'Object.assign(new MathBackendCPU(), { isGPUPackage: true, isUsingGpuDevice: false })');
    const search = await install(folder, '@tensorflow/tfjs-node-gpu', withoutGpu);
    const error = await rejection(startTensorflow(search), BackendError);
    expect(error.message).to.contain('@tensorflow/tfjs-node-gpu is installed but found no GPU').and.to.contain('CUDA 11.2 and cuDNN 8.1');
    expect(error.suggestions).to.include('--backend webgpu (needs no CUDA)');
    expect(tf.findBackendFactory('tensorflow')).to.equal(null);
    // Beside it the CPU package is asked for its own sake, and says so.
    const started = await startTensorflow(await install(folder, '@tensorflow/tfjs-node', WORKING));
    expect(started.device).to.equal('TensorFlow by @tensorflow/tfjs-node');
    await tf.setBackend('cpu');
  }));

  it('the GPU package on a GPU', () => withTempFolder(async (folder) => {
    const withGpu = WORKING.replace('new MathBackendCPU()', 'Object.assign(new MathBackendCPU(), { isGPUPackage: true, isUsingGpuDevice: true })');
    expect((await startTensorflow(await install(folder, '@tensorflow/tfjs-node-gpu', withGpu))).device).to.equal('TensorFlow by @tensorflow/tfjs-node-gpu');
    await tf.setBackend('cpu');
  }));

  const broken = [
    ['made for another Node.js', 'throw new Error("was compiled against a different Node.js version using NODE_MODULE_VERSION 93")', 'another version of Node.js', 'npm rebuild @tensorflow/tfjs-node'],
    ['native binary missing', 'throw new Error("The Node.js native addon module (tfjs_binding.node) can not be found at path: /nowhere")', 'native library is missing', 'npm rebuild @tensorflow/tfjs-node --build-addon-from-source'],
    ['shared library missing', 'throw new Error("libtensorflow.so.2: cannot open shared object file")', 'native library is missing', 'npm rebuild @tensorflow/tfjs-node --build-addon-from-source'],
    ['another copy of the core', '', 'another copy of @tensorflow/tfjs-core', 'npm install @tensorflow/tfjs-node'],
    ['anything else', 'throw new Error("boom\\nsecond line")', 'does not load: boom', 'npm install @tensorflow/tfjs-node'],
  ] as const;
  for (const [title, source, message, suggestion] of broken) {
    it(`installed but broken, ${title}: says so and what to type`, () => withTempFolder(async (folder) => {
      const error = await rejection(startTensorflow(await install(folder, '@tensorflow/tfjs-node', source)), BackendError);
      expect(error.message).to.contain('@tensorflow/tfjs-node is installed but').and.to.contain(message);
      expect(error.message).not.to.contain('second line');
      expect(error.suggestions[0]).to.equal(suggestion);
    }));
  }
});
