import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { UsageError } from '../../../../src/core/errors.js';
import { findTasks } from '../../../../src/core/eval/tasks/find-tasks.js';
import { findLocalFiles, noLocalItems, splitOfName } from '../../../../src/core/eval/tasks/item-source.js';
import { rejection } from '../../../support/rejection.js';
import { withTempFolder } from '../../../support/temp-folder.js';

const found = async (files: readonly string[], options: { readonly task?: string; readonly split?: string; readonly strict?: boolean } = {}) => withTempFolder(async (folder) => {
  for (const file of files) {
    await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
    await writeFile(path.join(folder, file), '');
  }
  const [task] = await findTasks([options.task ?? 'arc_easy'], null);
  const result = await findLocalFiles(task!, folder, { split: options.split ?? task!.split, strict: options.strict ?? false });
  return result === null ? null : [result.split, ...result.files.map((file) => path.relative(folder, file))];
});

describe('local item files', () => {
  it('of the split come first, then those that name none, then another split\'s', async () => {
    const validation = 'arc_easy/validation.hf.jsonl';
    expect(await found([validation, 'arc_easy/mosaicml.jsonl', 'arc_easy/the_test.jsonl'])).to.deep.equal(['test', 'arc_easy/the_test.jsonl']);
    expect(await found([validation, 'arc_easy/mosaicml.jsonl'])).to.deep.equal([null, 'arc_easy/mosaicml.jsonl']);
    expect(await found([validation, 'arc_easy/README.md'])).to.deep.equal(['validation', validation]);
    expect(await found([validation, 'arc_easy/mosaicml.jsonl'], { split: 'train', strict: true })).to.equal(null);
    expect(await found(['other/test.jsonl'])).to.equal(null);
  });

  it('may be one file, lie deeper, or in shards', async () => {
    expect(await found(['arc_easy.jsonl'])).to.deep.equal([null, 'arc_easy.jsonl']);
    expect(await found(['arc_easy/ARC-Easy/test-00001-of-00002.parquet', 'arc_easy/ARC-Easy/test-00000-of-00002.parquet', 'arc_easy/ARC-Easy/train-00000-of-00001.parquet']))
      .to.deep.equal(['test', 'arc_easy/ARC-Easy/test-00000-of-00002.parquet', 'arc_easy/ARC-Easy/test-00001-of-00002.parquet']);
    expect(await found(['lambada/x.jsonl'], { task: 'lambada_openai' })).to.deep.equal([null, 'lambada/x.jsonl']);
  });

  it('name their split in words', () => {
    expect(['hellaswag_val.first.jsonl', 'ARC-Easy-Dev.jsonl', 'contest.jsonl', 'tests.jsonl', 'training/x'].map(splitOfName)).to.deep.equal(['validation', 'validation', null, 'test', 'train']);
  });

  it('that are nowhere are told with the place to put them', async () => {
    const [task] = await findTasks(['lambada_openai'], null);
    expect(noLocalItems(task!, 'items').suggestions[0]).to.equal('Put them at items/lambada_openai/*.jsonl or items/lambada/*.jsonl (or .parquet)');
    expect((await rejection(findLocalFiles(task!, '/nowhere', { split: 'test', strict: false }), UsageError)).message).to.contain('--data-path /nowhere is not a folder');
  });
});
