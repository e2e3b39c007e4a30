import * as tf from '@tensorflow/tfjs-core';

import type { TeacherLayerTrace } from '../teacher/forward.js';
import { teacherEmbedding, traceTeacherLayer } from '../teacher/forward.js';
import type { Teacher } from '../teacher/parameters.js';
import type { Groups } from './groups.js';
import { storedGroups } from './groups.js';
import type { CalibrationWindows } from './windows.js';

/** The values of one teacher layer on the calibration windows. */
export interface TeacherLayer {
  /** Some of them for a group, each (n, width); the caller's. Computed again every time, but for a single group. */
  values(group: number, names: readonly (keyof TeacherLayerTrace)[]): tf.Tensor2D[];
  dispose(): void;
}

/** A teacher walked through layer by layer, so that only the stream between two layers has to be kept. */
export interface TeacherWalk {
  /** The values of a layer, or of the last for those that do not exist; for the layer of the last call or the next one. */ layer(layer: number): Promise<TeacherLayer>;
  dispose(): void;
}

/** Begins before the first layer. */
export async function walkTeacher(teacher: Teacher, windows: CalibrationWindows): Promise<TeacherWalk> {
  const { layers, hiddenSize } = teacher.config;
  let stream = await storedGroups<tf.Rank.R2>(windows.count, (group) => tf.reshape(teacherEmbedding(teacher, windows.ids(group)), [-1, hiddenSize]));
  let current = { index: 0, ...openLayer({ teacher, windows, index: 0 }, stream) };
  return {
    layer: async (layer) => {
      const index = Math.min(layer, layers - 1);
      if (index > current.index) {
        const passed = current;
        const next = await storedGroups(windows.count, (group) => passed.values(group, ['output'])[0] as tf.Tensor2D);
        passed.dispose();
        stream.dispose();
        stream = next;
        current = { index, ...openLayer({ teacher, windows, index }, stream) };
      }
      return current;
    },
    dispose: () => {
      current.dispose();
      stream.dispose();
    },
  };
}

function openLayer({ teacher, windows, index }: { readonly teacher: Teacher; readonly windows: CalibrationWindows; readonly index: number }, stream: Groups<tf.Rank.R2>): TeacherLayer {
  const trace = (group: number): TeacherLayerTrace => traceTeacherLayer(teacher, stream.at(group), { layer: index, batch: windows.batch(group) });
  let kept: TeacherLayerTrace | null = null;
  return {
    values: (group, names) => {
      if (windows.count > 1) return tf.tidy(() => pick(trace(group), names));
      kept ??= keepAll(trace);
      return pick(kept, names).map((tensor) => tf.clone(tensor));
    },
    dispose: () => { tf.dispose({ ...kept } as unknown as tf.TensorContainer); },
  };
}

const pick = (trace: TeacherLayerTrace, names: readonly (keyof TeacherLayerTrace)[]): tf.Tensor2D[] => names.map((name) => trace[name]);

function keepAll(trace: (group: number) => TeacherLayerTrace): TeacherLayerTrace {
  return tf.tidy(() => {
    const values = trace(0);
    for (const tensor of Object.values(values)) tf.keep(tensor);
    return { ...values } as unknown as tf.TensorContainerObject;
  }) as unknown as TeacherLayerTrace;
}
