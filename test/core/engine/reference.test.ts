import { expect } from 'chai';

import type { EngineKernels } from '../../../src/core/engine/kernels.js';
import { KERNEL_NAMES } from '../../../src/core/engine/kernels.js';
import { referenceKernels } from '../../../src/core/engine/reference.js';
import { countBits, firedChannels, hasFired, viewMemory } from '../../../src/core/engine/reference-memory.js';
import { packSpikes, referenceArena, unpackSpikes } from '../../support/kernel-memory.js';

describe('engine reference kernels', () => {
  it('are the kernels of the interface, by name', () => {
    const kernels = referenceKernels({ buffer: new ArrayBuffer(64) });
    expect(Object.keys(kernels)).to.have.members([...KERNEL_NAMES]);
    expect(KERNEL_NAMES).to.include.members(['addRowsInt8', 'fireFloat', 'attend', 'headFloat', 'attendScratchBytes']);
  });

  it('need no scratch', () => {
    const kernels = referenceKernels({ buffer: new ArrayBuffer(64) });
    expect([kernels.addRowsScratchBytes(5, 13), kernels.attendScratchBytes(4, 80, 3)]).to.deep.equal([0, 0]);
  });

  it('follow a memory whose buffer is replaced as it grows', () => {
    const memory: { buffer: ArrayBuffer } = { buffer: new ArrayBuffer(1024) };
    const kernels: EngineKernels = referenceKernels(memory);
    new Float32Array(memory.buffer, 0, 64).fill(2);
    new Float32Array(memory.buffer, 256, 64).fill(1);
    kernels.addCurrentFloat(0, 256, 64, 0, 64, 1);
    const old = memory.buffer;
    memory.buffer = new ArrayBuffer(4096);
    new Uint8Array(memory.buffer).set(new Uint8Array(old));
    kernels.addCurrentFloat(0, 256, 64, 0, 64, 1);
    expect(new Float32Array(memory.buffer, 256, 64)).to.deep.equal(new Float32Array(64).fill(5));
    expect(new Float32Array(old, 256, 64)).to.deep.equal(new Float32Array(64).fill(3));
  });
});

describe('engine spike words', () => {
  it('hold channel c in bit c & 63 of word c >> 6, little-endian', () => {
    const bytes = packSpikes([[0, 9, 63, 64, 127], [70]], 2);
    expect([...bytes]).to.deep.equal([1, 2, 0, 0, 0, 0, 0, 128, 1, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]);
    expect(unpackSpikes(bytes, 2)).to.deep.equal([[0, 9, 63, 64, 127], [70]]);
  });

  it('are listed and tested in ascending order of channels', () => {
    const { arena } = referenceArena(1024);
    const bits = arena.place(packSpikes([[], [1, 31, 32, 63, 64, 126]], 2), 'bits');
    const memory = viewMemory(arena.memory.buffer);
    expect(firedChannels(memory, bits, 2)).to.deep.equal([]);
    expect(firedChannels(memory, bits + 16, 2)).to.deep.equal([1, 31, 32, 63, 64, 126]);
    expect([0, 31, 63, 64, 65].map((c) => hasFired(memory, bits + 16, c))).to.deep.equal([false, true, true, true, false]);
  });

  it('are counted 32 bits at a time', () => {
    expect([0, 1, 0x80000000, 0xffffffff, 0x0f0f0001].map(countBits)).to.deep.equal([0, 1, 1, 32, 9]);
  });
});
