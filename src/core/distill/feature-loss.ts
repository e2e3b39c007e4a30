import * as tf from '@tensorflow/tfjs-core';

import { scale, squaredError } from '../ops/reduce.js';
import { output } from '../ops/kernels.js';
import { normalise } from '../ops/layer-norm.js';
import type { LifNeuron } from '../ops/lif.js';
import { encodeRate } from '../ops/lif.js';
import type { Projection } from './embedding-loss.js';
import type { LossTerm } from './total-loss.js';

/** ε of the normalisations inside the loss. */
const EPSILON = 1e-5;

/** How residual streams are compared. */
export interface FeatureAlignment {
  readonly neuron: LifNeuron;
  /** Share of the rate term in the `projected` form. */ readonly gamma: number;
  /** `normalised`: LN of both, our default; `projected`: the paper's MLP + LN on the student, MSE and RateMSE. */
  readonly form: 'normalised' | 'projected';
  readonly layerMap: readonly number[];
  readonly project: Projection;
  /** The parameters that `project` reads. */ readonly matrices: readonly tf.Tensor[];
}

/**
 * SFA, averaged over layers. `normalised`: MSE of the two streams after a LayerNorm without parameters (the teacher's raw
 * streams have outlier channels). `projected` (App. SFA): γ·RateMSE + (1 − γ)·MSE of LN(MLP(student)) against the teacher's
 * stream, the rate being that of the same neuron fed the teacher's values.
 */
export function featureLoss(weight: number, how: FeatureAlignment): LossTerm {
  return {
    name: 'sfa',
    weight,
    needsFeatures: true,
    compute: ({ student, teacher, run }) => {
      const perLayer = student.hidden.map((stream, layer) => {
        const target = teacher.hidden[how.layerMap[layer] ?? layer];
        if (target === undefined) throw new Error(`student layer ${layer} is mapped to a teacher layer that does not exist`);
        const compare = how.form === 'normalised' ? normalisedLoss : projectedLoss;
        // As a segment of its own: the projected form saves a dozen tensors of a stream's size per layer.
        return output<tf.Rank.R0>(run({ inputs: [stream], constants: [target], parameters: how.matrices }, (given) => [compare(output(given, 0), output(given, 1), how)]), 0);
      });
      return scale(tf.addN(perLayer), 1 / perLayer.length);
    },
  };
}

function normalisedLoss(stream: tf.Tensor3D, target: tf.Tensor3D, how: FeatureAlignment): tf.Scalar {
  return squaredError(normalise(how.project(stream), EPSILON), normalise(target, EPSILON), 1 / target.size);
}

function projectedLoss(stream: tf.Tensor3D, target: tf.Tensor3D, how: FeatureAlignment): tf.Scalar {
  const features = normalise(how.project(stream), EPSILON);
  const rate = squaredError(features, encodeRate(target, how.neuron), how.gamma / target.size);
  return tf.add(rate, squaredError(features, target, (1 - how.gamma) / target.size));
}
