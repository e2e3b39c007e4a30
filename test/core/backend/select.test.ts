import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { StartedBackend } from '../../../src/core/backend/started.js';
import { BACKENDS, isBackendName, probeBackends, selectBackend } from '../../../src/core/backend/select.js';
import { startWasm } from '../../../src/core/backend/wasm.js';
import { BackendError } from '../../../src/core/errors.js';
import { rejection } from '../../support/rejection.js';

const started = (device: string, software = false): StartedBackend =>
  ({ device, capabilities: { spikingKernels: false, synchronousRead: true, software } });

/** Starters of which the named ones work and the others say why not. */
function starters(...working: string[]) {
  const starter = (name: string) => async (): Promise<StartedBackend> => {
    if (!working.includes(name)) throw new BackendError(`${name} is not here`, { suggestions: [`install ${name}`] });
    return started(`a ${name} device`);
  };
  return { webgpu: starter('webgpu'), tensorflow: starter('tensorflow'), wasm: starter('wasm'), cpu: starter('cpu') };
}

describe('backend selection', () => {
  it('auto takes the first that works and says why it passed over the others', async () => {
    const choice = await selectBackend('auto', starters('wasm', 'cpu'));
    expect(choice).to.include({ name: 'wasm', device: 'a wasm device' });
    expect(choice.reason).to.equal('chosen by auto; not webgpu: webgpu is not here; not tensorflow: tensorflow is not here');
    expect((await selectBackend('auto', starters(...BACKENDS))).name).to.equal('webgpu');
    expect((await selectBackend('auto', starters('tensorflow', 'cpu'))).name).to.equal('tensorflow');
  });

  it('auto with nothing at all is an error that lists every reason', async () => {
    const error = await rejection(selectBackend('auto', starters()), BackendError);
    for (const name of BACKENDS) expect(error.message).to.contain(`${name} is not here`);
    expect(error.exitCode).to.equal(6);
  });

  it('auto does not hide a bug', async () => {
    const broken = { ...starters('cpu'), wasm: () => Promise.reject(new TypeError('a bug')) };
    const error: unknown = await selectBackend('auto', broken).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(TypeError).with.property('message', 'a bug');
  });

  it('a named backend that does not work names those that do, and what to type', async () => {
    const error = await rejection(selectBackend('tensorflow', starters('wasm', 'cpu')), BackendError);
    expect(error.message).to.equal('the tensorflow backend does not work here: tensorflow is not here; wasm, cpu do');
    expect(error.suggestions).to.deep.equal(['install tensorflow', '--backend wasm', '--backend cpu']);
    expect(error.exitCode).to.equal(6);
  });

  it('an unknown name lists the known ones', async () => {
    const error = await rejection(selectBackend('cuda'), BackendError);
    expect(error.message).to.contain('"cuda"').and.to.contain('webgpu, tensorflow, wasm, cpu');
    expect(isBackendName('cuda')).to.equal(false);
  });

  it('doctor has one line per backend and leaves the active one alone', async () => {
    await startWasm();
    const probes = await probeBackends(starters('cpu'));
    expect(probes.map(({ name, available, reason }) => [name, available, reason])).to.deep.equal([
      ['webgpu', false, 'webgpu is not here'], ['tensorflow', false, 'tensorflow is not here'], ['wasm', false, 'wasm is not here'], ['cpu', true, 'works'],
    ]);
    expect(tf.getBackend()).to.equal('wasm');
  });

  it('says that a software adapter is one', async () => {
    const software = { ...starters('cpu'), webgpu: () => Promise.resolve(started('SwiftShader', true)) };
    expect((await probeBackends(software))[0]?.reason).to.contain('emulated');
    expect((await selectBackend('webgpu', software)).reason).to.contain('emulated');
  });

  it('wasm and cpu work everywhere and name their device', async () => {
    const wasm = await selectBackend('wasm');
    expect(wasm.device).to.contain('WebAssembly SIMD');
    expect(wasm.capabilities).to.deep.equal({ spikingKernels: true, synchronousRead: true, software: false });
    expect(tf.getKernel('BispikLif', 'wasm')).to.not.equal(undefined);
    expect((await selectBackend('cpu')).capabilities.spikingKernels).to.equal(false);
    expect(tf.getBackend()).to.equal('cpu');
  });
});
