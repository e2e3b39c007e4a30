import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { shippedTasksFolder } from '../../src/core/eval/tasks/find-tasks.js';
import { RESULT_SCHEMAS } from '../support/result-schemas.js';
import { documentOf, expectCli } from '../support/run-cli.js';
import { withTempFolder } from '../support/temp-folder.js';

/** Folder with `benchmarks/TASK/`. */
const SHARED = process.env['BISPIK_SHARED_DATA'];
/** Folders whose name is not their task's. */
const TASK_OF: Readonly<Record<string, string>> = { lambada: 'lambada_openai' };
/** Bar: all tasks, a student and its teacher, on two cores. */
const MOST_MS = 600_000;

describe('extended: every task of the shared benchmarks with the built-in models', function () {
  if (SHARED === undefined) {
    it('needs BISPIK_SHARED_DATA');
    return;
  }
  this.timeout(2 * MOST_MS);

  it('runs end to end, all items of all tasks, in under ten minutes', () => withTempFolder(async (folder) => {
    const benchmarks = path.join(SHARED, 'benchmarks');
    const names = (await readdir(benchmarks, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => TASK_OF[name] ?? name);
    const shipped = (await readdir(shippedTasksFolder())).map((file) => file.replace('.yaml', ''));
    expect(shipped).to.include.members(names);
    const config = path.resolve(import.meta.dirname, '..', '..', 'configs', 'distill', 'stories.yaml');
    await expectCli(0, ['distill', '--config', config, '--set', 'train.steps=60', '--set', 'train.warmupSteps=6', '--set', 'run=run'], { folder, timeoutMs: MOST_MS });
    const done = await expectCli(0, ['eval', 'run', '--tasks', names.join(','), '--data-path', benchmarks, '--out', 'results', '--json'], { folder, timeoutMs: MOST_MS });
    const { tasks } = RESULT_SCHEMAS['eval on tasks'].parse(await documentOf(done));
    expect(Object.keys(tasks.results)).to.deep.equal(names);
    for (const { task, items, metrics, outcomes } of Object.values(tasks.results)) {
      expect(items.scored, task).to.equal(items.original);
      for (const [metric, { student, teacher, chance }] of Object.entries(metrics)) {
        expect([student!.value, teacher!.value].every(Number.isFinite), `${task} ${metric}`).to.equal(true);
        expect(outcomes.student![metric]!.values.length).to.equal(items.scored);
        // Models of children's stories know nothing of these: far from chance would mean that something leaks.
        if (metric.startsWith('acc') && items.scored > 400) expect(Math.abs(teacher!.value - chance), `${task} ${metric}`).to.be.below(0.3);
      }
    }
    console.log(`      ${Object.values(tasks.results).reduce((sum, { items }) => sum + items.scored, 0)} items in ${(tasks.elapsedMs / 1000).toFixed(1)} s`);
    expect(tasks.elapsedMs).to.be.below(MOST_MS);
  }));
});
