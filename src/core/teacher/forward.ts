import * as tf from '@tensorflow/tfjs-core';

import { layerNorm } from '../ops/layer-norm.js';
import { OPT_POSITION_OFFSET } from './config.js';
import type { Teacher } from './parameters.js';
import { teacherParameter } from './parameters.js';

/** What a teacher computed; field names are those of the student's trace. */
export interface TeacherTrace {
  /** (B, L, V) */ readonly logits: tf.Tensor3D;
  /** (B, L, D): input of the first block. */ readonly embedding: tf.Tensor3D;
  /** Per block (B, L, D): its output, never normalised by the decoder's final norm. */ readonly hidden: readonly tf.Tensor3D[];
  /** Per block (B, H, L, L): softmax probabilities, 0 for future keys. */ readonly attention: readonly tf.Tensor4D[];
  /** Per block: what a student's layers are fitted to at the start. */ readonly layers: readonly TeacherLayerTrace[];
}

/** Values inside one block, each (B·L, width). */
export interface TeacherLayerTrace {
  readonly query: tf.Tensor2D;
  readonly key: tf.Tensor2D;
  readonly value: tf.Tensor2D;
  /** Residual stream after the attention sub-layer. */ readonly attended: tf.Tensor2D;
  /** fc1 before its activation. */ readonly hidden: tf.Tensor2D;
  /** Residual stream after the block. */ readonly output: tf.Tensor2D;
}

interface Sequence {
  readonly batch: number;
  readonly length: number;
  /** (L, L): what future keys are set back by. */ readonly future: tf.Tensor2D;
}

/** Added to the score of a key that the query must not see. */
const FUTURE_SCORE = -1e9;

/**
 * Forward pass of an OPT decoder (Zhang et al., 2022): pre-norm (125M, 1.3B and up) or post-norm with projected embeddings
 * (350M), eager attention so that its probabilities can be handed out.
 * @param ids (B, L) int32. @returns tensors owned by the caller's tidy; differentiable in the parameters.
 */
export function teacherForward(teacher: Teacher, ids: tf.Tensor2D): TeacherTrace {
  const { config } = teacher;
  const [batch, length] = ids.shape;
  const sequence = { batch, length, future: futureScores(length) };
  const embedding = embed(teacher, ids);
  let stream = tf.reshape<tf.Rank.R2>(embedding, [batch * length, config.hiddenSize]);
  const attention: tf.Tensor4D[] = [];
  const layers: TeacherLayerTrace[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const result = decoderLayer(teacher, stream, { ...sequence, layer });
    stream = result.trace.output;
    attention.push(result.probabilities);
    layers.push(result.trace);
  }
  const hidden = layers.map((trace) => tf.reshape<tf.Rank.R3>(trace.output, [batch, length, config.hiddenSize]));
  return { logits: tf.reshape(head(teacher, stream), [batch, length, config.vocabSize]), embedding, hidden, attention, layers };
}

/** (L, L): 0 up to the query's own position, then FUTURE_SCORE; made once per forward pass. */
function futureScores(length: number): tf.Tensor2D {
  const scores = new Float32Array(length * length);
  for (let query = 0; query < length; query++) scores.fill(FUTURE_SCORE, query * length + query + 1, (query + 1) * length);
  return tf.tensor2d(scores, [length, length]);
}

function embed(teacher: Teacher, ids: tf.Tensor2D): tf.Tensor3D {
  const [batch, length] = ids.shape;
  const { config } = teacher;
  let tokens = tf.gather(teacherParameter(teacher, 'embed_tokens.weight'), ids) as tf.Tensor3D;
  if (teacher.parameters.has('project_in.weight')) {
    const flat = tf.reshape<tf.Rank.R2>(tokens, [batch * length, config.embeddingSize]);
    tokens = tf.reshape<tf.Rank.R3>(tf.matMul(flat, teacherParameter<tf.Rank.R2>(teacher, 'project_in.weight')), [batch, length, config.hiddenSize]);
  }
  const table = teacherParameter<tf.Rank.R2>(teacher, 'embed_positions.weight');
  return tf.add<tf.Tensor3D>(tokens, tf.slice(table, [OPT_POSITION_OFFSET, 0], [length, -1]));
}

function head(teacher: Teacher, stream: tf.Tensor2D): tf.Tensor2D {
  let x = teacher.config.hasFinalNorm ? norm(teacher, stream, 'final_layer_norm') : stream;
  if (teacher.parameters.has('project_out.weight')) x = tf.matMul(x, teacherParameter<tf.Rank.R2>(teacher, 'project_out.weight'));
  if (teacher.config.tiedHead) return tf.matMul(x, teacherParameter<tf.Rank.R2>(teacher, 'embed_tokens.weight'), false, true);
  return tf.matMul(x, teacherParameter<tf.Rank.R2>(teacher, 'lm_head.weight'));
}

function norm(teacher: Teacher, x: tf.Tensor2D, name: string): tf.Tensor2D {
  const { hiddenSize, layerNormEps, hasNormAffine } = teacher.config;
  const weight = hasNormAffine ? teacherParameter<tf.Rank.R1>(teacher, `${name}.weight`) : tf.ones<tf.Rank.R1>([hiddenSize]);
  const bias = hasNormAffine ? teacherParameter<tf.Rank.R1>(teacher, `${name}.bias`) : tf.zeros<tf.Rank.R1>([hiddenSize]);
  return layerNorm(x, { weight, bias, epsilon: layerNormEps });
}

function linear(teacher: Teacher, x: tf.Tensor2D, name: string): tf.Tensor2D {
  const y = tf.matMul<tf.Tensor2D>(x, teacherParameter<tf.Rank.R2>(teacher, `${name}.weight`));
  return teacher.config.hasBias ? tf.add<tf.Tensor2D>(y, teacherParameter<tf.Rank.R1>(teacher, `${name}.bias`)) : y;
}

function activate(x: tf.Tensor2D, activation: Teacher['config']['activation']): tf.Tensor2D {
  switch (activation) {
    case 'relu': return tf.relu(x);
    case 'gelu': return tf.mul<tf.Tensor2D>(tf.mul(x, 0.5), tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2))));
    case 'gelu_new': {
      const inner = tf.mul(tf.add(x, tf.mul(tf.pow(x, 3), 0.044715)), Math.sqrt(2 / Math.PI));
      return tf.mul<tf.Tensor2D>(tf.mul(x, 0.5), tf.add(1, tf.tanh(inner)));
    }
  }
}

function decoderLayer(
  teacher: Teacher, stream: tf.Tensor2D, at: Sequence & { layer: number },
): { trace: TeacherLayerTrace; probabilities: tf.Tensor4D } {
  const name = (part: string): string => `layers.${at.layer}.${part}`;
  const isPre = teacher.config.normPlacement === 'pre';
  const maybe = (x: tf.Tensor2D, part: string, wanted: boolean): tf.Tensor2D => (wanted ? norm(teacher, x, name(part)) : x);

  const input = maybe(stream, 'self_attn_layer_norm', isPre);
  const [query, key, value] = ['q_proj', 'k_proj', 'v_proj'].map((p) => linear(teacher, input, name(`self_attn.${p}`))) as
    [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
  const { context, probabilities } = attend({ query, key, value }, at, teacher.config.heads);
  const attended = maybe(tf.add<tf.Tensor2D>(stream, linear(teacher, context, name('self_attn.out_proj'))), 'self_attn_layer_norm', !isPre);

  const hidden = linear(teacher, maybe(attended, 'final_layer_norm', isPre), name('fc1'));
  const fed = linear(teacher, activate(hidden, teacher.config.activation), name('fc2'));
  const output = maybe(tf.add<tf.Tensor2D>(attended, fed), 'final_layer_norm', !isPre);
  return { trace: { query, key, value, attended, hidden, output }, probabilities };
}

function attend(
  qkv: { query: tf.Tensor2D; key: tf.Tensor2D; value: tf.Tensor2D }, at: Sequence, heads: number,
): { context: tf.Tensor2D; probabilities: tf.Tensor4D } {
  const { batch, length } = at;
  const width = qkv.query.shape[1];
  const split = (x: tf.Tensor2D): tf.Tensor4D => tf.transpose(tf.reshape(x, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
  const [q, k, v] = [split(qkv.query), split(qkv.key), split(qkv.value)];
  const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(width / heads));
  const probabilities = tf.softmax(tf.add(scores, at.future)) as tf.Tensor4D;
  const context = tf.transpose(tf.matMul(probabilities, v), [0, 2, 1, 3]);
  return { context: tf.reshape(context, [batch * length, width]), probabilities };
}
