import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError } from '../../../src/core/errors.js';
import { openTorchFile } from '../../../src/core/hub/torch-file.js';
import type { PickledTensor } from '../../support/pickle-bytes.js';
import { op, pickledTensor, stateDictPickle, torchArchive } from '../../support/pickle-bytes.js';
import { rejection } from '../../support/rejection.js';
import { floatBytes } from '../../support/safetensors-bytes.js';
import { zipBytes } from '../../support/zip-bytes.js';

const SIX = floatBytes(1, 2, 3, 4, 5, 6);

/** a.weight = [[1,2,3],[4,5,6]] over storage 0. */
function tensorA(change: Partial<PickledTensor> = {}): PickledTensor {
  return { name: 'a.weight', storage: { type: 'FloatStorage', key: '0', elements: 6 }, offset: 0, shape: [2, 3], strides: [3, 1], ...change };
}

describe('hub/torch-file', () => {
  let folder: string;
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'bispik-torch-')); });
  after(() => rm(folder, { recursive: true }));

  async function store(bytes: Uint8Array): Promise<string> {
    const path = join(folder, 'pytorch_model.bin');
    await writeFile(path, bytes);
    return path;
  }

  async function readAll(bytes: Uint8Array): Promise<Record<string, readonly number[]>> {
    const tensors = await openTorchFile(await store(bytes));
    return Object.fromEntries(await Promise.all([...tensors].map(async ([name, entry]) => [name, [...await entry.readFloat32()] as readonly number[]] as const)));
  }

  const refuse = async (bytes: Uint8Array): Promise<string> => {
    const refusal = await rejection(store(bytes).then(openTorchFile), FormatError);
    expect(refusal.exitCode).to.equal(5);
    return [refusal.message, ...refusal.suggestions].join(' | ');
  };

  /** A sound archive but for its pickle. */
  const withPickle = (...codes: readonly (readonly number[])[]): Uint8Array => torchArchive(Uint8Array.from(codes.flat()), { 0: SIX });
  const withTensor = (change: Partial<PickledTensor>): Uint8Array => torchArchive(stateDictPickle([tensorA(change)]), { 0: SIX });

  describe('sound files', () => {
    it('reads a stored, a deflated and a zip64 archive', async () => {
      const pickle = stateDictPickle([tensorA()]);
      for (const options of [{}, { deflate: true }, { zip64: true }]) {
        expect(await readAll(torchArchive(pickle, { 0: SIX }, options))).to.deep.equal({ 'a.weight': [1, 2, 3, 4, 5, 6] });
      }
    });

    it('reads views: a transpose, a slice with an offset, a column and a scalar of one shared storage', async () => {
      const views = [
        tensorA({ name: 'transposed', shape: [3, 2], strides: [1, 3] }), tensorA({ name: 'slice', offset: 2, shape: [3], strides: [1] }),
        tensorA({ name: 'column', offset: 1, shape: [2], strides: [3] }), tensorA({ name: 'scalar', offset: 5, shape: [], strides: [] }),
        tensorA({ name: 'empty', shape: [0, 4], strides: [4, 1] }),
      ];
      expect(await readAll(torchArchive(stateDictPickle(views), { 0: SIX }))).to.deep.equal({
        transposed: [1, 4, 2, 5, 3, 6], slice: [3, 4, 5], column: [2, 5], scalar: [6], empty: [],
      });
    });

    it('reads float16 and bfloat16 storages', async () => {
      const half = { type: 'HalfStorage', key: '0', elements: 2 };
      const brain = { type: 'BFloat16Storage', key: '1', elements: 2 };
      const pickle = stateDictPickle([tensorA({ name: 'h', storage: half, shape: [2], strides: [1] }), tensorA({ name: 'b', storage: brain, shape: [2], strides: [1] })]);
      const storages = { 0: new Uint8Array(Uint16Array.from([0x3c00, 0xc000]).buffer), 1: new Uint8Array(Uint16Array.from([0x3f80, 0xc020]).buffer) };
      expect(await readAll(torchArchive(pickle, storages))).to.deep.equal({ h: [1, -2], b: [1, -2.5] });
    });

    it('reads a Parameter and drops the attributes of the OrderedDict', async () => {
      const parameter = [...op.global('torch._utils', '_rebuild_parameter'), ...op.mark, ...pickledTensor(tensorA()), ...op.false, ...op.none, ...op.tuple, ...op.reduce];
      const pickle = [...op.proto, ...op.global('collections', 'OrderedDict'), ...op.emptyTuple, ...op.reduce, ...op.text('p'), ...parameter, ...op.setItem,
        ...op.emptyDict, ...op.text('_metadata'), ...op.emptyDict, ...op.setItem, ...op.build, ...op.stop];
      expect(await readAll(withPickle(pickle))).to.deep.equal({ p: [1, 2, 3, 4, 5, 6] });
    });

    it('reads the format before torch 1.6', async () => {
      const magic = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, ...op.stop];
      const protocol = [...op.proto, ...op.int(1001), ...op.stop];
      const system = [...op.proto, ...op.emptyDict, ...op.text('little_endian'), 0x88, ...op.setItem, ...op.stop];
      const keys = [...op.proto, ...op.emptyList, ...op.text('0'), ...op.append, ...op.stop];
      // Its persistent ids have a sixth field, None for all but the oldest files.
      const zip = stateDictPickle([tensorA({ shape: [3, 2], strides: [1, 3] })]);
      const end = [...op.tuple, ...op.persistentId];
      const at = Buffer.from(zip).indexOf(Buffer.from(end));
      const state = [...zip.slice(0, at), ...op.none, ...zip.slice(at)];
      const file = Uint8Array.from([...magic, ...protocol, ...system, ...state, ...keys, 6, 0, 0, 0, 0, 0, 0, 0, ...SIX]);
      expect(await readAll(file)).to.deep.equal({ 'a.weight': [1, 4, 2, 5, 3, 6] });
      expect(await refuse(file.slice(0, -1))).to.contain('ends inside storage "0": truncated');
    });
  });

  describe('pickles that want to run something', () => {
    const call = (module: string, name: string): readonly number[] => [...op.global(module, name), ...op.mark, ...op.text('true'), ...op.tuple, ...op.reduce];

    it('refuses a call of os.system by its full name and byte, and suggests safetensors', async () => {
      const message = await refuse(withPickle(op.proto, call('os', 'system'), op.stop));
      expect(message).to.contain('the pickle wants the global os.system at byte 2: refused, nothing was executed').and.to.contain('safetensors');
    });

    it('hands out no tensor when the call comes after a sound one', async () => {
      const message = await refuse(withPickle(op.proto, op.emptyDict, op.text('a.weight'), pickledTensor(tensorA()), op.setItem, call('os', 'system'), op.stop));
      expect(message).to.contain('os.system');
    });

    it('refuses a global that is loaded but not called, one from the memo, and one of torch itself', async () => {
      expect(await refuse(withPickle(op.proto, op.global('os', 'system'), op.pop, op.emptyDict, op.stop))).to.contain('os.system');
      const fromMemo = [...op.text('os'), ...op.put(0), ...op.pop, ...op.text('system'), ...op.put(1), ...op.pop, ...op.get(0), ...op.get(1), 0x93];
      expect(await refuse(withPickle(op.proto, fromMemo, op.stop))).to.contain('the global os.system');
      expect(await refuse(withPickle(op.proto, call('torch.hub', 'load'), op.stop))).to.contain('torch.hub.load');
      expect(await refuse(withPickle(op.proto, call('builtins', 'eval'), op.stop))).to.contain('builtins.eval');
    });

    it('refuses opcodes that build objects, by name', async () => {
      const inst = [...op.mark, 0x69, ...new TextEncoder().encode('os\nsystem\n')];
      expect(await refuse(withPickle(op.proto, inst, op.stop))).to.contain('pickle opcode INST for os.system at byte 3');
      expect(await refuse(withPickle(op.proto, op.global('collections', 'OrderedDict'), op.emptyTuple, [0x81], op.stop))).to.contain('pickle opcode NEWOBJ');
    });
  });

  describe('damaged pickles', () => {
    const CASES: readonly (readonly [title: string, codes: readonly (readonly number[])[], message: string])[] = [
      ['no STOP', [op.proto, op.emptyDict], 'pickle ends without STOP after 3 bytes'],
      ['an unknown opcode', [op.proto, [0xf0]], 'unknown pickle opcode 0xf0 at byte 2'],
      ['an empty stack', [op.proto, op.reduce], 'stack underflow at byte 2'],
      ['a memo slot that is not set', [op.proto, op.get(7), op.stop], 'memo slot 7 is not set'],
      ['a string of 4 GB', [op.proto, [0x58, 255, 255, 255, 255, 1, 2, 3, 4]], 'string of 4294967295 bytes exceeds the pickle'],
      ['a frame of 2^40 bytes', [[0x80, 4, 0x95, 0, 0, 0, 0, 0, 1, 0, 0]], 'frame of 1099511627776 bytes exceeds the pickle'],
      ['a memo index of 2^32 − 1', [op.proto, op.emptyDict, [0x72, 255, 255, 255, 255], op.stop], 'no tensors found'],
      ['a list on top', [op.proto, op.emptyList, op.stop], 'top level is a list; a state dict was expected'],
      ['a dict inside itself', [op.proto, op.emptyDict, op.put(0), op.text('self'), op.get(0), op.setItem, op.stop], 'value of "self" is a dict, not a tensor'],
      ['a key __proto__', [op.proto, op.emptyDict, op.text('__proto__'), op.emptyDict, op.setItem, op.stop], 'value of "__proto__" is a dict'],
      ['a persistent id that is a number', [op.proto, op.int(5), op.persistentId], 'persistent id must be a storage tuple'],
      ['a persistent id of one field', [op.proto, op.mark, op.text('storage'), op.tuple, op.persistentId], 'persistent id has 1 field, 5 expected'],
      ['too few arguments', [op.proto, op.global('torch._utils', '_rebuild_tensor_v2'), op.mark, op.int(1), op.tuple, op.reduce], '_rebuild_tensor_v2: 1 argument, at least 4 expected'],
    ];
    for (const [title, codes, message] of CASES) {
      it(`refuses ${title}`, async () => expect(await refuse(withPickle(...codes))).to.contain(message));
    }
    it('leaves no trace of a key __proto__', () => expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined));
  });

  describe('tensors that leave their storage', () => {
    const storage = { type: 'FloatStorage', key: '0', elements: 6 };
    const CASES: readonly (readonly [title: string, change: Partial<PickledTensor>, message: string])[] = [
      ['a view past the end', { offset: 4 }, 'tensor a.weight: view ends at element 10, storage has 6'],
      ['a negative offset', { offset: -3 }, 'tensor a.weight: negative storage offset -3'],
      ['a negative stride', { strides: [-3, 1] }, 'tensor a.weight: negative stride'],
      ['more elements than stored', { shape: [1 << 30, 1 << 30], strides: [0, 0] }, `tensor a.weight: ${2n ** 60n} elements over a storage of 6: refused before allocation`],
      ['an absent record', { storage: { ...storage, key: '99' } }, 'storage record data/99 is not in the archive'],
      ['a key that is a path', { storage: { ...storage, key: '../../etc/hostname' } }, 'storage key "../../etc/hostname" is not a record of this archive'],
      ['a storage larger than its record', { storage: { ...storage, elements: 1_000_000 } }, 'storage record data/0 has 24 bytes, 4000000 expected'],
    ];
    for (const [title, change, message] of CASES) {
      it(`refuses ${title}`, async () => expect(await refuse(withTensor(change))).to.contain(message));
    }
  });

  describe('archives', () => {
    const pickle = stateDictPickle([tensorA()]);

    it('refuses a zip bomb without inflating it', async () => {
      const message = await refuse(torchArchive(pickle, { 0: new Uint8Array(50_000_000) }, { deflate: true }));
      expect(message).to.contain('storage record data/0 has 50000000 bytes, 24 expected: refused without inflating it');
    });

    it('stops inflating a bomb whose directory lies about its size', async () => {
      const bomb = { name: 'archive/data/0', bytes: new Uint8Array(50_000_000), deflate: true, claim: { bytes: 24 } };
      const tensors = await openTorchFile(await store(zipBytes([{ name: 'archive/data.pkl', bytes: pickle }, bomb])));
      const refusal = await rejection(tensors.get('a.weight')!.readFloat32(), FormatError);
      expect(refusal.message).to.contain('inflates to more than the 24 bytes announced');
    });

    it('notices a flipped bit by the CRC', async () => {
      const record = { name: 'archive/data/0', bytes: SIX, claim: { crc32: 1 } };
      const tensors = await openTorchFile(await store(zipBytes([{ name: 'archive/data.pkl', bytes: pickle }, record])));
      expect((await rejection(tensors.get('a.weight')!.readFloat32(), FormatError)).message).to.contain('record archive/data/0: CRC mismatch');
    });

    it('refuses a truncated archive, one without data.pkl, big-endian values and two records of one name', async () => {
      const sound = torchArchive(pickle, { 0: SIX });
      expect(await refuse(sound.slice(0, -22))).to.contain('zip archive truncated: no end-of-central-directory record');
      expect(await refuse(sound.slice(0, sound.length / 2))).to.contain('zip archive truncated');
      expect(await refuse(zipBytes([{ name: 'x/y', bytes: SIX }]))).to.contain('no data.pkl in the archive: not a PyTorch checkpoint');
      expect(await refuse(torchArchive(pickle, { 0: SIX }, { more: [{ name: 'archive/byteorder', bytes: new TextEncoder().encode('big') }] }))).to.contain('byte order is "big"');
      expect(await refuse(torchArchive(pickle, { 0: SIX }, { more: [{ name: 'archive/data/0', bytes: SIX }] }))).to.contain('two records are called "archive/data/0"');
    });

    it('never writes a record to disk, whatever its name', async () => {
      const escape = { name: '../../escape.txt', bytes: SIX };
      expect(await readAll(torchArchive(pickle, { 0: SIX }, { more: [escape] }))).to.deep.equal({ 'a.weight': [1, 2, 3, 4, 5, 6] });
    });
  });

  it('names files that are something else', async () => {
    const text = (value: string): Uint8Array => new TextEncoder().encode(value);
    expect(await refuse(text('<!DOCTYPE html><html></html>'))).to.contain('starts with "<!DOCTYPE"').and.to.contain('HTML page');
    expect(await refuse(text('version https://git-lfs.github.com/spec/v1\n'))).to.contain('Git-LFS pointer').and.to.contain('git lfs pull');
    expect(await refuse(text('GIF89a'))).to.contain('is not a PyTorch file (starts with "GIF89a")');
    expect(await refuse(new Uint8Array())).to.contain('file is empty (0 bytes)');
    const tar = new Uint8Array(512);
    tar.set(text('ustar'), 257);
    expect(await refuse(tar)).to.contain('tar archive, the format of torch <= 0.1.9').and.to.contain('save it again');
  });
});
