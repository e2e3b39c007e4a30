import * as tf from '@tensorflow/tfjs-core';

import type { ChannelGroups, Groups } from '../../src/core/student/groups.js';

/** A tensor cut along its rows (axis 0 of a matrix, axis 1 of what has time steps) into groups of these many. */
export function inGroups<R extends tf.Rank>(x: tf.Tensor<R>, rows: readonly number[]): Groups<R> {
  const axis = x.rank === 2 ? 0 : 1;
  const at = (group: number): tf.Tensor<R> => {
    const begin = x.shape.map((_, i) => (i === axis ? rows.slice(0, group).reduce((a, b) => a + b, 0) : 0));
    return tf.slice<R, tf.Tensor<R>>(x, begin, x.shape.map((extent, i) => (i === axis ? rows[group] as number : extent)));
  };
  return { count: rows.length, at, dispose: () => undefined };
}

/** The same of (T, N, C) with channels to be cut out. */
export function channelsInGroups(x: tf.Tensor3D, rows: readonly number[]): ChannelGroups {
  return { ...inGroups(x, rows), columns: (from, count) => tf.slice(x, [0, 0, from], [-1, -1, count]) };
}
