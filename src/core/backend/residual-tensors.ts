import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf, sizeOf } from './kernel-tensors.js';

/** Sizes of a residual stream (T, …). */
export interface StreamSizes {
  readonly timeSteps: number;
  /** Extents of one time step. */ readonly step: readonly number[];
  /** Numbers of one time step. */ readonly count: number;
}

/** stream and write of `BispikAddWrite`; the stream may have one time step for all of them. @throws ShapeError */
export function addWriteTensors(inputs: NamedTensorInfoMap): StreamSizes & { readonly stream: TensorInfo; readonly write: TensorInfo; readonly isRepeated: boolean } {
  const [stream, write] = [inputOf(inputs, 'stream'), inputOf(inputs, 'write')];
  const [timeSteps = 0, ...step] = extents(write, 3, 'write');
  const isRepeated = stream.shape[0] === 1 && timeSteps !== 1;
  expectShape(write, write.shape, 'write');
  expectShape(stream, [isRepeated ? 1 : timeSteps, ...step], 'stream');
  return { stream, write, isRepeated, timeSteps, step, count: sizeOf(step) };
}

/** dMean of `BispikAddWriteGrad`, and dOut unless nothing depends on the stream. @throws ShapeError */
export function addWriteGradTensors(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): StreamSizes & { readonly dMean: TensorInfo; readonly dOut: TensorInfo | undefined } {
  const [dMean, dOut, timeSteps] = [inputOf(inputs, 'dMean'), inputs['dOut'], Number(attrs?.['timeSteps'])];
  const step = extents(dMean, 2, 'dMean');
  expectShape(dMean, step, 'dMean');
  if (dOut !== undefined) expectShape(dOut, [timeSteps, ...step], 'dOut');
  return { dMean, dOut, timeSteps, step, count: sizeOf(step) };
}
