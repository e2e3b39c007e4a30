import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, hasKernel, output, runKernel, view } from './kernels.js';
import type { SpikeTensor } from './lif.js';

/**
 * Synaptic current of binary inputs: y = s·W + b. A backend with an event-driven kernel only touches the rows of W whose
 * neuron fired, forward and in the weight gradient. Where spikes can be packed, 32 in a word, the bits are all that is kept for the
 * backward pass.
 * @param spikes (T, N, C) with values in {0,1}. @param weight (C, M). @param bias (M).
 * @returns (T, N, M); differentiable in all three.
 */
export function spikeLinear(spikes: SpikeTensor<tf.Rank.R3>, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor3D {
  const [timeSteps, rows, inputs] = spikes.shape;
  const outputs = weight.shape[1];
  return applyCustomOp({
    inputs: [spikes, weight, bias],
    forward: (save) => {
      const stored = packed(view(spikes, [timeSteps * rows, inputs]));
      save([stored, weight]);
      return view(forward(stored, weight, bias), [timeSteps, rows, outputs]);
    },
    backward: (dy, saved) => {
      const [ds, ...rest] = backward(view(dy, [timeSteps * rows, outputs]), output(saved, 0), output<tf.Rank.R2>(saved, 1));
      return [view(ds as tf.Tensor, spikes.shape), ...rest];
    },
  }) as tf.Tensor3D;
}

/** Spikes (T, N, C) as products with them take them: in bits where the backend can pack them. */
export interface StoredSpikes {
  readonly shape: readonly [timeSteps: number, rows: number, inputs: number];
  /** (T·N, C), or (T·N, ⌈C / 32⌉) words. */ readonly values: tf.Tensor;
}

/** Spikes stored for many products; `values` are the caller's. */
export function storeSpikes(spikes: SpikeTensor<tf.Rank.R3>): StoredSpikes {
  const [timeSteps, rows, inputs] = spikes.shape;
  return { shape: spikes.shape, values: packed(view(spikes, [timeSteps * rows, inputs])) };
}

/** `spikeLinear` of stored spikes, to the bit; not differentiable. @returns (T, N, M). */
export function storedLinear({ shape: [timeSteps, rows], values }: StoredSpikes, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor3D {
  return tf.tidy(() => view<tf.Rank.R3>(forward(values, weight, bias), [timeSteps, rows, weight.shape[1]]));
}

/** @param flat (T·N, C). */
function packed(flat: tf.Tensor): tf.Tensor {
  return hasKernel('BispikPackSpikes') ? output(runKernel('BispikPackSpikes', { s: flat }, {}), 0) : flat;
}

/** @param s as the backend's kernels take spikes: packed where it can pack them. */
function forward(s: tf.Tensor, w: tf.Tensor2D, b: tf.Tensor): tf.Tensor {
  if (hasKernel('BispikSpikeMatMul')) return output(runKernel('BispikSpikeMatMul', { s, w, b }, { inputs: w.shape[0] }), 0);
  return tf.add(tf.matMul(s as tf.Tensor2D, w), b);
}

function backward(dy: tf.Tensor, s: tf.Tensor, w: tf.Tensor2D): tf.Tensor[] {
  const ds = tf.matMul(dy as tf.Tensor2D, w, false, true);
  if (hasKernel('BispikSpikeMatMulGradW')) return [ds, ...runKernel('BispikSpikeMatMulGradW', { s, dy }, { inputs: w.shape[0] })];
  return [ds, tf.matMul(s as tf.Tensor2D, dy as tf.Tensor2D, true, false), tf.sum(dy, 0)];
}
