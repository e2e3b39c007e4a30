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
      const flat = view(spikes, [timeSteps * rows, inputs]);
      const stored = hasKernel('BispikPackSpikes') ? output(runKernel('BispikPackSpikes', { s: flat }, {}), 0) : flat;
      save([stored, weight]);
      return view(forward(stored, weight, bias), [timeSteps, rows, outputs]);
    },
    backward: (dy, saved) => {
      const [ds, ...rest] = backward(view(dy, [timeSteps * rows, outputs]), output(saved, 0), output<tf.Rank.R2>(saved, 1));
      return [view(ds as tf.Tensor, spikes.shape), ...rest];
    },
  }) as tf.Tensor3D;
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
