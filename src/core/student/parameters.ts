import type * as tf from '@tensorflow/tfjs-core';

import { ShapeError } from '../errors.js';
import type { StudentConfig } from './config.js';
import { entranceWidth } from './config.js';

/** A student's parameters by name. Matrices are (in, out), so that a spike selects one contiguous row. */
export type StudentParameters = ReadonlyMap<string, tf.Tensor>;

/** Prefix of a block's parameters. */
export function layerName(layer: number, name: string): string {
  return `layers.${layer}.${name}`;
}

/** Name and shape of every parameter of a student, in file order. */
export function parameterShapes(config: StudentConfig): ReadonlyMap<string, readonly number[]> {
  const { hiddenSize: D, feedForwardSize: F, heads: H, contextLength, vocabSize } = config;
  const E = entranceWidth(config);
  const shapes = new Map<string, readonly number[]>([
    ['embed_tokens.weight', [vocabSize, D]],
    ['embed_positions.weight', [contextLength, D]],
  ]);
  const add = (name: string, width: number): void => {
    shapes.set(`${name}.gain`, [width]).set(`${name}.bias`, [width]);
  };
  const linear = (name: string, inputs: number, outputs: number): void => {
    shapes.set(`${name}.weight`, [inputs, outputs]).set(`${name}.bias`, [outputs]);
  };
  for (let layer = 0; layer < config.layers; layer++) {
    const name = (part: string): string => layerName(layer, part);
    if (config.learnedNeurons) add(name('attention_entry'), E);
    linear(name('qkv'), E, 3 * D);
    if (config.learnedNeurons) shapes.set(name('attention.gain'), [H]);
    if (config.relativeBias) shapes.set(name('attention.distance_bias'), [H, contextLength]);
    if (config.learnedNeurons) add(name('attention_out'), D);
    linear(name('out'), D, D);
    if (config.learnedNeurons) add(name('feed_forward_entry'), E);
    linear(name('fc1'), E, F);
    linear(name('fc2'), F, D);
  }
  return shapes.set('final_norm.weight', [D]).set('final_norm.bias', [D]);
}

/** The parameter `name` with the rank the caller needs. @throws ShapeError when there is none. */
export function parameter<R extends tf.Rank>(parameters: StudentParameters, name: string): tf.Tensor<R> {
  const tensor = parameters.get(name);
  if (tensor === undefined) throw new ShapeError(`the student has no parameter ${name}`);
  return tensor as tf.Tensor<R>;
}
