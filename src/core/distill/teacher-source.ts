import type * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import { unrecorded } from '../ops/unrecorded.js';
import { teacherForward } from '../teacher/forward.js';
import type { Teacher } from '../teacher/parameters.js';
import type { TeacherTargets } from './total-loss.js';

/** Where the teacher's side of the losses comes from, batch by batch. */
export interface TeacherSource {
  /** What the losses see of the teacher, as constants; called inside a tidy that records gradients. @param ids (B, L) int32, the batch's inputs. */
  targets(batch: TokenBatch, ids: tf.Tensor2D): TeacherTargets;
}

/** Runs the teacher on every batch. The teacher stays the caller's. */
export function liveSource(teacher: Teacher): TeacherSource {
  return { targets: (_batch, ids) => teacherTrace(teacher, ids) };
}

function teacherTrace(teacher: Teacher, ids: tf.Tensor2D): TeacherTargets {
  const { layers } = teacher.config;
  const [logits, embedding, ...perLayer] = unrecorded(() => {
    const trace = teacherForward(teacher, ids);
    return [trace.logits, trace.embedding, ...trace.hidden, ...trace.attention];
  });
  return {
    logits: logits as tf.Tensor3D, embedding: embedding as tf.Tensor3D,
    hidden: perLayer.slice(0, layers) as tf.Tensor3D[], attention: perLayer.slice(layers) as tf.Tensor4D[],
  };
}
