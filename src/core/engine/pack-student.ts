import { FormatError } from '../errors.js';
import type { StoredStudent, StoredTensor } from '../student/stored.js';
import type { ImagePlan, MatrixName, PaddedChannels } from './layout.js';
import { MATRIX_NAMES, neuronChannels, paddedIndex, SECTION_ALIGNMENT } from './layout.js';
import { copyRows, packFloatMatrix, packInt4Matrix, packInt8Matrix, packInt8Rows } from './pack-matrix.js';

/** Neurons that see a matrix's current directly; in int8 they compare integer sums, so its scales fold into them. */
const NEURONS_AFTER: Readonly<Record<MatrixName, string>> = {
  qkv: 'qkv_neurons', out: 'attention_write', fc1: 'hidden_neurons', fc2: 'feed_forward_write',
};
const LARGEST = 3.402_823_466_385_288_6e38;
const SMALLEST = 2 ** -149;

/** An image being filled. */
interface Packing {
  readonly plan: ImagePlan;
  readonly target: Uint8Array;
  readonly weightFile: string;
  readonly neurons: ReadonlyMap<string, PaddedChannels>;
  /** Gains by site, kept until the currents they fold into come. */ readonly gains: Map<string, Float32Array>;
}

/**
 * Fills the packed image of a student, every byte of it, holding one of its tensors at a time.
 * A neuron with current g·x + b fires where the one with threshold thr / g and current x + b / g does, for g > 0.
 * @param target at least `plan.totalBytes` bytes, starting at a multiple of 64 in their buffer; not to be moved meanwhile.
 * @throws FormatError naming the tensor when a gain is not above 0; RangeError on an unfit `target`; what reading throws.
 */
export async function packStudent(student: StoredStudent, plan: ImagePlan, target: Uint8Array): Promise<void> {
  if (target.length < plan.totalBytes || target.byteOffset % SECTION_ALIGNMENT !== 0) {
    throw new RangeError(`${target.length} bytes from ${target.byteOffset} given, ${plan.totalBytes} from a multiple of ${SECTION_ALIGNMENT} expected`);
  }
  const { weightFile } = student;
  const packing: Packing = { plan, target, weightFile, neurons: neuronChannels(plan.config), gains: new Map() };
  target.fill(0, 0, plan.totalBytes);
  fillThresholds(packing);
  for await (const tensor of student.tensors()) packTensor(packing, tensor);
}

/** Every neuron as if its gain were 1: padding channels never fire. */
function fillThresholds(packing: Packing): void {
  const { shape, config } = packing.plan;
  const threshold = foldThreshold(config.neuron.threshold, 1);
  for (let layer = 0; layer < shape.layers; layer += 1) {
    for (const [name, channels] of packing.neurons) {
      const thresholds = floats(packing, `layers.${layer}.${name}.threshold`).fill(Infinity);
      for (let run = 0; run < channels.runs; run += 1) thresholds.fill(threshold, run * channels.padded, run * channels.padded + channels.real);
    }
    floats(packing, `layers.${layer}.attention.threshold`).fill(threshold);
  }
}

function packTensor(packing: Packing, { name, values }: StoredTensor): void {
  if (name === 'embed_tokens.weight') return packEmbedding(packing, values);
  if (name === 'embed_positions.weight') return copyRows(values, rowsOf(packing), floats(packing, 'positions'));
  if (name.startsWith('final_norm.')) return floats(packing, name).set(values);
  const end = name.lastIndexOf('.');
  const site = name.slice(0, end);
  const kind = name.slice(end + 1);
  const matrix = MATRIX_NAMES.find((candidate) => site.endsWith(`.${candidate}`));
  if (matrix !== undefined) return kind === 'weight' ? packMatrix(packing, site, { matrix, values }) : packMatrixBias(packing, site, { matrix, values });
  if (kind === 'gain') return foldGain(packing, site, values);
  return kind === 'distance_bias' ? foldDistances(packing, site, values) : foldNeuronBias(packing, site, values);
}

function packEmbedding(packing: Packing, values: Float32Array): void {
  if (packing.plan.precision === 'float32') return copyRows(values, rowsOf(packing), floats(packing, 'embedding.weights'));
  packInt8Rows(values, rowsOf(packing), { weights: bytes(packing, 'embedding.weights'), scales: floats(packing, 'embedding.scales') });
}

function rowsOf({ plan: { shape } }: Packing): { width: number; padded: number } {
  return { width: shape.width, padded: shape.paddedWidth };
}

function packMatrix(packing: Packing, site: string, from: { readonly matrix: MatrixName; readonly values: Float32Array }): void {
  const { precision, shape } = packing.plan;
  const matrix = shape.matrices[from.matrix];
  if (precision === 'float32') return packFloatMatrix(from.values, matrix, floats(packing, `${site}.weights`));
  const pack = precision === 'int8' ? packInt8Matrix : packInt4Matrix;
  pack(from.values, matrix, { weights: bytes(packing, `${site}.weights`), scales: floats(packing, `${site}.scales`) });
}

/** The bias as it is, and in int8 folded into the neurons behind the matrix, whose scales are there already. */
function packMatrixBias(packing: Packing, site: string, from: { readonly matrix: MatrixName; readonly values: Float32Array }): void {
  const { precision, shape, config, sections } = packing.plan;
  const channels = shape.matrices[from.matrix].to;
  const bias = floats(packing, `${site}.bias`);
  from.values.forEach((value, i) => { bias[paddedIndex(channels, i)] = value; });
  const neurons = `${site.slice(0, -from.matrix.length)}${NEURONS_AFTER[from.matrix]}`;
  if (precision !== 'int8' || !sections.has(`${neurons}.bias`)) return;
  const scales = floats(packing, `${site}.scales`);
  const folded = { bias: floats(packing, `${neurons}.bias`), threshold: floats(packing, `${neurons}.threshold`) };
  from.values.forEach((value, i) => {
    const channel = paddedIndex(channels, i);
    folded.bias[channel] = foldBias(value, scales[channel]!);
    folded.threshold[channel] = foldThreshold(config.neuron.threshold, scales[channel]!);
  });
}

function foldGain(packing: Packing, site: string, gain: Float32Array): void {
  const wrong = gain.findIndex((value) => !(value > 0));
  if (wrong >= 0) {
    throw new FormatError(`${packing.weightFile}: ${site}.gain: value ${wrong} is ${gain[wrong]}, a gain above 0 expected`, {
      suggestions: ['Take the student of an earlier run, or distil again: training keeps gains above 0'],
    });
  }
  packing.gains.set(site, gain);
  const threshold = floats(packing, `${site}.threshold`);
  gain.forEach((value, i) => { threshold[channelOf(packing, site, i)] = foldThreshold(packing.plan.config.neuron.threshold, value); });
}

function foldNeuronBias(packing: Packing, site: string, values: Float32Array): void {
  const gain = packing.gains.get(site);
  const bias = floats(packing, `${site}.bias`);
  values.forEach((value, i) => { bias[channelOf(packing, site, i)] = foldBias(value, gain?.[i] ?? 1); });
  packing.gains.delete(site);
}

/** reversed[h][C − 1 − distance] = r[h][distance] / g[h], so that keys in ascending order read ascending addresses. */
function foldDistances(packing: Packing, site: string, values: Float32Array): void {
  const { contextLength, biasStride } = packing.plan.shape;
  const gain = packing.gains.get(site);
  const reversed = floats(packing, `${site}.reversed`);
  values.forEach((value, i) => {
    const head = Math.floor(i / contextLength);
    reversed[head * biasStride + contextLength - 1 - (i % contextLength)] = foldBias(value, gain?.[head] ?? 1);
  });
  packing.gains.delete(site);
}

/** Heads have no padding; all other neurons have. */
function channelOf({ neurons }: Packing, site: string, index: number): number {
  const channels = neurons.get(site.slice(site.lastIndexOf('.') + 1));
  return channels === undefined ? index : paddedIndex(channels, index);
}

/** thr / factor in float32; never 0 (it would fire without a current) nor infinite (the mark of padding). */
function foldThreshold(threshold: number, factor: number): number {
  return Math.min(LARGEST, Math.max(SMALLEST, Math.fround(threshold / factor)));
}

/** b / factor in float32, finite: an infinite current would leave NaN in the membrane. */
function foldBias(bias: number, factor: number): number {
  return Math.min(LARGEST, Math.max(-LARGEST, Math.fround(bias / factor)));
}

function bytes({ plan, target }: Packing, name: string): Uint8Array {
  const section = plan.sections.get(name);
  if (section === undefined) throw new RangeError(`the image has no section ${name}`);
  return target.subarray(section.offset, section.offset + section.bytes);
}

function floats(packing: Packing, name: string): Float32Array {
  const view = bytes(packing, name);
  return new Float32Array(view.buffer, view.byteOffset, view.length / 4);
}
