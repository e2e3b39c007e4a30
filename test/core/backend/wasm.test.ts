import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { WasmBackend } from '../../../src/core/backend/wasm-kernels/heap.js';
import { openKernelHeap } from '../../../src/core/backend/wasm-kernels/heap.js';
import { KERNEL_EXPORTS } from '../../../src/core/backend/wasm-kernels/instantiate.js';
import { startWasm } from '../../../src/core/backend/wasm.js';
import { BackendError } from '../../../src/core/errors.js';
import { rejection } from '../../support/rejection.js';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const BINARY = path.join(ROOT, 'dist', 'kernels', 'training.wasm');
/** A WebAssembly module with nothing in it. */
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

describe('WebAssembly backend', () => {
  before(startWasm);

  const backend = (): WasmBackend => tf.backend() as unknown as WasmBackend;

  it('refuses a backend whose memory cannot be reached', async () => {
    const closed = { ...backend(), wasm: { ...backend().wasm, asm: {} } };
    const error = await rejection(openKernelHeap(closed, EMPTY_MODULE), BackendError);
    expect(error.message).to.contain('does not expose its memory');
    expect(error.suggestions).to.include('--backend cpu');
    expect(error.exitCode).to.equal(6);
  });

  it('refuses kernels that are older than the code, by name', async () => {
    const error = await rejection(openKernelHeap(backend(), EMPTY_MODULE), BackendError);
    expect(error.message).to.contain('the compiled wasm kernels lack gemm, gemmScratchBytes');
    expect(error.suggestions).to.deep.equal(['npm run build:kernels']);
  });

  it('refuses a file that is no WebAssembly', async () => {
    const error = await rejection(openKernelHeap(backend(), Uint8Array.of(1, 2, 3)), BackendError);
    expect(error.message).to.contain('cannot be loaded');
    expect(error.suggestions).to.deep.equal(['npm run build:kernels']);
  });

  it('scratch memory is freed when a kernel throws', async () => {
    const freed: number[] = [];
    const { wasm } = backend();
    const watched = { ...backend(), wasm: { asm: wasm.asm, _malloc: () => 4096, _free: (address: number) => { freed.push(address); } } } as WasmBackend;
    const heap = await openKernelHeap(watched, await readFile(BINARY));
    expect(() => heap.withScratch(8, () => { throw new RangeError('stop'); })).to.throw(RangeError);
    expect(freed).to.deep.equal([4096]);
  });

  it('says so when there is no memory left', async () => {
    const { wasm } = backend();
    const full = { ...backend(), wasm: { asm: wasm.asm, _malloc: () => 0, _free: () => undefined } } as WasmBackend;
    const heap = await openKernelHeap(full, await readFile(BINARY));
    expect(() => heap.withScratch(1e9, () => undefined)).to.throw('1000000000 bytes').with.property('exitCode', 6);
  });

  it('leaves the handling of fatal errors to the program', () => {
    const sources = ['uncaughtException', 'unhandledRejection'].flatMap((event) => process.listeners(event as 'uncaughtException').map(String));
    expect(sources.filter((source) => source.includes('ExitStatus'))).to.deep.equal([]);
  });

  it('starts in silence: this Node.js knows every flag that is set', async () => {
    const module = JSON.stringify(new URL('../../../dist/src/core/backend/wasm.js', import.meta.url).href);
    const script = `const { startWasm } = await import(${module}); console.log((await startWasm()).device)`;
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
    expect(stderr).to.equal('');
    expect(stdout).to.contain('WebAssembly SIMD');
  });

  it('the build is deterministic and skipped when nothing has changed', async function () {
    this.timeout(60_000);
    const run = promisify(execFile);
    const script = path.join(ROOT, 'scripts', 'build-kernels.mjs');
    const fused = BINARY.replace('training', 'training-fused');
    const before = [await readFile(BINARY), await readFile(fused)];
    expect((await run(process.execPath, [script])).stderr).to.equal('kernels: up to date\n');
    await run(process.execPath, [script, '--force']);
    expect(before).to.deep.equal([await readFile(BINARY), await readFile(fused)]);
    expect(KERNEL_EXPORTS.length).to.be.greaterThan(20);
  });
});
