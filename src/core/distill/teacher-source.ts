import * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import type { TeacherAttention } from '../ops/attention-alignment.js';
import { hasKernel, output } from '../ops/kernels.js';
import { unrecorded } from '../ops/unrecorded.js';
import type { TeacherTrace } from '../teacher/forward.js';
import { streamTeacher, teacherEmbedding, teacherForward } from '../teacher/forward.js';
import type { Teacher } from '../teacher/parameters.js';
import type { TeacherTargets } from './total-loss.js';

/** Where the teacher's side of the losses comes from, batch by batch. */
export interface TeacherSource {
  /** False: nothing is known of attention maps and residual streams, and the losses on them cannot be computed. */ readonly hasFeatures: boolean;
  /** What the losses see of the teacher, as constants; called inside a tidy that records gradients. @param ids (B, L) int32, the batch's inputs. */
  targets(batch: TokenBatch, ids: tf.Tensor2D): TeacherTargets;
}

/** Runs the teacher on every batch. The teacher stays the caller's. */
export function liveSource(teacher: Teacher): TeacherSource {
  return { hasFeatures: true, targets: (_batch, ids) => teacherTrace(teacher, ids) };
}

/**
 * Takes the teacher's distributions from the batch, which a cache has put there; only its embedding is computed.
 * @param embedding holds EMBEDDING_PARAMETERS and stays the caller's; null where no loss reads the embedding.
 */
export function cachedSource(embedding: Teacher | null): TeacherSource {
  return {
    hasFeatures: false,
    targets: ({ sampled }, ids) => {
      if (sampled === undefined) throw new Error('a batch without what the teacher cache holds of it');
      const [batch, length] = ids.shape;
      const shape: [number, number] = [batch * length, sampled.samples];
      const [found] = embedding === null ? [tf.zeros([batch, length, 0])] : unrecorded(() => [teacherEmbedding(embedding, ids)]);
      return {
        readout: { ids: tf.tensor2d(sampled.ids, shape, 'int32'), weights: tf.tensor2d(sampled.weights, shape), entropy: tf.tensor1d(sampled.entropy) },
        embedding: found as tf.Tensor3D, hidden: [], attention: [],
      };
    },
  };
}

function teacherTrace(teacher: Teacher, ids: tf.Tensor2D): TeacherTargets {
  if (!hasKernel('BispikAlignedAttention')) {
    const { parts, ...rest } = constants(() => teacherForward(teacher, ids), (probabilities) => [probabilities]);
    return { ...rest, attention: parts.map((probabilities) => ({ kind: 'maps', probabilities: probabilities as tf.Tensor4D })) };
  }
  const [batch, length] = ids.shape;
  const { parts, ...rest } = constants(() => streamTeacher(teacher, ids), ({ query, key }) => [query, key]);
  const attention = rest.hidden.map((_, i): TeacherAttention =>
    ({ kind: 'stream', query: output(parts, 2 * i), key: output(parts, 2 * i + 1), batch, length, heads: teacher.config.heads }));
  return { ...rest, attention };
}

/** A trace without a record of how it was made; the tensors of all layers' attention in one list. */
function constants<A>(forward: () => TeacherTrace<A>, tensorsOf: (attention: A) => readonly tf.Tensor[]): Omit<TeacherTargets, 'attention'> & { parts: tf.Tensor[] } {
  let layers = 0;
  const [states, head, embedding, ...perLayer] = unrecorded(() => {
    const trace = forward();
    layers = trace.hidden.length;
    return [trace.readout.states, trace.readout.head, trace.embedding, ...trace.hidden, ...trace.attention.flatMap(tensorsOf)];
  });
  return {
    readout: { states: states as tf.Tensor2D, head: head as tf.Tensor2D }, embedding: embedding as tf.Tensor3D,
    hidden: perLayer.slice(0, layers) as tf.Tensor3D[], parts: perLayer.slice(layers),
  };
}
