import { open } from 'node:fs/promises';

import type { EngineShape } from '../support/engine-shapes.js';
import { fillWithRandomBits } from './random-words.js';

/** Block formats of llama.cpp: 32 weights with one float16 scale. */
export type GgufFormat = 'q8_0' | 'q4_0';

interface TensorPlan { readonly name: string; /** Innermost extent first. */ readonly extents: readonly number[]; readonly isQuantised: boolean; readonly fill: number }

const BLOCK = 32;
const ALIGNMENT = 32;
/** GGUF's codes: value types of the metadata, tensor types, and the file types that go with them. */
const CODES = { uint32: 4, float32: 6, string: 8, tensorFloat32: 0, tensor: { q8_0: 8, q4_0: 2 }, file: { q8_0: 7, q4_0: 2 } } as const;
const BLOCK_BYTES = { q8_0: 2 + BLOCK, q4_0: 2 + BLOCK / 2 } as const;
/** float16 scales that give the weights a standard deviation near 0.02: 0.00027 for −128…127, 0.0043 for −8…7. */
const SCALE_BITS = { q8_0: 0x0c6d, q4_0: 0x1c67 } as const;

/** The tensors of llama.cpp's `gpt2` architecture; without an `output.weight` its head is tied to the token embedding. */
function tensorsOf(shape: EngineShape): TensorPlan[] {
  const { hiddenSize: D, feedForwardSize: F, vocabSize, contextLength } = shape;
  const vector = (name: string, width: number, fill: number): TensorPlan => ({ name, extents: [width], isQuantised: false, fill });
  const matrix = (name: string, inputs: number, outputs: number): TensorPlan => ({ name, extents: [inputs, outputs], isQuantised: true, fill: 0 });
  const norm = (name: string): TensorPlan[] => [vector(`${name}.weight`, D, 1), vector(`${name}.bias`, D, 0)];
  const linear = (name: string, inputs: number, outputs: number): TensorPlan[] => [matrix(`${name}.weight`, inputs, outputs), vector(`${name}.bias`, outputs, 0)];
  return [
    matrix('token_embd.weight', D, vocabSize),
    { name: 'position_embd.weight', extents: [D, contextLength], isQuantised: false, fill: 0.01 },
    ...norm('output_norm'),
    ...Array.from({ length: shape.layers }, (_, i) => [
      ...norm(`blk.${i}.attn_norm`), ...linear(`blk.${i}.attn_qkv`, D, 3 * D), ...linear(`blk.${i}.attn_output`, D, D),
      ...norm(`blk.${i}.ffn_norm`), ...linear(`blk.${i}.ffn_up`, D, F), ...linear(`blk.${i}.ffn_down`, F, D),
    ]).flat(),
  ];
}

const elementsOf = ({ extents }: TensorPlan): number => extents.reduce((a, b) => a * b, 1);
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const bytesOf = (tensor: TensorPlan, format: GgufFormat): number => (tensor.isQuantised ? (elementsOf(tensor) / BLOCK) * BLOCK_BYTES[format] : 4 * elementsOf(tensor));

/**
 * Writes a GGUF file of an ordinary (not spiking) transformer with the same matrices as a student of this shape and no tokenizer. Every
 * matrix, the tied embedding included, is in the one format, its values uniformly random: speed does not depend on them.
 */
export async function writeGguf(file: string, shape: EngineShape, format: GgufFormat): Promise<void> {
  const tensors = tensorsOf(shape);
  const header = encodeHeader(tensors, { shape, format });
  const handle = await open(file, 'w');
  try {
    await handle.write(header);
    for (const tensor of tensors) await handle.write(encodeTensor(tensor, format));
  } finally {
    await handle.close();
  }
}

function encodeHeader(tensors: readonly TensorPlan[], { shape, format }: { shape: EngineShape; format: GgufFormat }): Buffer {
  const number = (key: string, value: number): Buffer[] => [text(key), uint32(CODES.uint32), uint32(value)];
  const metadata: Buffer[][] = [
    [text('general.architecture'), uint32(CODES.string), text('gpt2')],
    number('general.file_type', CODES.file[format]),
    number('general.alignment', ALIGNMENT),
    number('gpt2.context_length', shape.contextLength),
    number('gpt2.embedding_length', shape.hiddenSize),
    number('gpt2.block_count', shape.layers),
    number('gpt2.feed_forward_length', shape.feedForwardSize),
    number('gpt2.attention.head_count', shape.heads),
    number('gpt2.vocab_size', shape.vocabSize),
    [text('gpt2.attention.layer_norm_epsilon'), uint32(CODES.float32), float32(1e-5)],
    [text('tokenizer.ggml.model'), uint32(CODES.string), text('none')],
  ];
  let offset = 0;
  const table = tensors.map((tensor) => {
    const type = tensor.isQuantised ? CODES.tensor[format] : CODES.tensorFloat32;
    const entry = [text(tensor.name), uint32(tensor.extents.length), ...tensor.extents.map(uint64), uint32(type), uint64(offset)];
    offset += aligned(bytesOf(tensor, format));
    return entry;
  });
  const parts = [Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(metadata.length), ...metadata.flat(), ...table.flat()];
  const bytes = Buffer.concat(parts);
  return Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]);
}

function encodeTensor(tensor: TensorPlan, format: GgufFormat): Uint8Array {
  const bytes = new Uint8Array(aligned(bytesOf(tensor, format)));
  if (!tensor.isQuantised) {
    new Float32Array(bytes.buffer, 0, elementsOf(tensor)).fill(tensor.fill);
    return bytes;
  }
  fillWithRandomBits(new Uint32Array(bytes.buffer), elementsOf(tensor));
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES[format]) {
    bytes[at] = SCALE_BITS[format] & 255;
    bytes[at + 1] = SCALE_BITS[format] >> 8;
  }
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([uint64(bytes.length), bytes]);
}
