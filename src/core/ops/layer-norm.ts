import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, hasKernel, output, runKernel, view } from './kernels.js';

/**
 * Layer normalisation over the last axis with biased variance: (x − mean)/√(var + ε)·weight + bias (Ba et al., 2016).
 * @param x (…, D). @param weight (D). @param bias (D). @returns like x; differentiable in all three.
 */
export function layerNorm<X extends tf.Tensor>(x: X, affine: { weight: tf.Tensor1D; bias: tf.Tensor1D; epsilon: number }): X {
  const width = affine.weight.shape[0];
  const flatShape = [x.size / width, width];
  const attrs = { eps: affine.epsilon };
  return applyCustomOp({
    inputs: [x, affine.weight, affine.bias],
    forward: (save) => {
      const flat = view(x, flatShape);
      const [normalised, mean, rstd] = forward(flat, affine, attrs);
      save([flat, affine.weight, mean, rstd]);
      return view(normalised, x.shape);
    },
    backward: (dy, saved) => {
      const [dx, ...rest] = backward(view(dy, flatShape), saved, attrs);
      return [view(dx as tf.Tensor, x.shape), ...rest];
    },
  }) as X;
}

/** Layer normalisation without learned scale and shift. */
export function normalise<X extends tf.Tensor>(x: X, epsilon: number): X {
  const width = x.shape[x.rank - 1] ?? 1;
  return layerNorm(x, { weight: tf.ones([width]), bias: tf.zeros([width]), epsilon });
}

type Normalised = [tf.Tensor, tf.Tensor, tf.Tensor];

function forward(x: tf.Tensor, affine: { weight: tf.Tensor; bias: tf.Tensor }, attrs: { eps: number }): Normalised {
  if (hasKernel('BispikLayerNorm')) {
    const outputs = runKernel('BispikLayerNorm', { x, weight: affine.weight, bias: affine.bias }, attrs);
    return [output(outputs, 0), output(outputs, 1), output(outputs, 2)];
  }
  const mean = tf.mean(x, 1, true);
  const centred = tf.sub(x, mean);
  const rstd = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 1, true), attrs.eps));
  const y = tf.add(tf.mul(tf.mul(centred, rstd), affine.weight), affine.bias);
  return [y, tf.squeeze(mean, [1]), tf.squeeze(rstd, [1])];
}

function backward(dy: tf.Tensor, saved: readonly tf.Tensor[], attrs: { eps: number }): tf.Tensor[] {
  const [x, weight, mean, rstd] = [output(saved, 0), output(saved, 1), output(saved, 2), output(saved, 3)];
  if (hasKernel('BispikLayerNormGrad')) return runKernel('BispikLayerNormGrad', { dy, x, weight, mean, rstd }, attrs);
  const r = tf.expandDims(rstd, 1);
  const xHat = tf.mul(tf.sub(x, tf.expandDims(mean, 1)), r);
  const g = tf.mul(dy, weight);
  const dx = tf.mul(r, tf.sub(tf.sub(g, tf.mean(g, 1, true)), tf.mul(xHat, tf.mean(tf.mul(g, xHat), 1, true))));
  return [dx, tf.sum(tf.mul(dy, xHat), 0), tf.sum(dy, 0)];
}
