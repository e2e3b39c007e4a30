import * as tf from '@tensorflow/tfjs-core';

import { hasTiles } from '../ops/tiled-attention.js';
import type { StudentConfig } from './config.js';
import { entranceWidth } from './config.js';

/** The tokens that a start is calibrated on, in groups of windows. */
export interface CalibrationWindows {
  /** Groups. */ readonly count: number;
  /** L */ readonly length: number;
  /** N = B·L */ readonly tokens: number;
  /** Windows of a group. */ batch(group: number): number;
  /** (b, L) int32; the caller's. */ ids(group: number): tf.Tensor2D;
}

/** Windows that a group has, at least one: as many as keep its largest tensor, or the maps where attention makes them, below `atOnce` numbers. @param length L. */
export function windowsOfGroup(config: StudentConfig, length: number, how: { readonly hasMaps: boolean; readonly atOnce: number }): number {
  const { neuron: { timeSteps }, heads, hiddenSize, feedForwardSize } = config;
  const widest = Math.max(feedForwardSize, 3 * hiddenSize, entranceWidth(config));
  const largest = timeSteps * length * Math.max(widest, how.hasMaps ? heads * length : 0);
  return Math.max(1, Math.floor(how.atOnce / largest));
}

/** How many groups there are of `total` windows, at most `most` in each: equal ones if half as many may do, because buffers of two sizes are kept apart. */
export function groupCount(total: number, most: number): number {
  for (let each = Math.min(most, total); 2 * each >= most; each--) if (total % each === 0) return total / each;
  return Math.ceil(total / most);
}

/** Divides the calibration tokens (B, L) into groups as equal as can be; `ids` stays the caller's. */
export function groupWindows(config: StudentConfig, ids: tf.Tensor2D, atOnce: number): CalibrationWindows {
  const [total, length] = ids.shape;
  const hasMaps = !hasTiles({ headWidth: config.hiddenSize / config.heads, timeSteps: config.neuron.timeSteps });
  const count = groupCount(total, windowsOfGroup(config, length, { hasMaps, atOnce }));
  const start = (group: number): number => Math.floor((group * total) / count);
  const batch = (group: number): number => start(group + 1) - start(group);
  return {
    count, length, tokens: total * length, batch,
    ids: (group) => (count === 1 ? tf.clone(ids) : tf.slice(ids, [start(group), 0], [batch(group), -1])),
  };
}
