import { open, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';

import type { EngineShape } from '../support/engine-shapes.js';
import type { OnnxAttributes, OnnxNode, OnnxTensor, OnnxValue } from './onnx-format.js';
import { ELEMENT_TYPES, encodeOnnx } from './onnx-format.js';
import { fillWithRandomBits } from './random-words.js';

/** Names of the graph's inputs and outputs, S tokens behind those that are cached. */
export const ONNX_NAMES = {
  /** (1, S) */ ids: 'ids',
  /** (1, S): their positions. */ positions: 'positions',
  /** (N): indices of the S whose logits are wanted. */ wanted: 'wanted',
  /** (1): cached tokens and these, less one. */ last: 'last',
  /** Scalar: cached tokens and these. */ total: 'total',
  /** (1, N, V) */ logits: 'logits',
  /** (1, H, positions, K) each, written in place where input and output share their memory. */
  past: (layer: number, which: 'key' | 'value') => `past.${layer}.${which}`,
  present: (layer: number, which: 'key' | 'value') => `present.${layer}.${which}`,
} as const;

/** How the matrices of all products are kept. */
export type OnnxFormat = 'int8' | 'int4';

/** Scales that give uniformly random weights a standard deviation near 0.02. */
export const ONNX_SCALES = { int8: 0.00027, int4: 0.0043 } as const;
/** int4 weights have one scale for so many inputs. */
export const ONNX_BLOCK = 32;
const MICROSOFT = 'com.microsoft';
const OPSETS = [{ domain: '', version: 17 }, { domain: MICROSOFT, version: 1 }];
/** Pages, which onnxruntime maps. */
const ALIGNMENT = 4096;
/** `MatMulNBits` computes on int8 activations. */
const INT8_ACTIVATIONS = 4;

interface Matrix { readonly name: string; readonly inputs: number; readonly outputs: number }

/** The matrices of all products. */
function matricesOf({ hiddenSize: D, feedForwardSize: F, vocabSize, layers }: EngineShape): Matrix[] {
  return [
    { name: 'head', inputs: D, outputs: vocabSize },
    ...Array.from({ length: layers }, (_, i) => [
      { name: `${i}.qkv`, inputs: D, outputs: 3 * D }, { name: `${i}.out`, inputs: D, outputs: D },
      { name: `${i}.up`, inputs: D, outputs: F }, { name: `${i}.down`, inputs: F, outputs: D },
    ]).flat(),
  ];
}

/**
 * Writes an ordinary (not spiking) transformer with the same matrices as a student of this shape, as onnxruntime decodes it fastest: OPT's layers
 * (norm first, ReLU) with `GroupQueryAttention` on a cache that is written in place. `int8`: `DynamicQuantizeMatMul`, activations to uint8 at run
 * time, one weight scale per output; `int4`: `MatMulNBits` in blocks of 32. Weights are uniformly random, biases 0, gains 1. The matrices are in
 * FILE.weights, the tied int8 embedding twice: one row per token for the lookup, and as `DynamicQuantizeMatMul` wants its weights (int4: another head).
 */
export async function writeOnnx(file: string, shape: EngineShape, format: OnnxFormat): Promise<void> {
  const { hiddenSize: D, vocabSize } = shape;
  const embedding = randomBytes(vocabSize * D);
  const table: OnnxTensor[] = [];
  const weights = await open(`${file}.weights`, 'w');
  let offset = 0;
  const append = async (name: string, type: 'int8' | 'uint8', { extents, bytes }: { extents: readonly number[]; bytes: Uint8Array }): Promise<void> => {
    await weights.write(bytes, 0, bytes.length, offset);
    table.push({ name, type, extents, content: { file: `${basename(file)}.weights`, offset, length: bytes.length } });
    offset = Math.ceil((offset + bytes.length) / ALIGNMENT) * ALIGNMENT;
  };
  try {
    await append('embedding', 'int8', { extents: [vocabSize, D], bytes: embedding });
    for (const { name, inputs, outputs } of matricesOf(shape)) {
      if (format === 'int4') await append(name, 'uint8', { extents: [outputs, inputs / ONNX_BLOCK, ONNX_BLOCK / 2], bytes: randomBytes((inputs * outputs) / 2) });
      else await append(name, 'int8', { extents: [inputs, outputs], bytes: name === 'head' ? transpose(embedding, D) : randomBytes(inputs * outputs) });
    }
  } finally {
    await weights.close();
  }
  await writeFile(file, encodeOnnx({ opsets: OPSETS, nodes: nodesOf(shape, format), tensors: [...vectorsOf(shape, format), ...table], ...boundaryOf(shape) }));
}

function randomBytes(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  fillWithRandomBits(words, length);
  return new Uint8Array(words.buffer, 0, length);
}

function transpose(matrix: Uint8Array, columns: number): Uint8Array {
  const rows = matrix.length / columns;
  const transposed = new Uint8Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) transposed[column * rows + row] = matrix[row * columns + column] ?? 0;
  }
  return transposed;
}

function vectorsOf(shape: EngineShape, format: OnnxFormat): OnnxTensor[] {
  const { hiddenSize: D, contextLength, layers } = shape;
  const filled = (name: string, extents: readonly number[], value: number): OnnxTensor => {
    const values = new Float32Array(extents.reduce((a, b) => a * b, 1)).fill(value);
    return { name, type: 'float32', extents, content: new Uint8Array(values.buffer) };
  };
  const norm = (name: string): OnnxTensor[] => [filled(`${name}.gain`, [D], 1), filled(`${name}.bias`, [D], 0)];
  const norms = Array.from({ length: layers }, (_, i) => [...norm(`${i}.norm1`), ...norm(`${i}.norm2`)]).flat();
  const linears = matricesOf(shape).map(({ name, inputs, outputs }) => [
    filled(`${name}.scale`, format === 'int8' ? [outputs] : [outputs, inputs / ONNX_BLOCK], ONNX_SCALES[format]), filled(`${name}.bias`, [outputs], 0),
  ]).flat();
  return [filled('embedding.scale', [], ONNX_SCALES.int8), filled('position', [contextLength, D], 0.01), ...norm('norm'), ...norms, ...linears];
}

const node = (operator: string, inputs: readonly string[], output: string): OnnxNode => ({ operator, inputs, outputs: [output] });
const add = (one: string, other: string, output: string): OnnxNode => node('Add', [one, other], output);
const norm = (input: string, name: string): OnnxNode => ({
  ...node('LayerNormalization', [input, `${name}.gain`, `${name}.bias`], name), attributes: { axis: { kind: 'integer', value: 2 }, epsilon: { kind: 'float', value: 1e-5 } },
});
const integers = (values: Readonly<Record<string, number>>): OnnxAttributes =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { kind: 'integer' as const, value }]));

function nodesOf(shape: EngineShape, format: OnnxFormat): OnnxNode[] {
  const { ids, positions, wanted, logits } = ONNX_NAMES;
  const products = new Map(matricesOf(shape).map(({ name, inputs, outputs }) => [name, (input: string, output: string): OnnxNode => (format === 'int8'
    ? { ...node('DynamicQuantizeMatMul', [input, name, `${name}.scale`, '', `${name}.bias`], output), domain: MICROSOFT }
    : {
      ...node('MatMulNBits', [input, name, `${name}.scale`, '', '', `${name}.bias`], output), domain: MICROSOFT,
      attributes: integers({ K: inputs, N: outputs, bits: 4, block_size: ONNX_BLOCK, accuracy_level: INT8_ACTIVATIONS }),
    })]));
  const product: Product = (input, matrix, output) => {
    const make = products.get(matrix);
    if (make === undefined) throw new Error(`no matrix ${matrix}`);
    return make(input, output);
  };
  return [
    node('Gather', ['embedding', ids], 'embedded.int8'), { ...node('Cast', ['embedded.int8'], 'embedded'), attributes: integers({ to: ELEMENT_TYPES.float32 }) },
    node('Mul', ['embedded', 'embedding.scale'], 'embedded.scaled'), node('Gather', ['position', positions], 'embedded.position'),
    add('embedded.scaled', 'embedded.position', '-1.stream'),
    ...Array.from({ length: shape.layers }, (_, i) => layerNodes(i, shape, product)).flat(),
    { ...node('Gather', [`${shape.layers - 1}.stream`, wanted], 'wanted.stream'), attributes: integers({ axis: 1 }) },
    norm('wanted.stream', 'norm'), product('norm', 'head', logits),
  ];
}

type Product = (input: string, matrix: string, output: string) => OnnxNode;

/** Attention takes queries, keys and values in one tensor, as the operator allows. */
function layerNodes(i: number, { heads }: EngineShape, product: Product): OnnxNode[] {
  const { last, total, past, present } = ONNX_NAMES;
  const attention: OnnxNode = {
    operator: 'GroupQueryAttention', domain: MICROSOFT, inputs: [`${i}.mixed`, '', '', past(i, 'key'), past(i, 'value'), last, total],
    outputs: [`${i}.attention`, present(i, 'key'), present(i, 'value')], attributes: integers({ num_heads: heads, kv_num_heads: heads }),
  };
  return [
    norm(`${i - 1}.stream`, `${i}.norm1`), product(`${i}.norm1`, `${i}.qkv`, `${i}.mixed`), attention, product(`${i}.attention`, `${i}.out`, `${i}.written`),
    add(`${i - 1}.stream`, `${i}.written`, `${i}.attended`),
    norm(`${i}.attended`, `${i}.norm2`), product(`${i}.norm2`, `${i}.up`, `${i}.wide`), node('Relu', [`${i}.wide`], `${i}.active`),
    product(`${i}.active`, `${i}.down`, `${i}.fed`), add(`${i}.attended`, `${i}.fed`, `${i}.stream`),
  ];
}

function boundaryOf({ hiddenSize, heads, layers, vocabSize, contextLength }: EngineShape): { inputs: OnnxValue[]; outputs: OnnxValue[] } {
  const { ids, positions, wanted, last, total, logits, past, present } = ONNX_NAMES;
  const caches = (name: typeof past): OnnxValue[] => Array.from({ length: layers }, (_, i) => (['key', 'value'] as const).map(
    (which): OnnxValue => ({ name: name(i, which), type: 'float32', extents: [1, heads, contextLength, hiddenSize / heads] }),
  )).flat();
  return {
    inputs: [
      { name: ids, type: 'int64', extents: [1, 'S'] }, { name: positions, type: 'int64', extents: [1, 'S'] }, { name: wanted, type: 'int64', extents: ['N'] },
      { name: last, type: 'int32', extents: [1] }, { name: total, type: 'int32', extents: [] }, ...caches(past),
    ],
    outputs: [{ name: logits, type: 'float32', extents: [1, 'N', vocabSize] }, ...caches(present)],
  };
}
