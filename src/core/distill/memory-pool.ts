import { planSpikeTiles } from '../backend/webgpu-kernels/spike-tiles.js';
import { SAMPLED_MATRICES } from '../ops/head-loss-bytes.js';
import { WINDOWS_AT_ONCE } from '../ops/batch-tensors.js';
import { chunkRows, HEAD_CHUNK_BYTES } from '../ops/readout.js';
import { entranceWidth } from '../student/config.js';
import { CHECKED_AT_ONCE } from '../student/observe.js';
import { windowsOfPass } from '../teacher-cache/fill.js';
import type { StepSizes } from './memory-estimate.js';

/** Shares in numbers (float32). */
type Shares = Readonly<Record<string, number>>;

/**
 * What the buffers of `webgpu` take. Its pool keeps a buffer that is released for the next tensor of exactly that size, until validation begins or ends
 * (`freeUnusedMemory`), so that the peak is not that of any moment: it is the sum, over the sizes of tensors, of the most buffers of that size that were
 * ever in use at once. The sizes are those of (T, n, ·) and (n, ·) tensors of a width, n = B·L tokens, of weights, and of chunks of logits. Every spike that
 * enters a matrix is kept in one bit. Counts are those of our kernels, found with a device that only counts (`bench/support/dry-memory.ts`).
 */
export function pooledShares(sizes: StepSizes): { readonly step: Shares; readonly validation: Shares } {
  return { step: stepShares(sizes), validation: validationShares(sizes) };
}

function widths({ student, teacher, batch, context }: StepSizes, tokens = batch * context) {
  const row = student.neuron.timeSteps * tokens;
  return {
    D: student.hiddenSize, E: entranceWidth(student), F: student.feedForwardSize, T: student.neuron.timeSteps, tokens, row, layers: student.layers,
    teacherRow: tokens * teacher.hiddenSize, isPair: student.onOff, isSpike: student.residualWrite === 'spike',
  };
}

function stepShares(sizes: StepSizes): Shares {
  const { teacher, trained, frozen, distinct, accumulate, hasFeatureLoss } = sizes;
  const { D, F, tokens, teacherRow, layers } = widths(sizes);
  const { sampled } = sizes;
  return {
    'weights, both moments of Adam': 3 * trained, 'teacher weights': frozen,
    // Those of a micro-batch, beside the sum of earlier ones.
    'gradients': trained * (accumulate > 1 ? 2 : 1),
    // New values and moments of one tensor of each size; the head's gradient and the norm of a gradient need no more.
    'new values of weights, one of each size': 3 * distinct,
    'partial sums of products': partialSums(sizes),
    ...blockShares(sizes), 'attention maps, which shapes without tiles make': mapShare(sizes),
    // Streams, queries and keys of every teacher layer, a layer's own values, and the embedding; compared streams and their gradients.
    'targets from the teacher': sampled === null ? 3 * teacher.layers * teacherRow + 2 * tokens * teacher.feedForwardSize : teacherRow + 2 * sampled * tokens,
    'streams compared with the teacher': tokens * D * (layers + 8) + (teacher.hiddenSize === D ? 0 : 7 * teacherRow) + (hasFeatureLoss ? comparedNumbers(sizes) : 0),
    'logits and their gradients': logitNumbers(sizes.student.vocabSize, { rows: tokens, matrices: sampled === null ? 2 : SAMPLED_MATRICES }) + (F > D ? tokens * D : 0),
  };
}

/** What the layers of neurons and the residual streams take. */
function blockShares(sizes: StepSizes): Shares {
  const { D, E, F, T, tokens, row, layers, isSpike } = widths(sizes);
  const isKept = sizes.recompute === 'none';
  // Of the layer that is passed: its current and two gradients. Currents of qkv and fc1 are what its backward pass starts from.
  const layersOfNeurons = (isKept ? layers + 2 : 3) * row * (F + 3 * D);
  const streams = isKept ? (3 + (isSpike ? 2 : 0)) * layers + (isSpike ? 3 : 2) : layers + (isSpike ? 8 : 5);
  return {
    'currents of neurons and their gradients': layersOfNeurons, 'spikes of both entrances': 2 * row * E,
    'streams between blocks and what is written to them': streams * row * D,
    'packed spikes kept by blocks': (isKept ? layers : 1) * T * packedWords(sizes) * tokens,
  };
}

/** Attention put together from other kernels: some 23 maps (T, B, H, L, L) of one layer at a time and 2 that each layer keeps, and distances as one-hot rows (L², R) twice. */
function mapShare({ streamsAttention, student: { neuron: { timeSteps }, heads, layers, contextLength }, batch, context, recompute }: StepSizes): number {
  if (streamsAttention) return 0;
  return 2 * context ** 2 * contextLength + (23 + 2 * (recompute === 'none' ? layers : 0)) * timeSteps * batch * heads * context ** 2;
}

/** 32-bit words of the spikes of a token and time step: both entrances, attention's output and the hidden layer for the matrices, queries, keys and values for attention. */
function packedWords(sizes: StepSizes): number {
  const { D, E, F } = widths(sizes);
  const words = (width: number): number => Math.ceil(width / 32);
  return 2 * words(E) + words(D) + words(F) + 3 * sizes.student.heads * words(D / sizes.student.heads);
}

/** What the comparison of streams saves: differences, and in the projected form what its two products, its GELU and its normalisation need; with recomputation of one layer at a time. */
export function comparedNumbers(sizes: StepSizes): number {
  const { teacherRow, layers } = widths(sizes);
  const perLayer = sizes.hasProjectedFeatures ? 9 : 1;
  return (sizes.recompute === 'none' ? perLayer * layers : perLayer + 1) * teacherRow;
}

/** Chunks of logits of two lengths: all but the last are equal. */
export function logitNumbers(vocabSize: number, { rows, matrices }: { readonly rows: number; readonly matrices: number }): number {
  const chunks = chunkRows({ rows, vocabulary: vocabSize, chunkBytes: HEAD_CHUNK_BYTES });
  return matrices * vocabSize * [...new Set(chunks.map(({ count }) => count))].reduce((sum, count) => sum + count, 0);
}

/** Products towards weights are summed in parts where their tiles are few. */
function partialSums(sizes: StepSizes): number {
  const { D, E, F, row } = widths(sizes);
  const shapes = [[E, 3 * D], [D, D], [E, F], [F, D]] as const;
  return shapes.reduce((sum, [p, q]) => {
    const { parts } = planSpikeTiles({ p, q, k: row });
    return sum + (parts > 1 ? parts * p * q : 0);
  }, 0);
}

/** A pass of the teacher whose distributions are sampled: logits, and what they are put through where no kernel samples; a layer, of which little beside. */
export function fillNumbers({ teacher, context, hasSampleKernel }: StepSizes): number {
  const windows = windowsOfPass(context, teacher.vocabSize);
  return windows * context * ((hasSampleKernel ? 1 : 6) * teacher.vocabSize + (3 * teacher.layers + 7) * teacher.hiddenSize + 3 * teacher.feedForwardSize) + 4 * windows * teacher.heads * context ** 2;
}

/** A pass of eight windows that keeps nothing of a block that has run, and looks at all spikes. */
function validationShares(sizes: StepSizes): Shares {
  const { D, E, F, tokens, row, layers, isPair, isSpike } = widths(sizes, WINDOWS_AT_ONCE * sizes.context);
  const check = (numbers: number): number => (numbers <= CHECKED_AT_ONCE ? 2 * numbers : 3 * (CHECKED_AT_ONCE + (numbers % CHECKED_AT_ONCE)));
  return {
    'weights, both moments of Adam': 3 * sizes.trained, 'teacher weights': sizes.frozen,
    'currents and spikes of the block': 2 * row * (F + 3 * D + E), 'streams': (6 + (isSpike ? 2 : 0)) * row * D + tokens * D * (layers + 4) + (isPair ? tokens * E : 0),
    'a check that spikes are spikes': check(row * F) + check(row * 3 * D) + check(row * E),
    'logits': logitNumbers(sizes.student.vocabSize, { rows: tokens, matrices: 2 }),
    'attention maps, which shapes without tiles make': sizes.streamsAttention ? 0 : 11.5 * row * sizes.context * sizes.student.heads,
  };
}
