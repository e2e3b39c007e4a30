import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import type { AlignedSizes, CountedRuns } from '../../bench/support/counted-dispatcher.js';
import { absentTensor, alignedLayer, countRuns } from '../../bench/support/counted-dispatcher.js';
import type { Fusion } from '../../bench/support/unfused-traffic.js';
import { compareTraffic, countDispatches } from '../../bench/support/unfused-traffic.js';
import { attentionKernels } from '../../src/core/backend/webgpu-kernels/attention.js';
import { alignedAttention } from '../../src/core/ops/attention-alignment.js';
import type { LifNeuron } from '../../src/core/ops/lif.js';
import { streamedAttention } from '../../src/core/ops/softmax-attention.js';
import { describeOnWebGpu } from '../support/backends.js';
import { numbers } from '../support/kernel-cases.js';

const ATTENTION: Fusion = {
  kernels: ['BispikTiledAttention', 'BispikTiledAttentionGrad', 'BispikAlignedAttention', 'BispikAlignedAttentionGrad', 'BispikStreamedAttention'], registerComposed: () => undefined,
};
const PAPER: LifNeuron = { timeSteps: 4, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true };
const MAP = ({ B, L, H }: AlignedSizes): number => 4 * B * H * L * L;

/** Teacher's attention, aligned attention and its backward pass, of one layer, by the kernels' own account. */
function countLayer(sizes: AlignedSizes): { teacher: CountedRuns; student: CountedRuns } {
  const { B, L, H, K } = sizes;
  const call = (gpu: Parameters<typeof attentionKernels>[0], kernelName: string, inputs: NamedTensorInfoMap, attrs: object): TensorInfo[] => {
    const kernel = attentionKernels(gpu).find((candidate) => candidate.kernelName === kernelName);
    return [kernel!.kernelFunc({ inputs, attrs: attrs as tf.NamedAttrMap, backend: {} })].flat();
  };
  const [rows, layer] = [absentTensor([B * L, H * K]), alignedLayer(sizes)];
  return {
    teacher: countRuns((gpu) => { call(gpu, 'BispikStreamedAttention', { query: rows, key: rows, value: rows }, { batch: B, length: L, heads: H }); }),
    student: countRuns((gpu) => { call(gpu, 'BispikAlignedAttentionGrad', layer.gradients(call(gpu, 'BispikAlignedAttention', layer.inputs, layer.attrs)), layer.attrs); }),
  };
}

/** The same on the device, through the operations; only what they launch. */
async function runLayer({ T, B, L, H, K }: AlignedSizes): Promise<void> {
  const random = numbers(L);
  const D = H * K;
  const neuron = { ...PAPER, timeSteps: T };
  const tensors = tf.tidy(() => {
    const [query, key, value] = [1, 2, 3].map(() => tf.tensor2d(random.floats(B * L * D), [B * L, D])) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
    const stream = { batch: B, length: L, heads: H };
    const context = streamedAttention({ query, key, value }, stream);
    const target = { teacher: { kind: 'stream', query, key, ...stream }, headMap: Array.from({ length: H }, (_, h) => h), gamma: 0.5, form: 'raw' } as const;
    const inputs = [tf.tensor4d(random.spikes(T * B * L * 3 * D, 0.2), [T, B, L, 3 * D]), tf.ones([H]), tf.zeros([H, L])];
    const loss = (...xs: tf.Tensor[]): tf.Scalar => alignedAttention({ qkv: xs[0] as tf.Tensor4D, gain: xs[1] as tf.Tensor1D, distanceBias: xs[2] as tf.Tensor2D, heads: H }, neuron, target).loss;
    return [context, ...tf.grads(loss)(inputs)];
  });
  await Promise.all(tensors.map((tensor) => tensor.data()));
  tf.dispose(tensors);
}

describeOnWebGpu('traffic of attention by tiles and of its composed form', () => {
  it('teacher, attention, alignment and their gradients move at most a fifth of what the composed forms move', async () => {
    const sizes = { T: 2, B: 1, L: 64, H: 2, K: 8 };
    const { own, composed } = await compareTraffic([ATTENTION], () => runLayer(sizes));
    console.log(`      ${own.dispatches} dispatches and ${own.bytesMoved} bytes against ${composed.dispatches} and ${composed.bytesMoved}: 1/${(composed.bytesMoved / own.bytesMoved).toFixed(1)}`);
    expect(own.bytesMoved).to.be.below(composed.bytesMoved / 5);
    // What the kernels say of themselves is what the device was asked for; beside them the unused gradients are filled with zeros.
    const { teacher, student } = countLayer(sizes);
    expect(own.bytesMoved).to.be.within(teacher.bytesMoved + student.bytesMoved, 1.3 * (teacher.bytesMoved + student.bytesMoved));
  });

  it('the count of a kernel is the count of the device', async () => {
    const { T, B, L, H, K } = { T: 2, B: 1, L: 64, H: 2, K: 8 };
    const { inputs, attrs } = alignedLayer({ T, B, L, H, K });
    const tensors = Object.fromEntries(Object.entries(inputs).map(([name, info]) => [name, tf.ones((info as TensorInfo).shape)]));
    const run = async (): Promise<void> => {
      const made = tf.engine().runKernel('BispikAlignedAttention', tensors, attrs as tf.NamedAttrMap) as unknown as tf.Tensor[];
      await made[2]!.data();
      tf.dispose(made);
    };
    await run();
    const counted = countRuns((gpu) => { attentionKernels(gpu).find(({ kernelName }) => kernelName === 'BispikAlignedAttention')!.kernelFunc({ inputs, attrs: attrs as tf.NamedAttrMap, backend: {} }); });
    const found = await countDispatches(run);
    expect(found.dispatches).to.equal(counted.dispatches);
    expect(found.bytesMoved).to.equal(counted.bytesMoved);
    tf.dispose(tensors);
  });
});

describe('memory of attention by tiles, counted', () => {
  it('125M at T = 4, L = 2048, B = 8: no tensor of the size of a map is made, and what is made grows with L, not L²', () => {
    const sizes = { T: 4, B: 8, L: 2048, H: 12, K: 64 };
    const long = countLayer(sizes).student;
    expect(MAP(sizes)).to.be.above(1.6e9);
    // The largest is the gradient of qkv (T, B, L, 3D), which the matrix product before it needs.
    expect(long.largestBytes).to.equal(4 * 4 * 8 * 2048 * 3 * 768);
    const short = countLayer({ ...sizes, L: 1024 }).student;
    const partials = (L: number): number => 4 * 8 * 12 * Math.ceil(L / 32) * L; // distances of every block of queries, until they are summed
    expect(long.peakBytes - partials(2048)).to.be.below(2.01 * (short.peakBytes - partials(1024)));
    console.log(`      peak ${(long.peakBytes / 1e6).toFixed(1)} MB a layer, forward to backward; one map ${(MAP(sizes) / 1e6).toFixed(0)} MB, with the membranes of ${sizes.T} steps ${(5 * MAP(sizes) / 1e6).toFixed(0)} MB`);
  });

  it('125M at T = 4, L = 1024, B = 8: bytes moved by a layer', () => {
    const sizes = { T: 4, B: 8, L: 1024, H: 12, K: 64 };
    const { teacher, student } = countLayer(sizes);
    // Less than reading or writing the membranes' maps (T, B, H, L, L) twice.
    expect(teacher.bytesMoved + student.bytesMoved).to.be.below(2 * sizes.T * MAP(sizes));
    console.log(`      teacher ${(teacher.bytesMoved / 1e6).toFixed(1)} MB in ${teacher.dispatches} dispatches, student ${(student.bytesMoved / 1e6).toFixed(1)} MB in ${student.dispatches}; peak ${(student.peakBytes / 1e6).toFixed(1)} MB`);
  });
});
