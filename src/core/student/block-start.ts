import * as tf from '@tensorflow/tfjs-core';

import { layerName } from './parameters.js';
import type { StartOptions } from './start.js';
import type { TeacherLayer } from './teacher-layers.js';
import type { CalibrationWindows } from './windows.js';

/** What the start of one block works on. */
export interface BlockStart extends StartOptions {
  readonly parameters: Map<string, tf.Tensor>;
  readonly layer: number;
  readonly teacherLayer: TeacherLayer;
  readonly windows: CalibrationWindows;
  readonly atOnce: number;
}

/** Gives the block's parameter `name` a value, in place of an earlier one. */
export function setParameter(start: BlockStart, name: string, value: { values: Float32Array; shape: readonly number[] }): void {
  const full = layerName(start.layer, name);
  start.parameters.get(full)?.dispose();
  start.parameters.set(full, tf.tensor(value.values, [...value.shape]));
}
