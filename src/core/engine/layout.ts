import type { StudentConfig } from '../student/config.js';
import type { WeightPrecision } from '../types.js';

/**
 * How the engine's memory is laid out: widths, the packed image's sections and the sizes of cache pages. Everything here
 * follows from a student's configuration and the precision, so that equal inputs always give equal addresses.
 */

/** What a student can be packed as. */
export const ENGINE_PRECISIONS: readonly WeightPrecision[] = ['float32', 'int8', 'int4'];

/** The spiking matrices of a block. */
export type MatrixName = 'qkv' | 'out' | 'fc1' | 'fc2';
export const MATRIX_NAMES: readonly MatrixName[] = ['qkv', 'out', 'fc1', 'fc2'];

/** Spikes are kept in words of 64 channels; every width is a multiple of this. */
export const WORD_CHANNELS = 64;
/** Positions of one page of the key-value cache. */
export const PAGE_POSITIONS = 64;
/** Consecutive inputs that share a scale in int4. */
export const INT4_GROUP_INPUTS = 128;
/** Every section starts at a multiple of this: a cache line, and enough for any vector load. */
export const SECTION_ALIGNMENT = 64;
/** All that a 32-bit WebAssembly memory can address. */
export const WASM_MEMORY_BYTES = 2 ** 32;

/** `count` rounded up to a multiple of 64. */
export function pad64(count: number): number {
  return Math.ceil(count / WORD_CHANNELS) * WORD_CHANNELS;
}

/**
 * Largest integer an activation of the tied head may be quantised to, so that Σ x·w over `width` int8 weights (|w| ≤ 127)
 * fits an int32 whatever the order: min(32767, ⌊(2^31 − 1) / (127·width)⌋).
 */
export function headLimit(width: number): number {
  return Math.min(32_767, Math.floor((2 ** 31 - 1) / (127 * width)));
}

/** Channels as a file has them and as the image pads them: `runs` stretches of `real` channels, each padded to `padded`. */
export interface PaddedChannels {
  readonly runs: number;
  readonly real: number;
  readonly padded: number;
  /** runs · padded */ readonly width: number;
}

/** Where channel `index` of the file lies among the padded ones. */
export function paddedIndex(channels: PaddedChannels, index: number): number {
  return Math.floor(index / channels.real) * channels.padded + (index % channels.real);
}

/**
 * A packed matrix; rows are inputs, so that a spike selects one row. Rows are whole, one behind the other: long contiguous rows
 * suit the hardware prefetcher. In blocks of 256 columns the products of decoding took 25 to 46 % longer (docs/log.md).
 */
export interface MatrixShape {
  readonly from: PaddedChannels;
  readonly to: PaddedChannels;
  /** I, a multiple of 64 */ readonly inputs: number;
  /** O, a multiple of 64 */ readonly outputs: number;
}

/** Widths and counts of a student as the engine runs it. */
export interface EngineShape {
  readonly layers: number;
  readonly timeSteps: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  /** H */ readonly heads: number;
  /** K = D / H */ readonly headWidth: number;
  /** Words of one head's spikes, ⌈K / 64⌉ */ readonly headWords: number;
  /** D */ readonly width: number;
  /** Dp = pad64(D) */ readonly paddedWidth: number;
  /** F */ readonly feedForwardWidth: number;
  /** Fp = pad64(F) */ readonly paddedFeedForward: number;
  /** Whether entrance neurons come in pairs; the "off" half starts at channel Dp. */ readonly isOnOff: boolean;
  /** Dp, with on/off pairs 2·Dp */ readonly entranceWidth: number;
  /** Floats between two heads of the reversed distance table: C + 4 rounded up to a multiple of 4. */ readonly biasStride: number;
  readonly matrices: Readonly<Record<MatrixName, MatrixShape>>;
}

/** Derives the engine's shape from a checked configuration. */
export function engineShape(config: StudentConfig): EngineShape {
  const headWidth = config.hiddenSize / config.heads;
  const { stream, entrance, qkv, hidden } = channelsOf(config);
  const matrix = (from: PaddedChannels, to: PaddedChannels): MatrixShape => ({ from, to, inputs: from.width, outputs: to.width });
  return {
    layers: config.layers, timeSteps: config.neuron.timeSteps, vocabSize: config.vocabSize, contextLength: config.contextLength,
    heads: config.heads, headWidth, headWords: Math.ceil(headWidth / WORD_CHANNELS),
    width: config.hiddenSize, paddedWidth: stream.width,
    feedForwardWidth: config.feedForwardSize, paddedFeedForward: hidden.width,
    isOnOff: config.onOff, entranceWidth: entrance.width,
    biasStride: Math.ceil((config.contextLength + 4) / 4) * 4,
    matrices: { qkv: matrix(entrance, qkv), out: matrix(stream, stream), fc1: matrix(entrance, hidden), fc2: matrix(hidden, stream) },
  };
}

function channelsOf(config: StudentConfig): Record<'stream' | 'entrance' | 'qkv' | 'hidden', PaddedChannels> {
  const runs = (count: number, real: number): PaddedChannels => ({ runs: count, real, padded: pad64(real), width: count * pad64(real) });
  return {
    stream: runs(1, config.hiddenSize),
    entrance: runs(config.onOff ? 2 : 1, config.hiddenSize),
    qkv: runs(3, config.hiddenSize),
    hidden: runs(1, config.feedForwardSize),
  };
}

/** The neurons of a block, by their names in the image, and the channels each has one threshold for. */
export function neuronChannels(config: StudentConfig): ReadonlyMap<string, PaddedChannels> {
  const { stream, entrance, qkv, hidden } = channelsOf(config);
  const sites = new Map([
    ['attention_entry', entrance], ['qkv_neurons', qkv], ['attention_out', stream],
    ['feed_forward_entry', entrance], ['hidden_neurons', hidden],
  ]);
  return config.residualWrite === 'current' ? sites : sites.set('attention_write', stream).set('feed_forward_write', stream);
}

/** A stretch of the image. */
export interface ImageSection {
  /** From the start of the image, a multiple of 64 */ readonly offset: number;
  readonly bytes: number;
}

/** Where everything lies in a packed image. */
export interface ImagePlan {
  readonly config: StudentConfig;
  readonly precision: WeightPrecision;
  readonly shape: EngineShape;
  /** By name, in the order of their offsets. */ readonly sections: ReadonlyMap<string, ImageSection>;
  /** A multiple of 64 */ readonly totalBytes: number;
}

/**
 * Plans the packed image of a student. Sections: `embedding.weights`, `.scales` (not float32), `positions`, `final_norm.weight`,
 * `.bias`; per layer `layers.N.` with `MATRIX.weights`, `.scales` (not float32), `.bias`, `NEURONS.bias`, `.threshold`,
 * `attention.reversed`, `.threshold`.
 */
export function planImage(config: StudentConfig, precision: WeightPrecision): ImagePlan {
  const shape = engineShape(config);
  const sections = new Map<string, ImageSection>();
  let totalBytes = 0;
  const add = (name: string, bytes: number): void => {
    sections.set(name, { offset: totalBytes, bytes });
    totalBytes += Math.ceil(bytes / SECTION_ALIGNMENT) * SECTION_ALIGNMENT;
  };
  const { vocabSize, paddedWidth, contextLength } = shape;
  add('embedding.weights', vocabSize * embeddingRowBytes(shape, precision));
  if (precision !== 'float32') add('embedding.scales', 4 * vocabSize);
  add('positions', 4 * contextLength * paddedWidth);
  add('final_norm.weight', 4 * paddedWidth);
  add('final_norm.bias', 4 * paddedWidth);
  const neurons = neuronChannels(config);
  for (let layer = 0; layer < config.layers; layer += 1) {
    const prefix = `layers.${layer}.`;
    for (const [name, { width }] of neurons) {
      add(`${prefix}${name}.bias`, 4 * width);
      add(`${prefix}${name}.threshold`, 4 * width);
    }
    add(`${prefix}attention.reversed`, 4 * shape.heads * shape.biasStride);
    add(`${prefix}attention.threshold`, 4 * shape.heads);
    for (const name of MATRIX_NAMES) {
      const matrix = shape.matrices[name];
      add(`${prefix}${name}.weights`, matrixBytes(matrix, precision));
      if (precision !== 'float32') add(`${prefix}${name}.scales`, 4 * scaleRows(matrix, precision) * matrix.outputs);
      add(`${prefix}${name}.bias`, 4 * matrix.outputs);
    }
  }
  return { config, precision, shape, sections, totalBytes };
}

/** Bytes of one vocabulary row: int8 [Dp], or float32 [Dp]. */
export function embeddingRowBytes(shape: EngineShape, precision: WeightPrecision): number {
  return shape.paddedWidth * (precision === 'float32' ? 4 : 1);
}

/** Bytes of a packed matrix's weights. */
export function matrixBytes(matrix: MatrixShape, precision: WeightPrecision): number {
  return matrix.inputs * matrix.outputs * { float32: 4, int8: 1, int4: 0.5 }[precision];
}

/** Rows of a matrix's scales f32 [rows][O]: one in int8, one per 128 inputs in int4. */
export function scaleRows(matrix: MatrixShape, precision: Exclude<WeightPrecision, 'float32'>): number {
  return precision === 'int8' ? 1 : Math.ceil(matrix.inputs / INT4_GROUP_INPUTS);
}

/** Bytes of one layer in a page: u64 words [2 (key, value)][H][T][headWords][64 positions]. */
export function layerBytes(shape: EngineShape): number {
  return 2 * shape.heads * shape.timeSteps * shape.headWords * PAGE_POSITIONS * 8;
}

/** Bytes of one page of the key-value cache: 64 positions of every layer. */
export function pageBytes(shape: EngineShape): number {
  return shape.layers * layerBytes(shape);
}
