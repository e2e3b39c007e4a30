import type { NamedAttrMap, NamedTensorInfoMap } from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';
import { expectShape, extents, inputOf } from './kernel-tensors.js';

/** Sizes of a layer of LIF neurons, the same for the kernels of every backend. */
export interface NeuronSizes {
  /** The current is the same at every time step. */ readonly constant: boolean;
  readonly onOff: boolean;
  /** N */ readonly rows: number;
  /** C */ readonly channels: number;
  /** E: twice C where neurons come in pairs. */ readonly neurons: number;
  /** Equal blocks of neurons whose rates are wanted. */ readonly groups: number;
}

/** Checks the inputs of `BispikLif` and of its plain form, which has neither gain nor bias. @throws ShapeError */
export function neuronSizes(inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined, timeSteps: number): NeuronSizes {
  const x = inputOf(inputs, 'x');
  const [steps = 0, rows = 0, channels = 0] = extents(x, 3, 'x');
  const [onOff, groups] = [attrs?.['onOff'] === true, Number(attrs?.['groups'])];
  const constant = steps === 1;
  expectShape(x, [constant ? 1 : timeSteps, rows, channels], 'x');
  const neurons = onOff ? 2 * channels : channels;
  for (const name of affineOf(inputs)) expectShape(inputOf(inputs, name), [neurons], name);
  if (!Number.isInteger(neurons / groups)) throw new ShapeError(`${neurons} neurons do not divide into ${groups} equal groups`);
  return { constant, onOff, rows, channels, neurons, groups };
}

/** What the current is made of beside x: nothing where the neurons are plain. */
export function affineOf(inputs: NamedTensorInfoMap): readonly string[] {
  return inputs['gain'] === undefined ? [] : ['gain', 'bias'];
}
