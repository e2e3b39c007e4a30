import { WINDOWS_AT_ONCE } from '../ops/batch-tensors.js';
import { headLossBytes } from '../ops/head-loss-bytes.js';
import { HEAD_CHUNK_BYTES } from '../ops/readout.js';
import type { StudentConfig } from '../student/config.js';
import { entranceWidth } from '../student/config.js';
import type { ModelShape } from '../types.js';
import { comparedNumbers, fillNumbers, pooledShares } from './memory-pool.js';
import type { MemoryEstimate, Moment, Shares } from './moments.js';
import { estimateOf } from './moments.js';
import type { StartSizes } from './start-memory.js';
import { startMoments } from './start-memory.js';

/** Everything that decides how much memory a training step takes. */
export interface StepSizes {
  readonly trains: 'student';
  readonly student: StudentConfig;
  readonly teacher: ModelShape;
  /** Numbers in all trained tensors, projections included. */ readonly trained: number;
  /** Numbers in one trained tensor of every size that there is. */ readonly distinct: number;
  /** Numbers in the teacher's tensors that are held. */ readonly frozen: number;
  /** Numbers in all of the teacher's tensors. */ readonly whole: number;
  /** N of the teacher cache that the run reads; null where the teacher runs in every step. */ readonly sampled: number | null;
  /** B */ readonly batch: number;
  /** L */ readonly context: number;
  readonly accumulate: number;
  readonly recompute: 'none' | 'blocks';
  /** The attention loss: it needs maps, unless they are streamed; null where it has the weight 0. */ readonly attentionLoss: 'raw' | 'row-normalised' | null;
  /** Whether streams are compared after every block. */ readonly hasFeatureLoss: boolean;
  /** Whether they pass two matrices first. */ readonly hasProjectedFeatures: boolean;
  /** True where attention and its loss are computed tile by tile and no (B, H, L, L) tensor is made. */ readonly streamsAttention: boolean;
  /** True where the losses on the vocabulary have a kernel of their own. */ readonly hasHeadKernel: boolean;
  /** True where the teacher's distributions are sampled by a kernel, else on the host. */ readonly hasSampleKernel: boolean;
  /** True where spikes that enter matrices are kept in one bit each. */ readonly packsSpikes: boolean;
  /** True where an update writes over weights and moments, else new values of one parameter after the other are made. */ readonly updatesInPlace: boolean;
  /** Of the start that comes before the first step; null where there is none. */ readonly start: StartSizes | null;
  /** True where a released buffer is kept for tensors of exactly its size, as `webgpu` does. */ readonly poolsBuffers: boolean;
}

/**
 * Predicts the peak of the values that are alive at once, as the kernels of `wasm` and `webgpu` make them: the largest of the moments of a step. Letters as in
 * the documentation: n = B·L tokens, M = T·n rows, one map B·H·L². A recorded block keeps the current of every neuron layer (2D + 3D + D + F, the first
 * stream without time), the spikes that enter matrices (2E + D + F, in bits where those can be packed) and attention (3D), the attention membranes (T maps) and what the comparison with the teacher needs (a copy of
 * its maps where heads are chosen from them, 6 maps row-normalised).
 * With recomputation only one block at a time keeps these, and every block its stream. Memory a backend holds in reserve is not in it.
 */
export function estimateMemory(sizes: StepSizes): MemoryEstimate {
  const moments = sizes.poolsBuffers ? pooledMoments(sizes)
    : [...stepMoments(sizes), ...(sizes.sampled === null ? [teacherMoment(sizes)] : [fillMoment(sizes)]), embeddingMoment(sizes), updateMoment(sizes), validationMoment(sizes)];
  // The start and the steps follow each other; what a backend keeps in between is given back.
  return estimateOf(sizes.start === null ? moments : [...moments, ...startMoments(sizes, sizes.start)], tensorSizes(sizes));
}

/** With a pool the most that was held is kept, whatever happens later. */
function pooledMoments(sizes: StepSizes): Moment[] {
  const { step, validation } = pooledShares(sizes);
  return [
    { name: 'a step, buffers that are kept for the next one included', shares: step }, { name: 'validation', shares: validation },
    ...(sizes.sampled === null ? [] : [fillMoment(sizes)]),
  ];
}

/** Widths and counts that the formulas share, in numbers. */
function unitsOf({ student, teacher, batch, context }: Pick<StepSizes, 'student' | 'teacher' | 'batch' | 'context'>) {
  const tokens = batch * context;
  return {
    D: student.hiddenSize, E: entranceWidth(student), F: student.feedForwardSize, T: student.neuron.timeSteps, tokens,
    /** (T, n, D) */ row: student.neuron.timeSteps * tokens,
    map: tokens * context * student.heads, teacherMap: tokens * context * teacher.heads,
    /** A spike that is written passes a neuron, which keeps its current. */ writes: student.residualWrite === 'spike' ? 2 : 0,
  };
}

/** Alive from the first step to the last. */
function residents({ trained, frozen, accumulate }: StepSizes): Shares {
  return {
    'weights, both moments of Adam': 3 * trained, 'teacher weights': frozen,
    'gradients of earlier micro-batches': accumulate > 1 ? trained : 0,
  };
}

/** Spikes (T, n, width) as they are kept for the products with them. */
function matrixSpikes(sizes: StepSizes, width: number): number {
  const { row } = unitsOf(sizes);
  return row * (sizes.packsSpikes ? Math.ceil(width / 32) : width);
}

/** What a recorded block keeps for its backward pass. */
function keptByBlock(sizes: StepSizes, layer: number): { currents: number; spikes: number; maps: number } {
  const { D, E, F, T, tokens, row, map, writes } = unitsOf(sizes);
  const chosen = sizes.teacher.heads === sizes.student.heads ? 0 : 1;
  const compared = sizes.attentionLoss === null ? 0 : sizes.attentionLoss === 'raw' ? chosen : 6;
  return {
    currents: (layer === 0 ? tokens * D : row * D) + row * ((5 + writes) * D + F),
    spikes: 2 * matrixSpikes(sizes, E) + matrixSpikes(sizes, D) + matrixSpikes(sizes, F) + row * 3 * D,
    maps: sizes.streamsAttention ? 4 * map / sizes.context : (T + compared) * map,
  };
}

/** What the losses see of the teacher. */
function targets(sizes: StepSizes): { features: number; attention: number } {
  const { tokens, teacherMap } = unitsOf(sizes);
  const { layers, hiddenSize } = sizes.teacher;
  if (sizes.sampled !== null) return { features: tokens * (hiddenSize + 2 * sizes.sampled), attention: 0 };
  return { features: (layers + 2) * tokens * hiddenSize, attention: layers * (sizes.streamsAttention ? 2 * tokens * hiddenSize : teacherMap) };
}

function stepMoments(sizes: StepSizes): Moment[] {
  const { student: { layers } } = sizes;
  const all = Array.from({ length: layers }, (_, layer) => layer);
  return [headMoment(sizes, all), ...all.flatMap((layer) => blockMoments(sizes, layer))];
}

/** The end of the forward pass. */
function headMoment(sizes: StepSizes, all: readonly number[]): Moment {
  const { student, teacher, hasFeatureLoss } = sizes;
  const { D, tokens, row } = unitsOf(sizes);
  const { features, attention } = targets(sizes);
  const head = headLossBytes({
    rows: tokens, vocabulary: student.vocabSize, width: D, chunkBytes: HEAD_CHUNK_BYTES,
    hasKernel: sizes.hasHeadKernel, teacherWidth: sizes.sampled === null ? teacher.hiddenSize : 0, sampled: sizes.sampled,
  }) / Float32Array.BYTES_PER_ELEMENT;
  return {
    name: 'the losses on the vocabulary',
    shares: {
      ...residents(sizes), ...stored(sizes, all),
      'targets from the teacher': features + attention, 'logits and their gradients': head,
      'streams compared with the teacher': tokens * D * (student.layers + 6) + (hasFeatureLoss ? comparedNumbers(sizes) : 0), 'the last stream': row * D,
    },
  };
}

/** What blocks of these layers have stored for the backward pass. */
function stored(sizes: StepSizes, layers: readonly number[]): Shares {
  const { D, tokens, row } = unitsOf(sizes);
  if (sizes.recompute === 'blocks') return { 'streams between blocks': layers.reduce((sum, layer) => sum + (layer === 0 ? tokens : row) * D, 0) };
  const kept = layers.map((layer) => keptByBlock(sizes, layer));
  return {
    'currents kept by blocks': kept.reduce((sum, { currents }) => sum + currents, 0),
    'spikes kept by blocks': kept.reduce((sum, { spikes }) => sum + spikes, 0),
    'attention maps kept by blocks': kept.reduce((sum, { maps }) => sum + maps, 0),
  };
}

/** A block's turn in the backward pass: its feed-forward neurons, and its attention. */
function blockMoments(sizes: StepSizes, layer: number): Moment[] {
  const { D, E, F, tokens, row, map } = unitsOf(sizes);
  const { student, teacher, streamsAttention } = sizes;
  const isAgain = sizes.recompute === 'blocks';
  const before = Array.from({ length: layer + (isAgain ? 0 : 1) }, (_, i) => i);
  const kept = keptByBlock(sizes, layer);
  const { attention } = targets(sizes);
  const perBlock = (sizes.trained - (student.vocabSize + student.contextLength) * D) / student.layers;
  const common = {
    ...residents(sizes), ...stored(sizes, before),
    'targets from the teacher': isAgain && sizes.attentionLoss !== null ? (attention / teacher.layers) * (layer + 1) : 0,
    'gradients': student.vocabSize * D + perBlock * (student.layers - layer - 1),
    'streams compared with the teacher': tokens * D * (layer + 4),
  };
  const feedForward = isAgain ? { 'currents of the block': kept.currents, 'spikes of the block': kept.spikes - matrixSpikes(sizes, F), 'attention maps of the block': kept.maps } : { 'spikes passed': -matrixSpikes(sizes, F) };
  const [currentsPassed, spikesPassed] = [row * (F + 2 * D), matrixSpikes(sizes, F) + matrixSpikes(sizes, E) + matrixSpikes(sizes, D)];
  const afterwards = isAgain
    ? { 'currents of the block': kept.currents - currentsPassed, 'spikes of the block': kept.spikes - spikesPassed, 'attention maps of the block': kept.maps }
    : { 'passed': -currentsPassed - spikesPassed };
  const streams = { 'gradients of the stream': row * D * (isAgain ? 3 : 2) };
  return [
    { name: `the feed-forward neurons of block ${layer}, backward`, shares: { ...common, ...feedForward, ...streams, 'gradients of currents and spikes': 2 * row * F, 'gradients of a matrix': F * D } },
    { name: `the attention of block ${layer}, backward`, shares: { ...common, ...afterwards, ...streams, 'gradients of currents and spikes': 4 * row * D, 'gradients of maps': !streamsAttention && sizes.attentionLoss === 'row-normalised' ? 3 * map : 0 } },
  ];
}

/** The teacher's forward pass: what every layer hands out until the end, and what one computes. */
function teacherMoment(sizes: StepSizes): Moment {
  const { tokens, teacherMap } = unitsOf(sizes);
  const { layers, hiddenSize, feedForwardSize } = sizes.teacher;
  return {
    name: 'the teacher’s forward pass',
    shares: {
      ...residents(sizes), 'streams of the teacher': layers * tokens * hiddenSize, 'a layer of the teacher': tokens * (7 * hiddenSize + 3 * feedForwardSize),
      'attention maps of the teacher': sizes.streamsAttention ? 0 : (layers + 2) * teacherMap,
    },
  };
}

/** Before a run with a cache there is anything of a student: the whole teacher fills it. */
function fillMoment(sizes: StepSizes): Moment {
  return { name: 'filling the teacher cache', shares: { 'teacher weights': sizes.whole, 'a pass of the teacher': fillNumbers(sizes) } };
}

/** The end of the backward pass: all gradients, and those of the embedding as input and as head, which are added up. */
function embeddingMoment(sizes: StepSizes): Moment {
  const { student: { vocabSize, hiddenSize } } = sizes;
  return { name: 'the gradient of the embedding', shares: { ...residents(sizes), gradients: sizes.trained, 'both parts of the embedding’s gradient': 2 * vocabSize * hiddenSize } };
}

/** Clipping and Adam: all gradients, and new values of the largest tensor unless they are written over the old ones. */
function updateMoment(sizes: StepSizes): Moment {
  const { student: { vocabSize, hiddenSize } } = sizes;
  return { name: 'the update of the weights', shares: { ...residents(sizes), gradients: sizes.accumulate > 1 ? 0 : sizes.trained, 'new values of the embedding': sizes.updatesInPlace ? 0 : 3 * vocabSize * hiddenSize } };
}

/** Validation runs a few windows at once, and keeps nothing of a block that has run. */
function validationMoment(sizes: StepSizes): Moment {
  const at = { ...sizes, batch: WINDOWS_AT_ONCE, accumulate: 1 };
  const { D, E, F, row, map } = unitsOf(at);
  const kept = keptByBlock({ ...at, attentionLoss: null }, 1);
  return {
    name: 'validation',
    shares: { ...residents(at), 'currents of the block': kept.currents + 2 * row * D, 'spikes of the block': row * (2 * E + 4 * D + F), 'attention maps of the block': kept.maps + (sizes.streamsAttention ? 0 : map),
      'a check that spikes are spikes': 2 * row * Math.max(E, F, 3 * D) },
  };
}

/** Single tensors that can be the largest. */
function tensorSizes(sizes: StepSizes): Shares {
  const { D, E, F, T, row, map, teacherMap } = unitsOf(sizes);
  return {
    'the embedding (V, D)': sizes.student.vocabSize * D,
    'the spikes of a layer of neurons (T, B·L, width)': row * Math.max(E, F, 3 * D),
    'attention maps (T, B, H, L, L)': sizes.streamsAttention ? 0 : Math.max(T * map, teacherMap),
  };
}
