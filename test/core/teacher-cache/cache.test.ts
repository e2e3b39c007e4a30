import { readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { ConfigError, FormatError } from '../../../src/core/errors.js';
import { beginCache, openCache, readCacheHeader } from '../../../src/core/teacher-cache/cache.js';
import type { CacheIdentity } from '../../../src/core/teacher-cache/identity.js';
import { identityHash } from '../../../src/core/teacher-cache/identity.js';
import { writePart } from '../../../src/core/teacher-cache/part-file.js';
import { rejection } from '../../support/rejection.js';
import { randomRecord, tinyHeader, tinyIdentity } from '../../support/teacher-cache.js';
import { withTempFolder } from '../../support/temp-folder.js';

/** A cache of two parts with windows 12, 0 and 6, whose records are random ones of these seeds. */
async function makeCache(folder: string): Promise<void> {
  await beginCache(folder, tinyHeader());
  for (const starts of [[12, 0], [6]]) await addPart(folder, starts);
}

async function addPart(folder: string, starts: readonly number[], identity: CacheIdentity = tinyIdentity()): Promise<string> {
  const before = new Set(await readdir(folder));
  await writePart(folder, { ...identity, identityHash: identityHash(identity) }, starts.map((start) => ({ start, bytes: randomRecord(start).bytes })));
  return join(folder, (await readdir(folder)).find((name) => !before.has(name)) as string);
}

describe('teacher-cache/cache', () => {
  it('gives back what was written, whichever part holds it, in the order asked for', () => withTempFolder(async (folder) => {
    await makeCache(folder);
    const header = await readCacheHeader(folder, tinyIdentity());
    expect(header).to.deep.equal(tinyHeader());
    const cache = await openCache(folder, tinyHeader());
    expect(cache.windows).to.equal(3);
    expect([0, 6, 12, 18, 1].map((start) => cache.has(start))).to.deep.equal([true, true, true, false, false]);
    const rows = cache.read(Int32Array.of(6, 0, 12, 6));
    const records = [6, 0, 12, 6].map(randomRecord);
    expect(rows.samples).to.equal(5);
    expect([...rows.ids]).to.deep.equal(records.flatMap(({ ids }) => ids));
    expect([...rows.weights]).to.deep.equal(records.flatMap(({ units }) => units.map((unit) => Math.fround(unit / 65_535))));
    expect([...rows.entropy]).to.deep.equal(records.flatMap(({ entropy }) => entropy));
    expect(() => cache.read(Int32Array.of(0, 18))).to.throw(FormatError, 'does not hold the window at token 18');
    cache.close();
  }));

  it('says its size as it lies on disk: 4N + 4 bytes a token, a start per window and little else', () => withTempFolder(async (folder) => {
    await makeCache(folder);
    const cache = await openCache(folder, tinyHeader());
    const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
    expect(cache.sizeBytes).to.equal(sizes.reduce((a, b) => a + b));
    const fixed = (await stat(join(folder, 'cache.json'))).size + 2 * (48 + 32);
    expect(cache.sizeBytes - fixed).to.equal(3 * (6 * 24 + 4));
    cache.close();
  }));

  it('is null where there is nothing yet, or only what a killed writer left', () => withTempFolder(async (folder) => {
    expect(await readCacheHeader(join(folder, 'absent'), tinyIdentity())).to.equal(null);
    await writeFile(join(folder, 'cache.json.0123.incomplete'), '{');
    expect(await readCacheHeader(folder, tinyIdentity())).to.equal(null);
    await makeCache(folder);
    await writeFile(join(folder, '01234567.part.89ab.incomplete'), 'half');
    expect((await openCache(folder, tinyHeader())).windows).to.equal(3);
  }));

  it('refuses another run’s cache, naming everything that differs', () => withTempFolder(async (folder) => {
    await makeCache(folder);
    const others: [Partial<CacheIdentity>, string][] = [
      [{ teacherSha256: 'd'.repeat(64) }, 'belongs to another teacher (aaaaaaaaaaaa…, this run has dddddddddddd…)'],
      [{ tokenizerSha256: 'e'.repeat(64) }, 'belongs to another tokenizer (bbbbbbbbbbbb…, this run has eeeeeeeeeeee…)'],
      [{ corpusSha256: 'f'.repeat(64) }, 'belongs to another corpus (cccccccccccc…, this run has ffffffffffff…)'],
      [{ context: 7 }, 'belongs to another train.context (6, this run has 7)'],
      [{ temperature: 1, samples: 4 }, 'belongs to another distill.temperature (2, this run has 1) and another teacherCache.samples (5, this run has 4)'],
    ];
    for (const [change, message] of others) {
      const refusal = await rejection(readCacheHeader(folder, tinyIdentity(change)), ConfigError);
      expect(refusal.message).to.contain(folder).and.to.contain(message);
      expect(refusal.exitCode).to.equal(3);
      expect(refusal.suggestions.join()).to.contain('--set teacherCache.folder=');
    }
  }));

  it('notices a flipped bit anywhere in a part, a part cut short or too long, and names the file and what to type', () => withTempFolder(async (folder) => {
    await makeCache(folder);
    const path = await addPart(folder, [18, 24]);
    const bytes = await readFile(path);
    const random = createRandom(3);
    const refuse = async (): Promise<FormatError> => rejection(openCache(folder, tinyHeader()), FormatError);
    for (const at of [0, 8, 12, 16, 48, ...Array.from({ length: 12 }, () => random.integer(bytes.length)), bytes.length - 1]) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8((bytes[at] as number) ^ (1 << random.integer(8)), at);
      await writeFile(path, damaged);
      const refusal = await refuse();
      expect(refusal.message, `byte ${at}`).to.contain(path);
      expect(refusal.suggestions.join()).to.contain(`remove ${path}`);
      expect(refusal.exitCode).to.equal(5);
    }
    for (const length of [0, 20, 79, 80, bytes.length - 1]) {
      await writeFile(path, bytes);
      await truncate(path, length);
      expect((await refuse()).message, `${length} bytes`).to.match(/cut short/);
    }
    await writeFile(path, Buffer.concat([bytes, Buffer.of(0)]));
    expect((await refuse()).message).to.contain(`has ${bytes.length + 1} bytes, ${bytes.length} expected for 2 windows`);
    await writeFile(path, bytes);
    expect((await openCache(folder, tinyHeader())).windows).to.equal(5);
  }));

  it('refuses a part of another cache, and ids outside the vocabulary', () => withTempFolder(async (folder) => {
    await makeCache(folder);
    const cache = await openCache(folder, { ...tinyHeader(), vocabSize: 12 });
    expect(() => cache.read(Int32Array.of(0, 6, 12))).to.throw(FormatError, 'holds token 12, outside the teacher\'s vocabulary of 12');
    cache.close();
    await addPart(folder, [18], tinyIdentity({ corpusSha256: 'd' }));
    expect((await rejection(openCache(folder, tinyHeader()), FormatError)).message).to.contain('belongs to another teacher cache');
  }));

  it('refuses a cache.json that is edited, damaged or of another version, and a folder of other files', () => withTempFolder(async (folder) => {
    await makeCache(folder);
    const file = join(folder, 'cache.json');
    const text = await readFile(file, 'utf8');
    const refuse = async (changed: string): Promise<string> => {
      await writeFile(file, changed);
      return (await rejection(readCacheHeader(folder, tinyIdentity()), FormatError)).message;
    };
    expect(await refuse(text.replace('1.5', '1.6'))).to.contain(`${file}: its contents do not match the digest`);
    expect(await refuse(text.slice(0, -20))).to.contain(`${file} is not valid JSON`);
    expect(await refuse(text.replace('"format": 1', '"format": 2'))).to.contain('teacher cache format 2 found, 1 expected');
    await writeFile(join(folder, 'notes.txt'), '');
    const other = join(folder, 'elsewhere');
    await beginCache(other, tinyHeader());
    await writeFile(file, text);
    await withTempFolder(async (foreign) => {
      await writeFile(join(foreign, 'thesis.txt'), '');
      expect((await rejection(readCacheHeader(foreign, tinyIdentity()), FormatError)).message).to.contain(`${foreign} holds files, but no cache.json`);
      expect((await rejection(readCacheHeader(join(foreign, 'thesis.txt'), tinyIdentity()), FormatError)).message).to.contain('ENOTDIR');
    });
  }));
});
