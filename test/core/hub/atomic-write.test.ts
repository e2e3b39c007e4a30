import { expect } from 'chai';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError } from '../../../src/core/errors.js';
import { writeFileAtomically, writeTextAtomically } from '../../../src/core/hub/atomic-write.js';
import { writeSafetensorsWith } from '../../../src/core/hub/safetensors-writer.js';
import { rejection } from '../../support/rejection.js';

describe('hub/atomic-write', () => {
  let folder: string;
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'bispik-write-')); });
  afterEach(() => rm(folder, { recursive: true }));

  /** A disk that takes `room` bytes, then says it is full. */
  const fullDisk = (room: number) => async (path: string) => {
    const handle = await open(path, 'wx');
    const write = handle.write.bind(handle);
    let left = room;
    handle.write = (async (buffer: Uint8Array, offset: number, length: number) => {
      if (left === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const taken = Math.min(left, length);
      left -= taken;
      return write(buffer, offset, taken);
    }) as typeof handle.write;
    return handle;
  };

  it('writes a file whole and leaves no temporary one', async () => {
    await writeTextAtomically(join(folder, 'a.json'), '{"é":1}');
    expect(await readFile(join(folder, 'a.json'), 'utf8')).to.equal('{"é":1}');
    expect(await readdir(folder)).to.deep.equal(['a.json']);
  });

  it('on a full disk names the file, keeps the old one and leaves nothing partial', async () => {
    const path = join(folder, 'model.safetensors');
    await writeFile(path, 'old');
    const tensors = [{ name: 'x', shape: [100], values: new Float32Array(100) }];
    const refusal = await rejection(writeSafetensorsWith({ path, metadata: {}, openFile: fullDisk(150) }, tensors), FormatError);
    expect(refusal.message).to.equal(`cannot write ${path}: the disk is full (ENOSPC)`);
    expect(refusal.suggestions.join()).to.contain('free some space');
    expect(refusal.exitCode).to.equal(5);
    expect(await readFile(path, 'utf8')).to.equal('old');
    expect(await readdir(folder)).to.deep.equal(['model.safetensors']);
  });

  it('reports the error of a real full device', async function () {
    const device = await open('/dev/full', 'w').catch(() => null);
    if (device === null) return this.skip();
    const refusal = await rejection(writeFileAtomically(join(folder, 'x'), (write) => write(new Uint8Array(10)), { openFile: async () => device }), FormatError);
    expect(refusal.message).to.contain('the disk is full (ENOSPC)');
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('says that the folder is missing', async () => {
    const refusal = await rejection(writeTextAtomically(join(folder, 'absent', 'a.txt'), 'x'), FormatError);
    expect(refusal.message).to.contain('its folder does not exist (ENOENT)');
  });

  it('passes errors of the producer through and keeps the old file', async () => {
    const path = join(folder, 'a');
    await writeFile(path, 'old');
    const failure = new Error('producer');
    const caught = await writeFileAtomically(path, () => Promise.reject(failure)).catch((error: unknown) => error);
    expect(caught).to.equal(failure);
    expect(await readFile(path, 'utf8')).to.equal('old');
    expect(await readdir(folder)).to.deep.equal(['a']);
  });
});
