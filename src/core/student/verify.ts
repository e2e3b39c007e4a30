import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { listenToKernels } from '../backend/profile/kernel-calls.js';
import { BackendError, NumericError } from '../errors.js';
import type { SpikeTensor } from '../ops/lif.js';
import { spikingAttention } from '../ops/spiking-attention.js';
import { tokenTensor } from '../ops/token-tensors.js';
import type { SpikeSite, TokenIds } from '../types.js';
import { layerAttention } from './attention.js';
import { block } from './block.js';
import type { Student } from './forward.js';
import { embed } from './forward.js';

/** Matrix products of one site whose operands were looked at. */
export interface VerifiedSite {
  readonly layer: number;
  /** Whose spikes enter. */ readonly site: SpikeSite;
  readonly products: number;
  /** Values that were looked at; all of them are 0 or 1. */ readonly values: number;
}

/** What was seen of a student's blocks. */
export interface BlockVerification {
  readonly tokens: number;
  readonly sites: readonly VerifiedSite[];
  /** Multiplications of single numbers within neurons: gain, decay, threshold, mask of the future. At inference gains fold into thresholds. */ readonly neuronMultiplications: number;
  /** Every other kernel that ran in a block and how often; all of them add, compare or move. */ readonly otherKernels: Readonly<Record<string, number>>;
}

const PRODUCTS = new Set(['BatchMatMul', '_FusedMatMul']);
/** These add, compare, or move values, and nothing else. */
const HARMLESS = new Set([
  'Add', 'AddN', 'Sub', 'Neg', 'Sum', 'Reshape', 'Identity', 'Cast', 'Concat', 'Slice', 'SplitV', 'Transpose', 'Tile', 'Pack', 'Unpack', 'GatherV2', 'Range', 'Fill', 'ExpandDims',
  'GreaterEqual', 'Less', 'Maximum', 'LogicalAnd', 'LogicalNot', 'Select', 'ZerosLike', 'OnesLike',
]);
/** Neurons are functions of single numbers: there a multiplication is no matrix product. Their rates, which only training reads, are a division. */
const NEURONS = new Set(['BispikLif', 'BispikSpikingAttention']);
const IN_NEURONS = new Set(['Multiply', 'RealDiv']);

/**
 * Runs a student's blocks with every kernel watched: each matrix product must have only 0 and 1 in its left operand (queries with keys, and attention with values, in both),
 * and no softmax, norm, exponential or product of real numbers may occur outside neurons. On the backend `cpu`, where every operation is a standard kernel of
 * TensorFlow.js, so that none of our own kernels vouches for itself. @throws NumericError naming the layer, the site and what was found; BackendError on another backend.
 */
export function verifyBlocks(student: Student, ids: TokenIds): BlockVerification {
  if (tf.getBackend() !== 'cpu') throw new BackendError(`blocks are verified on the backend cpu, not on ${tf.getBackend()}`);
  const seen: Seen = { place: { layer: 0, site: 'attention_entry' }, sites: new Map(), neurons: [], neuronMultiplications: 0, others: new Map() };
  const stop = listenToKernels({ begin: (name, inputs) => { look(seen, name, inputs); }, end: ({ name }) => { if (NEURONS.has(name)) seen.neurons.pop(); } });
  try {
    tf.tidy(() => { runBlocks(student, ids, seen); });
  } finally {
    stop();
  }
  return { tokens: ids.length, sites: [...seen.sites.values()], neuronMultiplications: seen.neuronMultiplications, otherKernels: Object.fromEntries([...seen.others].sort()) };
}

/** What has been seen so far, and where the pass is. */
interface Seen {
  /** The last spikes that were made. */ place: { layer: number; site: SpikeSite };
  readonly sites: Map<string, VerifiedSite>;
  /** Kernels of neurons that are under way. */ readonly neurons: string[];
  neuronMultiplications: number;
  readonly others: Map<string, number>;
}

function runBlocks({ config, parameters }: Student, ids: TokenIds, seen: Seen): void {
  const tokens = tokenTensor([ids], config, 0);
  // The stream begins as a current; making it is no part of a block.
  const embedded = paused(seen, () => tf.mul(embed({ config, parameters }, tokens, 0), config.embeddingGain));
  let stream = tf.reshape<tf.Rank.R3>(embedded, [1, ids.length, config.hiddenSize]);
  const attend = (layer: number, qkv: SpikeTensor<tf.Rank.R3>): tf.Tensor3D => {
    const [timeSteps, length, width] = qkv.shape;
    const { values } = spikingAttention(layerAttention(tf.reshape(qkv, [timeSteps, 1, length, width]), layer, { config, parameters }), config.neuron);
    return tf.reshape<tf.Rank.R3>(values, [timeSteps, length, width / 3]);
  };
  for (let layer = 0; layer < config.layers; layer++) {
    seen.place = { layer, site: 'attention_entry' };
    stream = block(stream, { parameters, config, layer, attend, observe: ({ site }) => { seen.place = { layer, site }; } });
  }
}

/** Runs something that is not looked at. */
function paused<Result>(seen: Seen, run: () => Result): Result {
  seen.neurons.push('');
  try {
    return run();
  } finally {
    seen.neurons.pop();
  }
}

function look(seen: Seen, name: string, inputs: NamedTensorInfoMap): void {
  if (seen.neurons[0] === '') return;
  if (NEURONS.has(name)) {
    seen.neurons.push(name);
  } else if (PRODUCTS.has(name)) {
    lookAtProduct(seen, inputs);
  } else if (seen.neurons.length > 0 && IN_NEURONS.has(name)) {
    seen.neuronMultiplications += sizeOf(inputs['a']) >= sizeOf(inputs['b']) ? sizeOf(inputs['a']) : sizeOf(inputs['b']);
  } else if (HARMLESS.has(name)) {
    seen.others.set(name, (seen.others.get(name) ?? 0) + 1);
  } else {
    const { layer, site } = seen.place;
    throw new NumericError(`layer ${layer}, after site ${site}: the kernel ${name} runs in a block; only products with spikes, neurons, additions and comparisons may`);
  }
}

function lookAtProduct(seen: Seen, inputs: NamedTensorInfoMap): void {
  const { layer, site } = seen.place;
  const isAttention = seen.neurons.length > 0;
  const values = binaryValues(inputs['a'], seen.place) + (isAttention ? binaryValues(inputs['b'], seen.place) : 0);
  const key = `${layer} ${site}`;
  const known = seen.sites.get(key);
  seen.sites.set(key, { layer, site, products: (known?.products ?? 0) + 1, values: (known?.values ?? 0) + values });
}

/** How many values there are. @throws NumericError when one is neither 0 nor 1. */
function binaryValues(tensor: TensorInfo | undefined, { layer, site }: Seen['place']): number {
  if (tensor === undefined) throw new NumericError(`layer ${layer}, site ${site}: a matrix product lacks an operand`);
  const values = tf.backend().readSync(tensor.dataId) as Float32Array;
  const wrong = values.find((value) => value !== 0 && value !== 1);
  if (wrong !== undefined) throw new NumericError(`layer ${layer}, site ${site}: ${wrong} enters a matrix product; only 0 and 1 may`);
  return values.length;
}

const sizeOf = (tensor: TensorInfo | undefined): number => (tensor === undefined ? 0 : tf.util.sizeFromShape(tensor.shape));
