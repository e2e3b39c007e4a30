import { expect } from 'chai';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError, ShapeError } from '../../../src/core/errors.js';
import { openSafetensors, writeSafetensors } from '../../../src/core/hub/safetensors.js';
import { rejection } from '../../support/rejection.js';
import { floatBytes, safetensorsBytes, SOUND_DATA, SOUND_HEADER } from '../../support/safetensors-bytes.js';

describe('hub/safetensors', () => {
  let folder: string;
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'bispik-safetensors-')); });
  after(() => rm(folder, { recursive: true }));

  async function store(bytes: Uint8Array): Promise<string> {
    const path = join(folder, 'file.safetensors');
    await writeFile(path, bytes);
    return path;
  }

  const read = async (bytes: Uint8Array, name: string): Promise<number[]> => [...await (await openSafetensors(await store(bytes))).get(name)!.readFloat32()];

  it('reads the values of a file laid out by hand', async () => {
    const tensors = await openSafetensors(await store(safetensorsBytes(SOUND_HEADER, SOUND_DATA)));
    expect([...tensors.keys()]).to.deep.equal(['a', 'b']);
    expect(tensors.get('a')!.shape).to.deep.equal([2, 3]);
    expect([...await tensors.get('a')!.readFloat32()]).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect([...await tensors.get('b')!.readFloat32()]).to.deep.equal([-1, -2, -3, -4]);
  });

  it('reads scalars, empty tensors, metadata and a header padded with spaces', async () => {
    const header = `${JSON.stringify({
      __metadata__: { format: 'pt' }, s: { dtype: 'F32', shape: [], data_offsets: [0, 4] }, e: { dtype: 'F32', shape: [0, 5], data_offsets: [4, 4] },
    })}   `;
    expect(await read(safetensorsBytes(header, floatBytes(7)), 's')).to.deep.equal([7]);
    expect(await read(safetensorsBytes(header, floatBytes(7)), 'e')).to.deep.equal([]);
  });

  it('reads float16, bfloat16 and float64 patterns worked by hand', async () => {
    // float16: 1, −2, largest 65504, smallest subnormal 2^−24, +Infinity
    const half = new Uint8Array(Uint16Array.from([0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00]).buffer);
    expect(await read(safetensorsBytes({ h: { dtype: 'F16', shape: [5], data_offsets: [0, 10] } }, half), 'h')).to.deep.equal([1, -2, 65504, 2 ** -24, Infinity]);
    // bfloat16 is the upper half of float32: 1 = 3f80, −2.5 = c020
    const brain = new Uint8Array(Uint16Array.from([0x3f80, 0xc020]).buffer);
    expect(await read(safetensorsBytes({ b: { dtype: 'BF16', shape: [2], data_offsets: [0, 4] } }, brain), 'b')).to.deep.equal([1, -2.5]);
    const double = new Uint8Array(Float64Array.from([0.1, -1e300]).buffer);
    expect(await read(safetensorsBytes({ d: { dtype: 'F64', shape: [2], data_offsets: [0, 16] } }, double), 'd')).to.deep.equal([Math.fround(0.1), -Infinity]);
  });

  it('lists integer tensors but does not read them as weights', async () => {
    const tensors = await openSafetensors(await store(safetensorsBytes({ i: { dtype: 'I64', shape: [1], data_offsets: [0, 8] } }, new Uint8Array(8))));
    expect((await rejection(tensors.get('i')!.readFloat32(), FormatError)).message).to.contain('tensor i: dtype I64, a float dtype expected');
  });

  it('keeps a tensor called __proto__ as a name like any other', async () => {
    const header = '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
    expect(await read(safetensorsBytes(header, floatBytes(3)), '__proto__')).to.deep.equal([3]);
    expect(({} as Record<string, unknown>)['dtype']).to.equal(undefined);
  });

  const tensor = (shape: unknown, offsets: unknown, dtype: unknown = 'F32'): object => ({ dtype, shape, data_offsets: offsets });
  const oneTensor = (entry: object, bytes = 24): Uint8Array => safetensorsBytes({ a: entry }, new Uint8Array(bytes));
  const sound = safetensorsBytes(SOUND_HEADER, SOUND_DATA);
  const REFUSED: readonly (readonly [title: string, file: Uint8Array, message: string])[] = [
    ['an empty file', new Uint8Array(), 'file is empty (0 bytes)'],
    ['seven bytes', new Uint8Array(7), 'file has 7 bytes, at least 8 expected'],
    ['a header longer than the file', safetensorsBytes(SOUND_HEADER, SOUND_DATA, 10_000n), 'header length 10000 exceeds the file size'],
    ['a header length of 2^64 − 1', safetensorsBytes(SOUND_HEADER, SOUND_DATA, 2n ** 64n - 1n), 'header length 18446744073709551615 exceeds the file size'],
    ['a file cut inside its header', sound.slice(0, 60), '52 bytes of header): truncated'],
    ['a file cut inside its data', sound.slice(0, -10), 'tensor b ends at 40, it needs bytes 24..40 of the data section, which holds 30: file truncated'],
    ['a bit flipped in a brace', flipBit(sound, 8, 0), 'header is not valid JSON at byte 0'],
    ['a bit flipped in a dtype', flipBit(sound, Buffer.from(sound).indexOf('F32'), 1), 'unknown dtype "D32", known: F32, F16'],
    ['bytes after the last tensor', safetensorsBytes(SOUND_HEADER, new Uint8Array(104)), '64 bytes after the end of the last tensor'],
    ['a header that is an array', safetensorsBytes('[]', new Uint8Array()), 'header must be a JSON object, found array'],
    ['a header that is not UTF-8', safetensorsBytes(SOUND_HEADER, SOUND_DATA).map((byte, i) => (i === 10 ? 0xff : byte)), 'header is not valid UTF-8'],
    ['deep nesting', safetensorsBytes(`{"a":${'['.repeat(50_000)}`, new Uint8Array()), 'nested more than 16 deep'],
    ['a name given twice', safetensorsBytes('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{}}', new Uint8Array()), 'a is defined twice'],
    ['metadata that are not strings', safetensorsBytes({ __metadata__: { a: {} } }, new Uint8Array()), '__metadata__ must map strings to strings'],
    ['offsets that run backwards', oneTensor(tensor([6], [40, 24])), 'data_offsets [40,24] run backwards'],
    ['a negative offset', oneTensor(tensor([6], [-24, 0])), 'negative offset -24'],
    ['no offsets', oneTensor({ dtype: 'F32', shape: [6] }), 'tensor a: data_offsets missing'],
    ['a shape that needs more bytes', oneTensor(tensor([2, 4], [0, 24])), 'shape [2,4] of F32 needs 32 bytes, data_offsets give 24'],
    ['a shape whose size wraps to 0 in 64 bits', oneTensor(tensor([2 ** 32, 2 ** 32], [0, 0]), 0), `needs ${2n ** 66n} bytes, data_offsets give 0`],
    ['a fractional dimension', oneTensor(tensor([2.5, 3], [0, 24])), 'dimension 2.5 is not an integer'],
    ['a negative dimension', oneTensor(tensor([-2, 3], [0, 24])), 'dimension -2 is negative'],
    ['dimensions as strings', oneTensor(tensor(['2', 3], [0, 24])), 'shape must hold integers, found string'],
    ['an unknown dtype', oneTensor(tensor([6], [0, 24], 'F12')), 'unknown dtype "F12", known: F32'],
    ['a hole', safetensorsBytes({ a: tensor([1], [0, 4]), b: tensor([1], [8, 12]) }, new Uint8Array(12)), 'bytes 4..8 of the data section belong to no tensor'],
    ['an overlap', safetensorsBytes({ a: tensor([2], [0, 8]), b: tensor([2], [4, 12]) }, new Uint8Array(12)), 'tensors a and b overlap: [0,8) and [4,12)'],
    ['a Git-LFS pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n'), 'is a Git-LFS pointer'],
  ];
  for (const [title, file, message] of REFUSED) {
    it(`refuses ${title}`, async () => {
      const refusal = await rejection(openSafetensors(await store(file)), FormatError);
      expect(refusal.message).to.contain(message).and.to.contain('file.safetensors');
      expect(refusal.exitCode).to.equal(5);
    });
  }

  it('says which file is not there', async () => {
    expect((await rejection(openSafetensors(join(folder, 'absent.safetensors')), FormatError)).message).to.contain('absent.safetensors: no such file');
  });

  it('notices that a file was cut after it was opened', async () => {
    const path = await store(sound);
    const tensors = await openSafetensors(path);
    await writeFile(path, sound.slice(0, -4));
    expect((await rejection(tensors.get('b')!.readFloat32(), FormatError)).message).to.contain('file truncated while it was read');
  });

  it('gives back every bit of float32, NaN payloads, −0 and subnormals included', async () => {
    const bits = Uint32Array.from([0x7fc00001, 0xff800001, 0x80000000, 0x00000001, 0x7f800000, 0x3f800000]);
    const path = join(folder, 'bits.safetensors');
    await writeSafetensors(path, [{ name: 'x', shape: [2, 3], values: new Float32Array(bits.buffer) }], { format: 'pt' });
    const values = await (await openSafetensors(path)).get('x')!.readFloat32();
    expect([...new Uint32Array(values.buffer)]).to.deep.equal([...bits]);
  });

  it('writes exactly the bytes the format prescribes, in the order given', async () => {
    const path = join(folder, 'exact.safetensors');
    await writeSafetensors(path, [
      { name: '10', shape: [2], values: Float32Array.from([1, 2]) }, { name: '9', shape: [1], values: Int32Array.from([-1]) },
    ]);
    const header = '{"10":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"9":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    expect(new Uint8Array(await readFile(path))).to.deep.equal(safetensorsBytes(padded, Uint8Array.from([...floatBytes(1, 2), 255, 255, 255, 255])));
    expect((await readdir(folder)).filter((name) => name.includes('incomplete'))).to.deep.equal([]);
  });

  it('refuses to write a shape that its values do not fill, or a name twice', async () => {
    const path = join(folder, 'never.safetensors');
    const one = { name: 'x', shape: [3], values: Float32Array.from([1, 2]) };
    expect((await rejection(writeSafetensors(path, [one]), ShapeError)).message).to.equal('tensor x: shape [3] needs 3 values, 2 given');
    const twice = { ...one, shape: [2] };
    expect((await rejection(writeSafetensors(path, [twice, twice]), ShapeError)).message).to.contain('tensor x is given twice');
    expect(await readdir(folder)).to.not.include('never.safetensors');
  });
});

function flipBit(file: Uint8Array, byte: number, bit: number): Uint8Array {
  return file.map((value, i) => (i === byte ? value ^ (1 << bit) : value));
}
