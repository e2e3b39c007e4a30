import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'chai';

import type { OnnxFormat } from '../../bench/peers/onnx-file.js';
import { ONNX_SCALES, writeOnnx } from '../../bench/peers/onnx-file.js';
import { findOnnxruntime, startOnnx } from '../../bench/peers/onnxruntime.js';
import { withTempFolder } from '../support/temp-folder.js';

const SHAPE = { hiddenSize: 64, layers: 2, heads: 4, feedForwardSize: 96, vocabSize: 50, contextLength: 12 };
const { hiddenSize: D, heads: H, feedForwardSize: F, vocabSize: V } = SHAPE;
const K = D / H;
const PROMPT = [3, 49, 0, 17, 17];
const NEXT = 8;

describe('onnxruntime (benchmark peer)', () => {
  it('is run from the folder that is named, else it says what to install', () => {
    const [, script = '', folder] = findOnnxruntime('/opt/onnx') as string[];
    expect(script.endsWith('bench/peers/onnxruntime_library.py')).to.equal(true);
    expect(folder).to.equal('/opt/onnx');
    if (process.env['ONNXRUNTIME'] === undefined) expect(findOnnxruntime(null)).to.include('npm install onnxruntime-node').and.include('--onnxruntime');
  });

  for (const { format, type, qkv, bytes } of [{ format: 'int8', type: 3, qkv: [64, 192], bytes: 64 * 192 }, { format: 'int4', type: 2, qkv: [192, 2, 16], bytes: 64 * 96 }] as const) {
    it(`an ${format} file has every matrix of the shape where it says`, async () => {
      await withTempFolder(async (folder) => {
        const file = join(folder, 'model.onnx');
        await writeOnnx(file, SHAPE, format);
        const tensors = readTensors(await readFile(file));
        expect(tensors.size).to.equal(8 + SHAPE.layers * (4 + 4 * 3));
        expect(tensors.get('0.qkv')).to.deep.include({ extents: qkv, type, length: bytes });
        expect(tensors.get('1.down.bias')).to.deep.include({ extents: [64], type: 1 });
        const size = Math.max(...[...tensors.values()].map(({ offset, length }) => offset + length));
        expect((await stat(`${file}.weights`)).size).to.equal(size);
      });
    });
  }

  it('the int8 head is the transposed embedding', async () => {
    await withTempFolder(async (folder) => {
      const { matrix } = await networkOf(folder, 'int8');
      const [embedding, head] = [matrix('embedding'), matrix('head')];
      for (let v = 0; v < V; v++) for (let d = 0; d < D; d++) expect(head[d * V + v]).to.equal(embedding[v * D + d]);
    });
  });

  for (const format of ['int8', 'int4'] as const) {
    it(`${format}: a prompt in one pass and a token behind it give the logits of a plain computation`, async function () {
      const program = findOnnxruntime(null);
      if (typeof program === 'string') return this.skip();
      await withTempFolder(async (folder) => {
        const { file, matrix } = await networkOf(folder, format);
        const expected = plainLogits([...PROMPT, NEXT], matrix, format);
        const side = await startOnnx(program, { model: file, shape: SHAPE, threads: 1, context: 0 });
        const found = [...(await side.logits(PROMPT, 0)), ...(await side.logits([NEXT], PROMPT.length))];
        side.close();
        expect(found).to.have.length(expected.length);
        const deviation = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length);
        const worst = Math.max(...found.map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN))));
        expect(worst / deviation, `worst difference, in standard deviations of the logits (${deviation})`).to.be.below(0.05);
      });
    });
  }
});

interface Written { readonly file: string; /** Numbers of a matrix as the file has them. */ readonly matrix: (name: string) => Int8Array }

async function networkOf(folder: string, format: OnnxFormat): Promise<Written> {
  const file = join(folder, 'model.onnx');
  await writeOnnx(file, SHAPE, format);
  const [tensors, weights] = [readTensors(await readFile(file)), await readFile(`${file}.weights`)];
  return {
    file,
    matrix: (name) => {
      const { offset = 0, length = 0 } = tensors.get(name) ?? {};
      return Int8Array.from(weights.subarray(offset, offset + length), (byte) => (byte << 24) >> 24);
    },
  };
}

/** Float64 with the weights' true values; activations are not quantised. */
function plainLogits(ids: readonly number[], matrix: Written['matrix'], format: OnnxFormat): number[] {
  const embedding = matrix('embedding');
  const multiply = (x: readonly number[], name: string, outputs: number): number[] => {
    const numbers = matrix(name);
    const weight = (input: number, output: number): number => {
      if (format === 'int8') return ONNX_SCALES.int8 * (numbers[input * outputs + output] ?? Number.NaN);
      const pair = numbers[(output * x.length + input) >> 1] ?? Number.NaN;
      return ONNX_SCALES.int4 * (((input % 2 === 0 ? pair : pair >> 4) & 15) - 8);
    };
    return Array.from({ length: outputs }, (_, output) => x.reduce((sum, value, input) => sum + value * weight(input, output), 0));
  };
  const norm = (x: readonly number[]): number[] => {
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    return x.map((value) => (value - mean) / Math.sqrt(variance + 1e-5));
  };
  const plus = (x: readonly number[], y: readonly number[]): number[] => x.map((value, i) => value + (y[i] ?? Number.NaN));
  let stream = ids.map((id) => Array.from({ length: D }, (_, d) => ONNX_SCALES.int8 * (embedding[id * D + d] ?? Number.NaN) + 0.01));
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    const mixed = stream.map((x) => multiply(norm(x), `${layer}.qkv`, 3 * D));
    const attended = stream.map((x, i) => plus(x, multiply(attend(mixed.slice(0, i + 1)), `${layer}.out`, D)));
    stream = attended.map((x) => plus(x, multiply(multiply(norm(x), `${layer}.up`, F).map((value) => Math.max(0, value)), `${layer}.down`, D)));
  }
  return stream.flatMap((x) => multiply(norm(x), 'head', V));
}

/** The last token's mean of all values, head by head. @param mixed (L, 3·D): queries, keys, values. */
function attend(mixed: readonly (readonly number[])[]): number[] {
  const at = (token: number, part: number, channel: number): number => mixed[token]?.[part * D + channel] ?? Number.NaN;
  return Array.from({ length: H }, (_, head) => {
    const channels = Array.from({ length: K }, (__, k) => head * K + k);
    const weights = mixed.map((__, token) => Math.exp(channels.reduce((sum, c) => sum + at(mixed.length - 1, 0, c) * at(token, 1, c), 0) / Math.sqrt(K)));
    const total = weights.reduce((a, b) => a + b, 0);
    return channels.map((c) => weights.reduce((sum, weight, token) => sum + (weight / total) * at(token, 2, c), 0));
  }).flat();
}

interface Stored { readonly extents: number[]; readonly type: number; /** In the file of weights; 0 for what lies in the model itself. */ readonly offset: number; readonly length: number }

/** Fields of a protocol buffer message, numbers as they are. */
function* fields(bytes: Buffer): Generator<{ field: number; value: number; bytes: Buffer }> {
  let at = 0;
  const varint = (): number => {
    for (let value = 0, unit = 1; ; unit *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte % 128) * unit;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    const value = wire === 5 ? 4 : varint();
    const content = wire === 0 ? Buffer.alloc(0) : bytes.subarray(at, (at += value));
    yield { field, value, bytes: content };
  }
}

/** The graph's constants by name. */
function readTensors(model: Buffer): ReadonlyMap<string, Stored> {
  const [graph] = [...fields(model)].filter(({ field }) => field === 7);
  const tensors = [...fields(graph?.bytes ?? Buffer.alloc(0))].filter(({ field }) => field === 5);
  return new Map(tensors.map(({ bytes }) => {
    const found = [...fields(bytes)];
    const of = (wanted: number): typeof found => found.filter(({ field }) => field === wanted);
    const place = new Map(of(13).map((entry) => [...fields(entry.bytes)].map((part) => part.bytes.toString('utf8')) as [string, string]));
    return [of(8)[0]?.bytes.toString('utf8') ?? '', { extents: of(1).map(({ value }) => value), type: of(2)[0]?.value ?? 0, offset: Number(place.get('offset') ?? 0), length: Number(place.get('length') ?? 0) }];
  }));
}
