import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { ConfigError, UsageError } from '../../../../src/core/errors.js';
import { findTasks, shippedTasksFolder } from '../../../../src/core/eval/tasks/find-tasks.js';
import { parseTask } from '../../../../src/core/eval/tasks/task.js';
import { rejection } from '../../../support/rejection.js';
import { withTempFolder } from '../../../support/temp-folder.js';

const TASK = `
task: mine
version: 1
description: A task of my own.
output_type: multiple_choice
forms:
  - context: "{{q}}"
    choices: ["a", "{{b}}"]
    gold: "{{g}}"
metrics:
  - { metric: acc, higher_is_better: true }
`;

function refusal(change: readonly [string, string]): ConfigError {
  expect(TASK).to.contain(change[0]);
  try {
    parseTask(TASK.replace(...change), 'mine.yaml');
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError);
    return error as ConfigError;
  }
  throw new Error('the task was read');
}

describe('task files', () => {
  it('are read with their defaults and the hash of their text', () => {
    const task = parseTask(TASK, 'mine.yaml');
    expect(task).to.include({ task: 'mine', split: 'test', fewshot_split: null, target_delimiter: ' ', fewshot_delimiter: '\n\n', dataset: null });
    expect(task.hash).to.match(/^[0-9a-f]{64}$/).and.not.equal(parseTask(`${TASK}\n`, 'mine.yaml').hash);
  });

  it('with an unknown key are refused with line and nearest key', () => {
    const error = refusal(['description:', 'descripton:']);
    expect(error.exitCode).to.equal(3);
    expect(error.message).to.contain('mine.yaml:4').and.to.contain('unknown key descripton').and.to.contain('nearest key is description');
    expect(refusal(['    gold:', '    glod:']).message).to.contain('glod');
  });

  it('are refused when a template, a metric or a form does not fit', () => {
    expect(refusal(['{{q}}', '{{q | stirp}}']).suggestions).to.include('Did you mean strip?');
    expect(refusal(['metric: acc,', 'metric: word_perplexity,']).message).to.contain('multiple_choice cannot measure word_perplexity');
    expect(refusal(['metric: acc,', 'metric: accuracy,']).message).to.contain('acc | acc_norm');
    expect(refusal(['    gold: "{{g}}"\n', '']).message).to.contain('mine.yaml:7').and.to.contain('gold is missing');
    expect(refusal(['    gold:', '    counted: "{{q}}"\n    gold:']).message).to.contain('counted has no meaning');
    expect(refusal([', higher_is_better: true', '']).message).to.contain('higher_is_better is missing');
    expect(refusal(['version: 1', 'version: 0']).message).to.contain('a whole number from 1');
    expect(refusal(['task: mine', 'task: ../mine']).message).to.contain('task must be');
  });

  it('that ship name their schema, for editors', async () => {
    for (const name of await readdir(shippedTasksFolder())) {
      expect((await readFile(path.join(shippedTasksFolder(), name), 'utf8')).split('\n')[0], name).to.equal('# yaml-language-server: $schema=../schemas/task.schema.json');
    }
  });

  it('of the user come before those that ship', () => withTempFolder(async (folder) => {
    await writeFile(path.join(folder, 'mine.yaml'), TASK);
    await writeFile(path.join(folder, 'piqa.yaml'), TASK.replace('task: mine', 'task: piqa'));
    const [mine, piqa, arc] = await findTasks(['mine', 'piqa', 'arc_easy', 'mine'], folder);
    expect([mine!.task, piqa!.description, arc!.task]).to.deep.equal(['mine', 'A task of my own.', 'arc_easy']);
    await writeFile(path.join(folder, 'twin.yml'), TASK);
    expect((await rejection(findTasks(['mine'], folder), ConfigError)).message).to.contain('mine.yaml').and.to.contain('twin.yml').and.to.contain('both define the task mine');
    expect((await rejection(findTasks(['mine'], path.join(folder, 'none')), UsageError)).message).to.contain('ENOENT');
  }));

  it('that are not there are refused with the nearest name', async () => {
    const error = await rejection(findTasks(['arc_esay'], null), UsageError);
    expect(error.message).to.equal('there is no task "arc_esay"');
    expect(error.suggestions[0]).to.equal('Did you mean arc_easy?');
    expect(error.suggestions[1]).to.contain('hellaswag').and.to.contain('wikitext');
  });

  it('may stand in an empty folder', () => withTempFolder(async (folder) => {
    await mkdir(path.join(folder, 'sub'));
    expect((await findTasks(['copa'], folder)).length).to.equal(1);
  }));
});
