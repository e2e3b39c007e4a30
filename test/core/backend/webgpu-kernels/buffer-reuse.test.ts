import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { freeUnusedMemory } from '../../../../src/core/backend/unused-memory.js';
import type { GpuBackend } from '../../../../src/core/backend/webgpu-kernels/gpu.js';
import { describeOnWebGpu } from '../../../support/backends.js';

const pool = (): GpuBackend['bufferManager'] => (tf.backend() as unknown as GpuBackend).bufferManager;
/** A size that no other test has [numbers]. */
const SIZE = 12_347;
const filled = (start: number): Float32Array => Float32Array.from({ length: SIZE }, (_, i) => start + (i % 1000));

describeOnWebGpu('buffers of disposed tensors', () => {
  it('are used again before the commands that read them are submitted: a chain of ten needs two', async () => {
    let x = tf.tensor1d(filled(1));
    const bias = tf.scalar(3);
    tf.add(x, bias).dispose(); // uploaded, and compiled
    freeUnusedMemory();
    const before = pool().numBytesAllocated;
    for (let i = 0; i < 10; i++) {
      const y = tf.add<tf.Tensor1D>(x, bias);
      x.dispose();
      x = y;
    }
    const grown = pool().numBytesAllocated - before;
    const values = await x.data();
    expect(Array.from(values)).to.deep.equal(Array.from(filled(31)));
    expect(grown).to.be.within(4 * SIZE, 4 * SIZE + 10_000); // one more tensor, and uniforms
    tf.dispose([x, bias]);
  });

  it('hold what was recorded until it is read, though another tensor is uploaded to the same buffer', async () => {
    const one = tf.scalar(1);
    const results: tf.Tensor[] = [];
    for (const start of [5, 700, 90_000]) {
      const x = tf.tensor1d(filled(start));
      results.push(tf.add(x, one));
      x.dispose();
    }
    const found = await Promise.all(results.map((result) => result.data()));
    expect(found.map((values) => [values[0], values[1], values[SIZE - 1]])).to.deep.equal([5, 700, 90_000].map((start) => [start + 1, start + 2, start + 347]));
    tf.dispose([one, ...results]);
  });

  it('are given back when they are asked for, with what is recorded and not yet submitted still computed', async () => {
    const [x, factor] = [tf.tensor1d(filled(0)), tf.scalar(2)];
    const y = tf.mul(x, factor);
    x.dispose();
    expect(pool().numBytesAllocated - pool().numBytesUsed).to.be.at.least(4 * SIZE);
    freeUnusedMemory();
    expect(pool().numBytesAllocated).to.equal(pool().numBytesUsed);
    const z = tf.add(y, y); // in new buffers
    expect((await z.data()).slice(0, 3)).to.deep.equal(Float32Array.of(0, 4, 8));
    tf.dispose([y, z, factor]);
  });
});
