import * as tf from '@tensorflow/tfjs-core';

import { affine, reluAffine } from '../ops/affine.js';
import { layerNorm } from '../ops/layer-norm.js';
import type { Readout } from '../ops/readout.js';
import type { SegmentRunner } from '../ops/recompute.js';
import type { AttentionShape, AttentionStream, SoftmaxInput } from '../ops/softmax-attention.js';
import { futureScores, softmaxAttention, streamedAttention } from '../ops/softmax-attention.js';
import { OPT_POSITION_OFFSET } from './config.js';
import type { Teacher } from './parameters.js';
import { teacherParameter } from './parameters.js';

/** What a teacher computed; field names are those of the student's trace. `A`: in which form it hands out attention. */
export interface TeacherTrace<A = tf.Tensor4D> {
  /** Of the B·L tokens: what the logits are made of. */ readonly readout: Readout;
  /** (B, L, D): input of the first block. */ readonly embedding: tf.Tensor3D;
  /** Per block (B, L, D): its output, never normalised by the decoder's final norm. */ readonly hidden: readonly tf.Tensor3D[];
  /** Per block: softmax probabilities (B, H, L, L), 0 for future keys, or what they can be computed from. */ readonly attention: readonly A[];
}

/** Values inside one block, each (B·L, width): what a student's layers are fitted to at the start. */
export interface TeacherLayerTrace {
  readonly query: tf.Tensor2D;
  readonly key: tf.Tensor2D;
  readonly value: tf.Tensor2D;
  /** Residual stream after the attention sub-layer. */ readonly attended: tf.Tensor2D;
  /** fc1 before its activation. */ readonly hidden: tf.Tensor2D;
  /** Residual stream after the block. */ readonly output: tf.Tensor2D;
}

/** The attention of one block: its context (B·L, D), and what is handed out of it. */
type Attend<A> = (qkv: SoftmaxInput, shape: AttentionShape) => { readonly context: tf.Tensor2D; readonly attention: A };

/**
 * Forward pass of an OPT decoder (Zhang et al., 2022): pre-norm (125M, 1.3B and up) or post-norm with projected embeddings
 * (350M), eager attention so that its probabilities can be handed out.
 * @param ids (B, L) int32. @returns tensors owned by the caller's tidy; differentiable in the parameters.
 */
export function teacherForward(teacher: Teacher, ids: tf.Tensor2D): TeacherTrace {
  const future = futureScores(ids.shape[1]);
  return decode(teacher, ids, (qkv, shape) => {
    const { context, probabilities } = softmaxAttention(qkv, shape, future);
    return { context, attention: probabilities };
  });
}

/** As `teacherForward`, but no (B, H, L, L) tensor is made where the backend has kernels for that; not differentiable. */
export function streamTeacher(teacher: Teacher, ids: tf.Tensor2D): TeacherTrace<AttentionStream> {
  return decode(teacher, ids, (qkv, shape) => ({ context: streamedAttention(qkv, shape), attention: { query: qkv.query, key: qkv.key, ...shape } }));
}

/** The values inside one block, from the stream (B·L, D) that enters it; owned by the caller's tidy, not differentiable. */
export function traceTeacherLayer(teacher: Teacher, stream: tf.Tensor2D, { layer, batch }: { readonly layer: number; readonly batch: number }): TeacherLayerTrace {
  const shape = { batch, length: stream.shape[0] / batch, heads: teacher.config.heads };
  return tidied(() => decoderLayer(teacher, stream, { layer, attend: (qkv) => ({ context: streamedAttention(qkv, shape), attention: null }) }).trace);
}

/** The readout and nothing else, differentiable. @param run decides what of each layer stays in memory. */
export function teacherReadout(teacher: Teacher, ids: tf.Tensor2D, run: SegmentRunner): Readout {
  const [batch, length] = ids.shape;
  const { layers, heads, hiddenSize } = teacher.config;
  const future = futureScores(length);
  let stream = tf.reshape<tf.Rank.R2>(teacherEmbedding(teacher, ids), [batch * length, hiddenSize]);
  for (let layer = 0; layer < layers; layer++) {
    const parameters = Array.from(teacher.parameters).filter(([name]) => name.startsWith(`layers.${layer}.`)).map(([, tensor]) => tensor);
    const [output] = run({ inputs: [stream], constants: future === null ? [] : [future], parameters }, ([x, scores = null]) => {
      const attend: Attend<null> = (qkv, shape) => ({ context: softmaxAttention(qkv, shape, scores as tf.Tensor2D | null).context, attention: null });
      return [decoderLayer(teacher, x as tf.Tensor2D, { layer, attend: (qkv) => attend(qkv, { batch, length, heads }) }).trace.output];
    });
    stream = output as tf.Tensor2D;
  }
  return readout(teacher, stream);
}

/** Frees what is not handed out. */
function tidied<X>(run: () => X): X {
  return tf.tidy(() => run() as unknown as tf.TensorContainerObject) as unknown as X;
}

function decode<A>(teacher: Teacher, ids: tf.Tensor2D, attend: Attend<A>): TeacherTrace<A> {
  const { config } = teacher;
  const [batch, length] = ids.shape;
  const embedding = teacherEmbedding(teacher, ids);
  let stream = tf.reshape<tf.Rank.R2>(embedding, [batch * length, config.hiddenSize]);
  const attention: A[] = [];
  const hidden: tf.Tensor3D[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const input = stream;
    const passed = tidied(() => {
      const { trace: { output }, attention: own } = decoderLayer(teacher, input, { layer, attend: (qkv) => attend(qkv, { batch, length, heads: config.heads }) });
      return { output, own };
    });
    stream = passed.output;
    attention.push(passed.own);
    hidden.push(tf.reshape<tf.Rank.R3>(stream, [batch, length, config.hiddenSize]));
  }
  return { readout: readout(teacher, stream), embedding, hidden, attention };
}

/** Parameters that `teacherEmbedding` reads. */
export const EMBEDDING_PARAMETERS: ReadonlySet<string> = new Set(['embed_tokens.weight', 'embed_positions.weight', 'project_in.weight']);

/** Input of the first block: token plus position embedding. @param ids (B, L) int32. @returns (B, L, D), owned by the caller's tidy. */
export function teacherEmbedding(teacher: Teacher, ids: tf.Tensor2D): tf.Tensor3D {
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

/** Readout of the residual stream (N, D); its head is as wide as the embedding. */
function readout(teacher: Teacher, stream: tf.Tensor2D): Readout {
  const { hasFinalNorm, tiedHead } = teacher.config;
  const normalised = hasFinalNorm ? norm(teacher, stream, 'final_layer_norm') : stream;
  const states = teacher.parameters.has('project_out.weight') ? tf.matMul<tf.Tensor2D>(normalised, teacherParameter<tf.Rank.R2>(teacher, 'project_out.weight')) : normalised;
  return { states, head: teacherParameter<tf.Rank.R2>(teacher, tiedHead ? 'embed_tokens.weight' : 'lm_head.weight') };
}

function norm(teacher: Teacher, x: tf.Tensor2D, name: string): tf.Tensor2D {
  const { hiddenSize, layerNormEps, hasNormAffine } = teacher.config;
  const weight = hasNormAffine ? teacherParameter<tf.Rank.R1>(teacher, `${name}.weight`) : tf.ones<tf.Rank.R1>([hiddenSize]);
  const bias = hasNormAffine ? teacherParameter<tf.Rank.R1>(teacher, `${name}.bias`) : tf.zeros<tf.Rank.R1>([hiddenSize]);
  return layerNorm(x, { weight, bias, epsilon: layerNormEps });
}

function linear(teacher: Teacher, x: tf.Tensor2D, name: string): tf.Tensor2D {
  const weight = teacherParameter<tf.Rank.R2>(teacher, `${name}.weight`);
  return teacher.config.hasBias ? affine(x, weight, teacherParameter<tf.Rank.R1>(teacher, `${name}.bias`)) : tf.matMul<tf.Tensor2D>(x, weight);
}

/** Activation and second layer of the feed-forward part. */
function feed(teacher: Teacher, hidden: tf.Tensor2D, name: string): tf.Tensor2D {
  const { activation, hasBias } = teacher.config;
  if (activation !== 'relu' || !hasBias) return linear(teacher, activate(hidden, activation), name);
  return reluAffine(hidden, teacherParameter<tf.Rank.R2>(teacher, `${name}.weight`), teacherParameter<tf.Rank.R1>(teacher, `${name}.bias`));
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

function decoderLayer<A>(
  teacher: Teacher, stream: tf.Tensor2D, at: { readonly layer: number; readonly attend: (qkv: SoftmaxInput) => ReturnType<Attend<A>> },
): { trace: TeacherLayerTrace; attention: A } {
  const name = (part: string): string => `layers.${at.layer}.${part}`;
  const isPre = teacher.config.normPlacement === 'pre';
  const maybe = (x: tf.Tensor2D, part: string, wanted: boolean): tf.Tensor2D => (wanted ? norm(teacher, x, name(part)) : x);

  const input = maybe(stream, 'self_attn_layer_norm', isPre);
  const [query, key, value] = ['q_proj', 'k_proj', 'v_proj'].map((p) => linear(teacher, input, name(`self_attn.${p}`))) as
    [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
  const { context, attention } = at.attend({ query, key, value });
  const attended = maybe(tf.add<tf.Tensor2D>(stream, linear(teacher, context, name('self_attn.out_proj'))), 'self_attn_layer_norm', !isPre);

  const hidden = linear(teacher, maybe(attended, 'final_layer_norm', isPre), name('fc1'));
  const fed = feed(teacher, hidden, name('fc2'));
  const output = maybe(tf.add<tf.Tensor2D>(attended, fed), 'final_layer_norm', !isPre);
  return { trace: { query, key, value, attended, hidden, output }, attention };
}
