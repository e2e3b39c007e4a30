import type { TeacherConfig } from '../config/schema.js';
import { WINDOWS_AT_ONCE } from '../ops/batch-tensors.js';
import { headLossBytes } from '../ops/head-loss-bytes.js';
import { hasKernel } from '../ops/kernels.js';
import { HEAD_CHUNK_BYTES } from '../ops/readout.js';
import type { OptConfig } from '../teacher/config.js';
import { expectedOptTensors } from '../teacher/opt.js';
import { logitNumbers } from './memory-pool.js';
import type { MemoryEstimate, Moment, Shares } from './moments.js';
import { estimateOf } from './moments.js';
import type { BackendMemory } from './step-sizes.js';
import { backendMemory, numbersIn, sumOf } from './step-sizes.js';

/** Everything that decides how much memory the training of a dense teacher takes. */
export interface TeacherSizes extends Pick<BackendMemory, 'hasHeadKernel' | 'updatesInPlace' | 'poolsBuffers'> {
  readonly trains: 'teacher';
  readonly model: OptConfig;
  /** Numbers in all trained tensors. */ readonly trained: number;
  /** Numbers in one of every size that there is. */ readonly distinct: number;
  /** B */ readonly batch: number;
  /** L */ readonly context: number;
  readonly accumulate: number;
  readonly recompute: 'none' | 'blocks';
  /** Maps (B, H, L, L) that the softmax of a layer keeps: its result, or what it is put together from as well. */ readonly mapsKept: number;
}

/** Sizes of the steps of `train-teacher` on the active backend. */
export function teacherSizes({ train }: TeacherConfig, model: OptConfig): TeacherSizes {
  const trained = Array.from(expectedOptTensors(model), ({ shape }) => numbersIn(shape));
  const { hasHeadKernel, updatesInPlace, poolsBuffers } = backendMemory();
  return {
    trains: 'teacher', model, batch: train.batch, context: train.context, accumulate: train.accumulate, recompute: train.recompute === 'blocks' ? 'blocks' : 'none',
    trained: sumOf(trained), distinct: sumOf(new Set(trained)), mapsKept: hasKernel('BispikCausalSoftmax') ? 1 : 3, hasHeadKernel, updatesInPlace, poolsBuffers,
  };
}

/**
 * Predicts the peak of a step that trains a dense teacher, and of its validation, as `estimateMemory` does for a student: n = B·L tokens, one map B·H·L². A
 * recorded layer keeps the maps of its softmax, both sides of the feed-forward activation (n, F), and thirteen (n, D): inputs of norms and products,
 * heads split and joined.
 */
export function estimateTeacherMemory(sizes: TeacherSizes): MemoryEstimate {
  const { model: { vocabSize, hiddenSize, feedForwardSize } } = sizes;
  const { tokens, map } = unitsOf(sizes, sizes.batch);
  const moments = sizes.poolsBuffers ? pooledTeacherMoments(sizes) : [headMoment(sizes), ...layerMoments(sizes), embeddingMoment(sizes), updateMoment(sizes), validationMoment(sizes)];
  return estimateOf(moments, { 'the embedding (V, D)': vocabSize * hiddenSize, 'the hidden layer (B·L, F)': tokens * feedForwardSize, 'attention maps (B, H, L, L)': map });
}

function unitsOf({ model, context }: TeacherSizes, batch: number) {
  const tokens = batch * context;
  return { tokens, D: tokens * model.hiddenSize, F: tokens * model.feedForwardSize, map: tokens * context * model.heads };
}

function residents({ trained, accumulate }: TeacherSizes): Shares {
  return { 'weights, both moments of Adam': 3 * trained, 'gradients of earlier micro-batches': accumulate > 1 ? trained : 0 };
}

/** What is stored for the backward pass: all of this many layers, or their entrances. */
function stored(sizes: TeacherSizes, layers: number): Shares {
  const { D, F, map } = unitsOf(sizes, sizes.batch);
  if (sizes.recompute === 'blocks') return { 'streams between layers': layers * D };
  return { 'attention maps kept by layers': layers * sizes.mapsKept * map, 'values kept by layers': layers * (13 * D + 2 * F) };
}

function headMoment(sizes: TeacherSizes): Moment {
  const { model: { layers, vocabSize, hiddenSize } } = sizes;
  const { tokens, D } = unitsOf(sizes, sizes.batch);
  const head = headLossBytes({ rows: tokens, vocabulary: vocabSize, width: hiddenSize, teacherWidth: 0, sampled: null, chunkBytes: HEAD_CHUNK_BYTES, hasKernel: sizes.hasHeadKernel });
  return {
    name: 'the losses on the vocabulary',
    shares: { ...residents(sizes), ...stored(sizes, layers), 'logits and their gradients': head / Float32Array.BYTES_PER_ELEMENT, 'the last stream': 3 * D },
  };
}

/** The turn of the last layer in the backward pass: its feed-forward part, where nothing of a second run has gone yet, and its attention. */
function layerMoments(sizes: TeacherSizes): Moment[] {
  const { model: { layers, vocabSize, hiddenSize, feedForwardSize } } = sizes;
  const { D, F, map } = unitsOf(sizes, sizes.batch);
  const isAgain = sizes.recompute === 'blocks';
  const common = { ...residents(sizes), ...stored(sizes, layers), 'gradients': vocabSize * hiddenSize, 'gradients of the stream': 4 * D };
  const again = (maps: number, values: number): Shares => (isAgain ? { 'attention maps of the layer': maps * map, 'values of the layer': values } : {});
  return [
    { name: 'the feed-forward part of the last layer, backward', shares: { ...common, ...again(sizes.mapsKept + 1, 17 * D + 2 * F), 'gradients of the hidden layer': 2 * F, 'gradients of a matrix': feedForwardSize * hiddenSize } },
    { name: 'the attention of the last layer, backward', shares: { ...common, ...again(sizes.mapsKept, 9 * D), ...(isAgain ? {} : { 'passed': -2 * F - 4 * D }), 'gradients of maps': 5 * map } },
  ];
}

/** The end of the backward pass: all gradients, and those of the embedding as input and as head, which are added up. */
function embeddingMoment(sizes: TeacherSizes): Moment {
  const { trained, model: { vocabSize, hiddenSize } } = sizes;
  return { name: 'the gradient of the embedding', shares: { ...residents(sizes), 'gradients': trained, 'both parts of the embedding’s gradient': 2 * vocabSize * hiddenSize } };
}

function updateMoment(sizes: TeacherSizes): Moment {
  const { trained, accumulate, updatesInPlace, model: { vocabSize, hiddenSize } } = sizes;
  return { name: 'the update of the weights', shares: { ...residents(sizes), 'gradients': accumulate > 1 ? 0 : trained, 'new values of the embedding': updatesInPlace ? 0 : 3 * vocabSize * hiddenSize } };
}

/** A few windows at once: a layer, or their logits. */
function validationMoment(sizes: TeacherSizes): Moment {
  const { tokens, D, F, map } = unitsOf(sizes, WINDOWS_AT_ONCE);
  const logits = logitNumbers(sizes.model.vocabSize, { rows: tokens, matrices: 2 });
  const layer = (sizes.mapsKept + 1) * map + 17 * D + 2 * F;
  return { name: 'validation', shares: { ...residents({ ...sizes, accumulate: 1 }), 'logits and their gradients': logits > layer ? logits + 4 * D : 0, 'values of a layer': logits > layer ? 0 : layer } };
}

/** With a pool, as in `pooledShares`. */
export function pooledTeacherMoments(sizes: TeacherSizes): Moment[] {
  const { trained, accumulate, recompute, mapsKept, model: { layers, vocabSize } } = sizes;
  const [step, validation] = [unitsOf(sizes, sizes.batch), unitsOf(sizes, WINDOWS_AT_ONCE)];
  const isKept = recompute === 'none';
  const weights = { 'weights, both moments of Adam': 3 * trained };
  return [{
    name: 'a step, buffers that are kept for the next one included',
    shares: {
      ...weights, 'gradients': trained * (accumulate > 1 ? 2 : 1), 'new values of weights, one of each size': 3 * sizes.distinct,
      'attention maps and their gradients': (isKept ? mapsKept * layers + 4 : mapsKept + 4) * step.map,
      'values of layers': (isKept ? 13 * layers + 6 : layers + 16) * step.D + (isKept ? 2 * layers + 2 : 4) * step.F,
      'logits and their gradients': logitNumbers(vocabSize, { rows: step.tokens, matrices: 1 }),
    },
  }, {
    name: 'validation',
    shares: {
      ...weights, 'attention maps': (mapsKept + 1) * validation.map, 'values of a layer': 17 * validation.D + 2 * validation.F,
      'logits and their gradients': logitNumbers(vocabSize, { rows: validation.tokens, matrices: 2 }),
    },
  }];
}
