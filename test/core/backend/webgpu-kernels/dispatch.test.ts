import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { GpuKernel } from '../../../../src/core/backend/webgpu-kernels/dispatch.js';
import { createDispatcher, spreadGroups } from '../../../../src/core/backend/webgpu-kernels/dispatch.js';
import type { GpuBackend } from '../../../../src/core/backend/webgpu-kernels/gpu.js';
import { ShapeError } from '../../../../src/core/errors.js';
import { describeOnWebGpu } from '../../../support/backends.js';

/** Quotient and remainder of whole numbers by a uniform, plus another: two outputs of two types. */
const DIVIDE: GpuKernel = {
  name: 'Divide',
  tensors: [['x', 'read', 'i32'], ['quotient', 'read_write', 'i32'], ['rest', 'read_write', 'f32']],
  uniforms: [['count', 'u32'], ['divisor', 'i32'], ['shift', 'f32']],
  code: `@compute @workgroup_size(64) fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = (group.x + group.y * groups.x) * 64u + local;
    if (i >= uniforms.count) { return; }
    quotient[i] = x[i] / uniforms.divisor;
    rest[i] = f32(x[i] % uniforms.divisor) + uniforms.shift;
  }`,
};

describe('workgroups of one dimension spread over two', () => {
  for (const count of [1, 65_535, 65_536, 1_000_003]) {
    it(`${count}: enough, within the limit, fewer than a row too many`, () => {
      const [x, y, z] = spreadGroups(count);
      expect(z).to.equal(1);
      expect(Math.max(x, y)).to.be.at.most(65_535);
      expect(x * y).to.be.within(count, count + y);
    });
  }
});

describeOnWebGpu('kernels of ours between those of TensorFlow.js', () => {
  const gpu = (): ReturnType<typeof createDispatcher> => createDispatcher(tf.backend() as unknown as GpuBackend);

  it('several outputs, several types of uniforms, before and after kernels of theirs', async () => {
    const values = Int32Array.from({ length: 131 }, (_, i) => 7 * i + 3);
    const results: tf.Tensor[] = tf.tidy(() => {
      const { run, makeOutput } = gpu();
      const x = tf.add(tf.tensor1d(values, 'int32'), tf.scalar(1, 'int32'));
      const [quotient, rest] = [makeOutput([131], 'int32'), makeOutput([131])];
      run(DIVIDE, { tensors: [x, quotient, rest], uniforms: [131, 5, 0.5], workgroups: spreadGroups(3) });
      const made = [quotient, rest].map((info) => tf.engine().makeTensorFromTensorInfo(info));
      return [made[0] as tf.Tensor, tf.mul(made[1] as tf.Tensor, 2)];
    });
    expect(Array.from(await results[0]!.data())).to.deep.equal(Array.from(values, (value) => Math.floor((value + 1) / 5)));
    expect(Array.from(await results[1]!.data())).to.deep.equal(Array.from(values, (value) => 2 * (((value + 1) % 5) + 0.5)));
    tf.dispose(results);
  });

  it('a wrong number of tensors or uniforms is an error, not a wrong result', () => {
    const { run, makeOutput } = gpu();
    const only = makeOutput([1], 'int32');
    expect(() => { run(DIVIDE, { tensors: [only], uniforms: [1, 1, 0], workgroups: [1, 1, 1] }); }).to.throw(ShapeError, /Divide: 1 tensors and 3 uniforms, expected 3 and 3/);
    tf.engine().makeTensorFromTensorInfo(only).dispose();
  });
});
