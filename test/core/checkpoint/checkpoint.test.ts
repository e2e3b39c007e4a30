import { mkdir, readFile, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { ConfigError, FormatError } from '../../../src/core/errors.js';
import { listSteps, recoverFolder, removeLeftovers, replaceFolder } from '../../../src/core/checkpoint/folders.js';
import type { CheckpointContents } from '../../../src/core/checkpoint/format.js';
import { checkpointName, formatState, parseState, stepOfName } from '../../../src/core/checkpoint/format.js';
import { requireSameIdentity } from '../../../src/core/checkpoint/identity.js';
import { readCheckpoint, readLatestCheckpoint } from '../../../src/core/checkpoint/read.js';
import { pruneCheckpoints, writeCheckpoint } from '../../../src/core/checkpoint/write.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const contents = (step: number): CheckpointContents => ({
  state: {
    step, tokens: 64 * step, updates: step - 1, skippedSteps: 1, skippedInRow: 0, batches: { epoch: 2, position: 5, seed: 9 },
    best: { step: 10, nll: 1 / 3 }, validationsSinceBest: 1, firingRate: 0.1, elapsedMs: 1234.5,
  },
  identity: { seed: 9, train: { steps: 100 } },
  model: [{ name: 'w', shape: [2, 2], values: Float32Array.of(1, -0, 1e-40, Math.fround(0.1)) }, { name: 'b', shape: [], values: Float32Array.of(step) }],
  optimizer: [{ name: 'mean.w', shape: [2, 2], values: Float32Array.of(1, 2, 3, 4) }],
});

const errorOf = (action: () => unknown): Error => {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
};

describe('checkpoint/write and read', () => {
  it('gives back every bit, the state and the identity', () => withTempFolder(async (folder) => {
    const written = await writeCheckpoint(folder, contents(300));
    expect(path.basename(written)).to.equal('step-000300');
    expect((await readdir(written)).sort()).to.deep.equal(['model.safetensors', 'optimizer.safetensors', 'state.json']);
    const { state, identity, model, optimizer } = await readCheckpoint(written);
    expect(state).to.deep.equal(contents(300).state);
    expect(identity).to.deep.equal(contents(300).identity);
    expect([...model.keys(), ...optimizer.keys()]).to.deep.equal(['w', 'b', 'mean.w']);
    expect(model.get('b')?.shape).to.deep.equal([]);
    expect(new Uint32Array(model.get('w')?.values.buffer as ArrayBuffer)).to.deep.equal(new Uint32Array(contents(300).model[0]?.values.buffer as ArrayBuffer));
  }));

  it('names what is damaged: cut, flipped, missing, edited, of another version', () => withTempFolder(async (folder) => {
    const damages: readonly [RegExp, (checkpoint: string) => Promise<void>][] = [
      [/model\.safetensors: \d+ bytes found, \d+ expected/, (at) => truncate(path.join(at, 'model.safetensors'), 40)],
      [/optimizer\.safetensors: SHA-256 .* damaged/, (at) => flipLastByte(path.join(at, 'optimizer.safetensors'))],
      [/optimizer\.safetensors is missing/, (at) => rm(path.join(at, 'optimizer.safetensors'))],
      [/state\.json cannot be read \(ENOENT\)/, (at) => rm(path.join(at, 'state.json'))],
      [/state\.json is not valid JSON/, (at) => truncate(path.join(at, 'state.json'), 100)],
      [/state\.json: a JSON object expected/, (at) => writeFile(path.join(at, 'state.json'), '[]')],
      [/state\.json: its contents do not match/, (at) => replaceText(path.join(at, 'state.json'), '"position": 5', '"position": 6')],
      [/checkpoint format 2 found, 1 expected/, (at) => replaceText(path.join(at, 'state.json'), '"format": 1', '"format": 2')],
    ];
    for (const [expected, damage] of damages) {
      const written = await writeCheckpoint(folder, contents(300));
      await damage(written);
      const error = await rejection(readCheckpoint(written), FormatError);
      expect(error.message).to.match(expected);
      expect(error.exitCode).to.equal(5);
    }
  }));

  it('reads the newest whole one and says what it passed over', () => withTempFolder(async (folder) => {
    for (const step of [100, 200, 1_000_000]) await writeCheckpoint(folder, contents(step));
    await flipLastByte(path.join(folder, 'step-1000000', 'model.safetensors'));
    await mkdir(path.join(folder, 'step-000300.1234abcd.incomplete'));
    const notices: string[] = [];
    const { state, path: found } = await readLatestCheckpoint(folder, (message) => notices.push(message));
    expect([state.step, path.basename(found)]).to.deep.equal([200, 'step-000200']);
    expect(notices).to.have.length(1);
    expect(notices[0]).to.include('step-1000000 cannot be used');
    await rm(path.join(folder, 'step-000100'), { recursive: true });
    await rm(path.join(folder, 'step-000200'), { recursive: true });
    expect((await rejection(readLatestCheckpoint(folder, () => undefined), FormatError)).message).to.include('1 checkpoints, none of them whole');
    expect((await rejection(readLatestCheckpoint(path.join(folder, 'absent'), () => undefined), FormatError)).message).to.include('no checkpoint');
  }));

  it('a full disk leaves the checkpoints before it, and nothing partial', () => withTempFolder(async (folder) => {
    await writeCheckpoint(folder, contents(100));
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const error = await rejection(writeCheckpoint(folder, contents(200), { onFileWritten: (name) => (name.startsWith('opt') ? Promise.reject(full) : Promise.resolve()) }), FormatError);
    expect(error.message).to.include('step-000200').and.include('disk is full');
    expect(await readdir(folder)).to.deep.equal(['step-000100']);
    await rejection(writeCheckpoint(folder, contents(100), { onFileWritten: () => Promise.reject(full) }), FormatError);
    expect((await readCheckpoint(path.join(folder, 'step-000100'))).state.step).to.equal(100);
  }));

  it('keeps the newest two and the best', () => withTempFolder(async (folder) => {
    for (const step of [10, 20, 30, 40]) await writeCheckpoint(folder, contents(step));
    await pruneCheckpoints(folder, 10);
    expect((await readdir(folder)).sort()).to.deep.equal(['step-000010', 'step-000030', 'step-000040']);
    await pruneCheckpoints(folder, null);
    expect((await readdir(folder)).sort()).to.deep.equal(['step-000030', 'step-000040']);
  }));
});

describe('checkpoint/folders', () => {
  it('replaces a folder whole, and puts the old one back after a crash between the two renames', () => withTempFolder(async (root) => {
    const folder = path.join(root, 'student');
    const write = (text: string) => (at: string): Promise<void> => writeFile(path.join(at, 'weights'), text);
    const read = (): Promise<string> => readFile(path.join(folder, 'weights'), 'utf8');
    await replaceFolder(folder, write('first'));
    await replaceFolder(folder, write('second'));
    expect(await read()).to.equal('second');
    await replaceFolder(folder, () => Promise.reject(new Error('no'))).then(() => expect.fail(), (error: Error) => expect(error.message).to.equal('no'));
    expect(await read()).to.equal('second');
    expect(await readdir(root)).to.deep.equal(['student']);
    await rename(folder, `${folder}.replaced`);
    await recoverFolder(folder);
    expect(await read()).to.equal('second');
    await mkdir(`${folder}.replaced`);
    await recoverFolder(folder);
    expect(await readdir(root)).to.deep.equal(['student']);
  }));

  it('refuses where a file is in the way', () => withTempFolder(async (root) => {
    await writeFile(path.join(root, 'file'), '');
    const error = await rejection(replaceFolder(path.join(root, 'file', 'student'), () => Promise.resolve()), FormatError);
    expect(error.message).to.include('ENOTDIR');
  }));

  it('clears what killed writers left, and lists steps by number', () => withTempFolder(async (root) => {
    for (const name of ['step-000002', 'step-1000000', 'step-000010', 'step-000003.00ff00ff.incomplete', 'step-000004.replaced', 'step-000010.replaced', 'step-7', 'notes']) await mkdir(path.join(root, name));
    await removeLeftovers(root);
    expect((await readdir(root)).sort()).to.deep.equal(['notes', 'step-000002', 'step-000004', 'step-000010', 'step-1000000', 'step-7']);
    expect(await listSteps(root)).to.deep.equal([1_000_000, 10, 4, 2]);
    expect(await listSteps(path.join(root, 'absent'))).to.deep.equal([]);
  }));
});

describe('checkpoint/format and identity', () => {
  it('names checkpoints by step', () => {
    expect([0, 300, 1_234_567].map(checkpointName)).to.deep.equal(['step-000000', 'step-000300', 'step-1234567']);
    expect(['step-000300', 'step-1234567', 'step-300', 'step-000300.ab.incomplete', 'x'].map(stepOfName)).to.deep.equal([300, 1_234_567, null, null, null]);
  });

  it('reads back the state it formats', () => {
    const { state, identity } = contents(7);
    const document = { format: 1, state, identity, files: { 'model.safetensors': { sizeBytes: 3, sha256: 'ab' } } } as const;
    expect(parseState(formatState(document), 'state.json')).to.deep.equal(document);
  });

  it('accepts the same identity whatever the order of its keys, and names at most eight differences', () => {
    requireSameIdentity('runs/a', { a: 1, b: { c: [1, 2], d: null } }, { b: { d: null, c: [1, 2] }, a: 1 });
    const error = errorOf(() => { requireSameIdentity('runs/a', { a: 1, b: { c: [1, 2] }, old: true }, { a: 2, b: { c: [1, 3] }, fresh: 'x' }); });
    expect(error).to.be.instanceOf(ConfigError);
    expect(error.message).to.equal('runs/a belongs to a run with another configuration; different: a (checkpoint 1, now 2), b.c (checkpoint [1,2], now [1,3]), '
      + 'old (checkpoint true, now absent), fresh (checkpoint absent, now "x")');
    const many = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`key${i}`, i]));
    expect(errorOf(() => { requireSameIdentity('runs/a', many, {}); }).message).to.match(/ and 3 more$/);
  });
});

async function flipLastByte(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 0x40;
  await writeFile(file, bytes);
}

async function replaceText(file: string, from: string, to: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  expect(text).to.include(from);
  await writeFile(file, text.replace(from, to));
}
