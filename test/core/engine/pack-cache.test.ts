import { chmod, copyFile, mkdir, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { expect } from 'chai';

import { BackendError, BispikError, ShapeError } from '../../../src/core/errors.js';
import type { WeightPrecision } from '../../../src/core/types.js';
import { ENGINE_PRECISIONS, planImage } from '../../../src/core/engine/layout.js';
import type { OpenedWeights } from '../../../src/core/engine/pack-cache.js';
import { openPacked, packedFile } from '../../../src/core/engine/pack-cache.js';
import { writeSafetensors } from '../../../src/core/hub/safetensors.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { StudentConfig } from '../../../src/core/student/config.js';
import { studentConfigToJson } from '../../../src/core/student/config.js';
import { readStudent } from '../../../src/core/student/folder.js';
import { parameterShapes } from '../../../src/core/student/parameters.js';
import type { StoredTensor } from '../../../src/core/student/stored.js';
import { isTransposed } from '../../../src/core/student/stored.js';
import { loadedModules } from '../../support/loaded-modules.js';
import { rejection } from '../../support/rejection.js';
import { storedTensors, withValues, writeStoredStudent } from '../../support/stored-student.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { TINY_STUDENT } from '../../support/tiny-models.js';

/** The types of Node 20 do not declare it. */
declare const WebAssembly: { Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => { readonly buffer: SharedArrayBuffer } };

interface Opened extends OpenedWeights { readonly image: Buffer }

/** Opens a student as the engine does, counting that memory is asked for once; the image follows 128 bytes of something else. */
async function openStudent(folder: string, precision: WeightPrecision = 'int8'): Promise<Opened> {
  let image: Uint8Array | null = null;
  const opened = await openPacked(folder, precision, (bytes) => {
    expect(image, 'memory is asked for once').to.equal(null);
    image = new Uint8Array(new ArrayBuffer(128 + bytes), 128).fill(0xaa);
    return image;
  });
  return { ...opened, image: Buffer.from(image!) };
}

const withStudent = (body: (folder: string) => Promise<void>) => withTempFolder(async (root) => {
  const folder = join(root, 'student');
  await writeStoredStudent(folder, TINY_STUDENT, storedTensors(TINY_STUDENT));
  await body(folder);
});

/** Expects a packed file that is not used, then one that is. */
async function expectPackedAnew(folder: string, image: Buffer | null, notice: RegExp | null): Promise<void> {
  const anew = await openStudent(folder);
  expect([anew.origin, anew.cached]).to.deep.equal(['packed', true]);
  if (notice === null) expect(anew.notice).to.equal(null);
  else expect(anew.notice).to.match(notice);
  if (image !== null) expect(anew.image.equals(image), 'the image').to.equal(true);
  const again = await openStudent(folder);
  expect([again.origin, again.notice]).to.deep.equal(['cache', null]);
  expect(again.image.equals(anew.image), 'the image of the next start').to.equal(true);
}

describe('packed file', () => {
  for (const precision of ENGINE_PRECISIONS) {
    it(`${precision}: is written at the first start and read at the second, to the same bytes and addresses`, () => withStudent(async (folder) => {
      const first = await openStudent(folder, precision);
      expect([first.origin, first.cached, first.notice]).to.deep.equal(['packed', true, null]);
      expect(await readdir(join(folder, '.bispik'))).to.deep.equal([`engine-${precision}.pack`]);
      const second = await openStudent(folder, precision);
      expect([second.origin, second.cached, second.notice]).to.deep.equal(['cache', true, null]);
      expect(second.image.equals(first.image)).to.equal(true);
      expect(second.weights).to.deep.equal(first.weights);
      expect(second.imageBytes).to.equal(planImage(TINY_STUDENT, precision).totalBytes).and.to.equal(second.image.length);
      expect(second.weights.config).to.deep.equal(TINY_STUDENT);
      expect([second.weights.embedding.weights, second.weights.precision]).to.deep.equal([128, precision]);
    }));
  }

  it('starts with magic, version and a header that names precision, model and image', () => withStudent(async (folder) => {
    const { image } = await openStudent(folder);
    const file = await readFile(packedFile(folder, 'int8'));
    expect([file.toString('latin1', 0, 8), file.readUInt32LE(8)]).to.deep.equal(['BSPKPACK', 2]);
    const length = file.readUInt32LE(12);
    const header = JSON.parse(file.toString('utf8', 16, 16 + length)) as Record<string, unknown>;
    const { size, mtimeMs } = await stat(join(folder, 'model.safetensors'));
    const provenance = JSON.parse(await readFile(join(folder, 'provenance.json'), 'utf8')) as { weightsSha256: string };
    expect(header).to.deep.include({
      precision: 'int8', imageBytes: image.length, source: { weightsSha256: provenance.weightsSha256, sizeBytes: size, modifiedMs: mtimeMs },
      config: studentConfigToJson(TINY_STUDENT),
    });
    const start = Math.ceil((16 + length) / 64) * 64;
    expect(file.subarray(start).equals(image)).to.equal(true);
  }));

  it('is all that is read when it is good', () => withStudent(async (folder) => {
    const weights = join(folder, 'model.safetensors');
    await utimes(weights, 1000, 2000); // whole seconds can be given back exactly
    const { image } = await openStudent(folder);
    await writeFile(weights, Buffer.alloc((await stat(weights)).size, 0xff));
    await utimes(weights, 1000, 2000);
    const again = await openStudent(folder);
    expect([again.origin, again.image.equals(image)]).to.deep.equal(['cache', true]);
  }));

  it('fills shared memory as well', () => withStudent(async (folder) => {
    const { image } = await openStudent(folder);
    for (const origin of ['cache', 'packed']) {
      if (origin === 'packed') await rm(packedFile(folder, 'int8'));
      const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
      const opened = await openPacked(folder, 'int8', (bytes) => new Uint8Array(memory.buffer, 64, bytes));
      expect([opened.origin, opened.cached]).to.deep.equal([origin, true]);
      expect(Buffer.from(new Uint8Array(memory.buffer, 64, image.length)).equals(image)).to.equal(true);
    }
  }));

  it('loads no TensorFlow', async () => {
    const files = ['layout', 'weights', 'pack-matrix', 'pack-student', 'pack-cache'].map((name) => `core/engine/${name}.ts`);
    const loaded = await loadedModules(files);
    for (const file of [...files, 'core/student/stored.ts']) expect(loaded).to.contain(`src/${file}`);
    expect(loaded).not.to.contain('@tensorflow');
  });
});

describe('a packed file that does not fit', () => {
  const damages: [string, (file: Buffer) => Buffer, RegExp][] = [
    ['is empty', () => Buffer.alloc(0), /is no file of packed weights: packed again$/],
    ['is cut in its header', (file) => file.subarray(0, 200), /was packed from another model or is damaged/],
    ['is cut in the image', (file) => file.subarray(0, -1), /was packed from another model or is damaged/],
    ['has a byte too many', (file) => Buffer.concat([file, Buffer.alloc(1)]), /was packed from another model or is damaged/],
    ['has another magic', (file) => flip(file, 3), /is no file of packed weights/],
    ['is of another version', (file) => flip(file, 9), /has format version 258, 2 expected/],
    ['announces a header of 4 GB', (file) => { file.writeUInt32LE(0xffff_ffff, 12); return file; }, /damaged/],
    ['has another length of header', (file) => flip(file, 12), /damaged/],
    ['records another hash', (file) => flip(file, file.indexOf('"imageSha256":"') + 20), /damaged/],
    ['has a flipped bit behind its header', (file) => flip(file, Math.ceil((16 + file.readUInt32LE(12)) / 64) * 64 - 1), /damaged/],
    ['has a flipped bit at the start of the image', (file) => flip(file, Math.ceil((16 + file.readUInt32LE(12)) / 64) * 64), /is damaged: packed again$/],
    ['has a flipped bit at the end of the image', (file) => flip(file, file.length - 1), /is damaged: packed again$/],
    ['has other bytes in the image, as long', (file) => file.fill(0, file.length - 500), /is damaged: packed again$/],
  ];
  for (const [title, damage, notice] of damages) {
    it(`because it ${title} is packed anew, not trusted`, () => withStudent(async (folder) => {
      const { image } = await openStudent(folder);
      const path = packedFile(folder, 'int8');
      const file = await readFile(path);
      await writeFile(path, damage(Buffer.from(file)));
      await expectPackedAnew(folder, image, notice);
      expect((await readFile(path)).equals(file), 'the file is as before').to.equal(true);
    }));
  }

  it('because of a flipped bit, wherever it is', () => withStudent(async (folder) => {
    const { image } = await openStudent(folder);
    const path = packedFile(folder, 'int8');
    const file = await readFile(path);
    for (let at = 0; at < file.length; at += at < 1024 ? 37 : 1009) {
      await writeFile(path, flip(Buffer.from(file), at));
      const opened = await openStudent(folder);
      expect([opened.origin, opened.image.equals(image)], `byte ${at}`).to.deep.equal(['packed', true]);
    }
  }));

  it('because its model would have 10^9 layers is refused at once, although every number in its header agrees', () => withStudent(async (folder) => {
    const { image } = await openStudent(folder);
    const path = packedFile(folder, 'int8');
    const file = await readFile(path);
    const header = JSON.parse(file.toString('utf8', 16, 16 + file.readUInt32LE(12))) as { config: Record<string, unknown> };
    header.config['num_hidden_layers'] = 1e9;
    const text = JSON.stringify(header);
    const head = Buffer.alloc(Math.ceil((16 + text.length) / 64) * 64);
    file.copy(head, 0, 0, 12);
    head.writeUInt32LE(text.length, 12);
    head.write(text, 16);
    await writeFile(path, Buffer.concat([head, image]));
    await writeFile(join(folder, 'config.json'), JSON.stringify(header.config));
    expect((await rejection(openStudent(folder), ShapeError)).message).to.contain('too few for num_hidden_layers 1000000000');
  }));

  const others: [string, (folder: string) => Promise<void>][] = [
    ['other weights', (folder) => writeStoredStudent(folder, TINY_STUDENT, storedTensors(TINY_STUDENT, 6))],
    ['weights written later', (folder) => utimes(join(folder, 'model.safetensors'), 1, 2)],
    ['weights of which another record was made', async (folder) => { await rm(join(folder, 'provenance.json')); }],
    ['another threshold', (folder) => writeStoredStudent(folder, { ...TINY_STUDENT, neuron: { ...TINY_STUDENT.neuron, threshold: 2 } }, storedTensors(TINY_STUDENT))],
    ['another width', (folder) => writeStoredStudent(folder, { ...TINY_STUDENT, hiddenSize: 10 }, storedTensors({ ...TINY_STUDENT, hiddenSize: 10 }))],
    ['another precision', async (folder) => { await openStudent(folder, 'int4'); await copyFile(packedFile(folder, 'int4'), packedFile(folder, 'int8')); }],
  ];
  for (const [title, change] of others) {
    it(`because it is of ${title} is packed anew`, () => withStudent(async (folder) => {
      await openStudent(folder);
      await change(folder);
      await expectPackedAnew(folder, null, /engine-int8\.pack was packed from another model or is damaged: packed again$/);
    }));
  }
});

function flip(file: Buffer, at: number): Buffer {
  file[at]! ^= 1;
  return file;
}

describe('a folder that cannot be written', () => {
  /** Root may write everywhere: the test then acts as a user who may not. */
  async function asOrdinaryUser(body: () => Promise<void>): Promise<void> {
    if (process.geteuid?.() !== 0) return await body();
    process.seteuid!(65_534);
    try {
      await body();
    } finally {
      process.seteuid!(0);
    }
  }

  async function expectUnwritten(folder: string, notice: RegExp): Promise<void> {
    for (let start = 0; start < 2; start += 1) {
      const opened = await openStudent(folder);
      expect([opened.origin, opened.cached]).to.deep.equal(['packed', false]);
      expect(opened.notice).to.match(notice).and.to.match(/; the next start packs the weights again$/);
    }
  }

  it('because it is read-only is no error: the weights are used, and the result says why they are not kept', () => withStudent(async (folder) => {
    await chmod(dirname(folder), 0o755);
    await chmod(folder, 0o555);
    try {
      await asOrdinaryUser(() => expectUnwritten(folder, /^cannot write .*engine-int8\.pack: permission denied/));
    } finally {
      await chmod(folder, 0o755);
    }
    expect((await readdir(folder)).sort()).to.deep.equal(['config.json', 'model.safetensors', 'provenance.json']);
  }));

  it('because a file or a folder stands in the way is no error', () => withStudent(async (folder) => {
    await writeFile(join(folder, '.bispik'), '');
    await expectUnwritten(folder, /EEXIST|ENOTDIR/);
    await rm(join(folder, '.bispik'));
    await mkdir(packedFile(folder, 'int8'), { recursive: true });
    await expectUnwritten(folder, /there is a folder of that name/);
    expect(await readdir(join(folder, '.bispik')), 'nothing partial stays').to.deep.equal(['engine-int8.pack']);
  }));

  it('is still read from when its packed file is good', () => withStudent(async (folder) => {
    await openStudent(folder);
    await chmod(dirname(folder), 0o755);
    await chmod(folder, 0o555);
    await asOrdinaryUser(async () => {
      expect((await openStudent(folder)).origin).to.equal('cache');
    }).finally(() => chmod(folder, 0o755));
  }));
});

describe('a folder the engine cannot open', () => {
  before(async () => { await prepareBackend('cpu'); });

  const changed = (change: (all: StoredTensor[]) => StoredTensor[]) => (folder: string): Promise<void> =>
    writeStoredStudent(folder, TINY_STUDENT, change(storedTensors(TINY_STUDENT)));
  const cases: [string, (folder: string) => Promise<void>][] = [
    ['misses a tensor', changed((all) => all.slice(0, -1))],
    ['has a tensor of another shape', changed((all) => all.map((t) => (t.name === 'layers.1.fc1.weight' ? { ...t, shape: [8, 32] } : t)))],
    ['has NaN weights', changed((all) => withValues(all, { 'final_norm.weight': [1, 1, 1, NaN, 1, 1, 1, 1] }))],
    ['has weights that are not those recorded', (folder) => writeSafetensors(join(folder, 'model.safetensors'), storedTensors(TINY_STUDENT, 9))],
    ['has a cut weight file', async (folder) => { await writeFile(join(folder, 'model.safetensors'), (await readFile(join(folder, 'model.safetensors'))).subarray(0, -4)); }],
    ['has no weight file', (folder) => rm(join(folder, 'model.safetensors'))],
    ['has no configuration', (folder) => rm(join(folder, 'config.json'))],
    ['has a configuration of 0 time steps', (folder) => writeFile(join(folder, 'config.json'), JSON.stringify({ ...studentConfigToJson(TINY_STUDENT), time_steps: 0 }))],
    ['has a configuration of 10^9 layers', (folder) => writeFile(join(folder, 'config.json'), JSON.stringify({ ...studentConfigToJson(TINY_STUDENT), num_hidden_layers: 1e9 }))],
    ['has a broken record', (folder) => writeFile(join(folder, 'provenance.json'), '{')],
  ];
  for (const [title, damage] of cases) {
    it(`because it ${title} is refused as \`readStudent\` refuses it, packed file or not`, () => withStudent(async (folder) => {
      await openStudent(folder);
      await damage(folder);
      const expected = await rejection(readStudent(folder), BispikError);
      for (let start = 0; start < 2; start += 1) {
        const refusal = await rejection(openStudent(folder), BispikError);
        expect([refusal.message, refusal.name, refusal.suggestions]).to.deep.equal([expected.message, expected.name, expected.suggestions]);
        await rm(packedFile(folder, 'int8'), { force: true });
      }
    }));
  }

  it('because a gain is not above 0 leaves no packed file', () => withStudent(async (folder) => {
    await changed((all) => withValues(all, { 'layers.1.attention.gain': [1, -1] }))(folder);
    expect((await rejection(openStudent(folder), BispikError)).message).to.equal(
      `${join(folder, 'model.safetensors')}: layers.1.attention.gain: value 1 is -1, a gain above 0 expected`);
    expect(await readdir(folder)).not.to.include('.bispik');
  }));

  it('because no 32-bit memory holds it is refused before memory is asked for', () => withTempFolder(async (folder) => {
    const config = { ...TINY_STUDENT, vocabSize: 1_100_000, hiddenSize: 1024, layers: 1 };
    await writeSparseStudent(folder, config);
    const { totalBytes } = planImage(config, 'float32');
    expect(totalBytes).to.be.above(2 ** 32);
    const refusal = await rejection(openPacked(folder, 'float32', () => { throw new Error('memory was asked for'); }), BackendError);
    expect(refusal.message).to.equal(`the student's float32 weights need ${totalBytes} bytes, the engine's memory holds 4294967296`);
    expect(refusal.suggestions).to.deep.equal(['--precision int8']);
  }));
});

/** A student folder whose weight file has a true header and holes for weights: gigabytes that take no room. */
async function writeSparseStudent(folder: string, config: StudentConfig): Promise<void> {
  let end = 0;
  const header = JSON.stringify(Object.fromEntries(Array.from(parameterShapes(config), ([name, shape]) => {
    const begin = end;
    end += 4 * shape.reduce((a, b) => a * b, 1);
    return [name, { dtype: 'F32', shape: isTransposed(name, shape) ? [...shape].reverse() : shape, data_offsets: [begin, end] }];
  })));
  await writeFile(join(folder, 'config.json'), JSON.stringify(studentConfigToJson(config)));
  const handle = await open(join(folder, 'model.safetensors'), 'w');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await handle.writeFile(Buffer.concat([length, Buffer.from(header)]));
  await handle.truncate(8 + header.length + end);
  await handle.close();
}
