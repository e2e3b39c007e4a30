import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from './kernel-tensors.js';

/** Tensors of a layer norm in the order in which kernels take them, and the sizes of x. */
export interface LayerNormTensors {
  readonly given: readonly TensorInfo[];
  readonly rows: number;
  readonly width: number;
}

/** x, weight, bias of `BispikLayerNorm`. @throws ShapeError */
export function layerNormTensors(inputs: NamedTensorInfoMap): LayerNormTensors {
  const [x, weight, bias] = [inputOf(inputs, 'x'), inputOf(inputs, 'weight'), inputOf(inputs, 'bias')];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  expectShape(weight, [width], 'weight');
  expectShape(bias, [width], 'bias');
  return { given: [x, weight, bias], rows, width };
}

/** dy, x, weight, mean, rstd of `BispikLayerNormGrad`. @throws ShapeError */
export function layerNormGradTensors(inputs: NamedTensorInfoMap): LayerNormTensors {
  const [dy, x, weight, mean, rstd] = ['dy', 'x', 'weight', 'mean', 'rstd'].map((name) => inputOf(inputs, name)) as [TensorInfo, TensorInfo, TensorInfo, TensorInfo, TensorInfo];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  expectShape(dy, [rows, width], 'dy');
  expectShape(weight, [width], 'weight');
  expectShape(mean, [rows], 'mean');
  expectShape(rstd, [rows], 'rstd');
  return { given: [dy, x, weight, mean, rstd], rows, width };
}
