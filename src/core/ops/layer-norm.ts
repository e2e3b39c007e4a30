import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, hasKernel, output, runKernel, view } from './kernels.js';

/** Learned scale and shift, (D) each. */
interface Affine {
  readonly weight: tf.Tensor1D;
  readonly bias: tf.Tensor1D;
}

/**
 * Layer normalisation over the last axis with biased variance: (x − mean)/√(var + ε)·weight + bias (Ba et al., 2016).
 * @param x (…, D). @param weight (D). @param bias (D). @returns like x; differentiable in all three.
 */
export function layerNorm<X extends tf.Tensor>(x: X, { weight, bias, epsilon }: Affine & { readonly epsilon: number }): X {
  return normaliseRows(x, { weight, bias }, epsilon);
}

/** Layer normalisation without learned scale and shift. */
export function normalise<X extends tf.Tensor>(x: X, epsilon: number): X {
  return normaliseRows(x, null, epsilon);
}

function normaliseRows<X extends tf.Tensor>(x: X, affine: Affine | null, eps: number): X {
  const width = x.shape[x.rank - 1] ?? 1;
  const flatShape = [x.size / width, width];
  return applyCustomOp({
    inputs: affine === null ? [x] : [x, affine.weight, affine.bias],
    forward: (save) => {
      const flat = view(x, flatShape);
      const [normalised, mean, rstd] = forward(flat, affine, { eps });
      save([flat, mean, rstd, ...(affine === null ? [] : [affine.weight])]);
      return view(normalised, x.shape);
    },
    backward: (dy, saved) => {
      const [dx, ...rest] = backward(view(dy, flatShape), saved, { eps });
      return [view(dx as tf.Tensor, x.shape), ...rest];
    },
  }) as X;
}

type Normalised = [tf.Tensor, tf.Tensor, tf.Tensor];

function forward(x: tf.Tensor, affine: Affine | null, attrs: { eps: number }): Normalised {
  if (hasKernel('BispikLayerNorm')) {
    const outputs = runKernel('BispikLayerNorm', { x, ...affine }, attrs);
    return [output(outputs, 0), output(outputs, 1), output(outputs, 2)];
  }
  const mean = tf.mean(x, 1, true);
  const centred = tf.sub(x, mean);
  const rstd = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 1, true), attrs.eps));
  const normalised = tf.mul(centred, rstd);
  const y = affine === null ? normalised : tf.add(tf.mul(normalised, affine.weight), affine.bias);
  return [y, tf.squeeze(mean, [1]), tf.squeeze(rstd, [1])];
}

/** Gradients of x, and of weight and bias where a weight was saved. */
function backward(dy: tf.Tensor, saved: readonly tf.Tensor[], attrs: { eps: number }): tf.Tensor[] {
  const [x, mean, rstd, weight] = [output(saved, 0), output(saved, 1), output(saved, 2), saved[3]];
  if (hasKernel('BispikLayerNormGrad')) return runKernel('BispikLayerNormGrad', { dy, x, mean, rstd, ...(weight === undefined ? {} : { weight }) }, attrs);
  const r = tf.expandDims(rstd, 1);
  const xHat = tf.mul(tf.sub(x, tf.expandDims(mean, 1)), r);
  const g = weight === undefined ? dy : tf.mul(dy, weight);
  const dx = tf.mul(r, tf.sub(tf.sub(g, tf.mean(g, 1, true)), tf.mul(xHat, tf.mean(tf.mul(g, xHat), 1, true))));
  return weight === undefined ? [dx] : [dx, tf.sum(tf.mul(dy, xHat), 0), tf.sum(dy, 0)];
}
