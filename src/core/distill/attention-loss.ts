import * as tf from '@tensorflow/tfjs-core';

import type { LifNeuron } from '../ops/lif.js';
import { encodeRate } from '../ops/lif.js';
import { scale, squaredError } from '../ops/reduce.js';
import type { LossTerm } from './total-loss.js';

/** How attention maps are compared. */
export interface AttentionAlignment {
  readonly neuron: LifNeuron;
  /** Share of the rate term. */ readonly gamma: number;
  /** `raw`: the paper's; `row-normalised`: both maps made distributions over keys first. */ readonly form: 'raw' | 'row-normalised';
  /** Teacher layer of each student layer. */ readonly layerMap: readonly number[];
  /** Teacher head of each student head. */ readonly headMap: readonly number[];
}

/**
 * SAA: per layer γ·RateMSE + (1 − γ)·MSE between the student's attention spikes (mean over time) and the teacher's
 * probabilities, averaged over layers. RateMSE compares with the rate of the same neuron fed the probabilities as a constant
 * current. `raw` averages over causal entries; `row-normalised` sums squared differences over keys and averages over rows.
 */
export function attentionLoss(weight: number, how: AttentionAlignment): LossTerm {
  return {
    name: 'saa',
    weight,
    compute: ({ student, teacher }) => {
      const perLayer = student.attention.map((map, layer) => {
        const target = selectHeads(at(teacher.attention, at(how.layerMap, layer)), how.headMap);
        return how.form === 'raw' ? rawLoss(map, target, how) : rowNormalisedLoss(map, target, how);
      });
      return scale(tf.addN(perLayer), 1 / perLayer.length);
    },
  };
}

function at<X>(list: readonly X[], index: number): X {
  const value = list[index];
  if (value === undefined) throw new Error(`index ${index} is outside a list of ${list.length}`);
  return value;
}

function selectHeads(probabilities: tf.Tensor4D, headMap: readonly number[]): tf.Tensor4D {
  const isIdentity = headMap.length === probabilities.shape[1] && headMap.every((head, i) => head === i);
  return isIdentity ? probabilities : tf.gather(probabilities, tf.tensor1d([...headMap], 'int32'), 1);
}

function rawLoss(map: tf.Tensor4D, target: tf.Tensor4D, how: AttentionAlignment): tf.Scalar {
  const [batch, heads, length] = map.shape;
  const entries = (batch * heads * length * (length + 1)) / 2;
  // Future entries are 0 in the map, in the probabilities and (threshold > 0) in their rate, so summing everything is exact.
  const rate = squaredError(map, encodeRate(target, how.neuron), how.gamma / entries);
  return tf.add(rate, squaredError(map, target, (1 - how.gamma) / entries));
}

function rowNormalisedLoss(map: tf.Tensor4D, target: tf.Tensor4D, how: AttentionAlignment): tf.Scalar {
  const [batch, heads, length] = map.shape;
  // One spike in T steps is the smallest sum of a row that is not silent; a smaller floor would blow up the gradient of silent ones.
  const distribution = (x: tf.Tensor): tf.Tensor => tf.div(x, tf.maximum(tf.sum(x, 3, true), 1 / how.neuron.timeSteps));
  const rates = encodeRate(tf.div(target, tf.max(target, 3, true)), how.neuron);
  const student = distribution(map);
  const rate = tf.sum(tf.squaredDifference(student, distribution(rates)));
  const direct = tf.sum(tf.squaredDifference(student, target));
  return tf.div(tf.add(tf.mul(rate, how.gamma), tf.mul(direct, 1 - how.gamma)), batch * heads * length);
}
