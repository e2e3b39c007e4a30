import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from './kernel-tensors.js';

/** Tensors of a layer norm in the order in which kernels take them, and the sizes of x. */
export interface LayerNormTensors {
  /** Undefined where there is none. */ readonly given: ReadonlyArray<TensorInfo | undefined>;
  /** Whether there are weight and bias; without them x is only normalised. */ readonly hasWeight: boolean;
  readonly rows: number;
  readonly width: number;
}

/** x, weight, bias of `BispikLayerNorm`, or x alone. @throws ShapeError */
export function layerNormTensors(inputs: NamedTensorInfoMap): LayerNormTensors {
  const { weight } = inputs;
  const [x, bias] = [inputOf(inputs, 'x'), weight === undefined ? undefined : inputOf(inputs, 'bias')];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  if (weight !== undefined) expectShape(weight, [width], 'weight');
  if (bias !== undefined) expectShape(bias, [width], 'bias');
  return { given: [x, weight, bias], hasWeight: weight !== undefined, rows, width };
}

/** dy, x, weight, mean, rstd of `BispikLayerNormGrad`; the weight may be missing. @throws ShapeError */
export function layerNormGradTensors(inputs: NamedTensorInfoMap): LayerNormTensors {
  const { weight } = inputs;
  const [dy, x, mean, rstd] = ['dy', 'x', 'mean', 'rstd'].map((name) => inputOf(inputs, name)) as [TensorInfo, TensorInfo, TensorInfo, TensorInfo];
  const [rows = 0, width = 0] = extents(x, 2, 'x');
  expectShape(dy, [rows, width], 'dy');
  if (weight !== undefined) expectShape(weight, [width], 'weight');
  expectShape(mean, [rows], 'mean');
  expectShape(rstd, [rows], 'rstd');
  return { given: [dy, x, weight, mean, rstd], hasWeight: weight !== undefined, rows, width };
}
