/** Started as a process of its own: trains half of the tiny run, begins another checkpoint and hangs between two of its files. */
import { writeCheckpoint } from '../../src/core/checkpoint/write.js';
import { readLatestCheckpoint } from '../../src/core/checkpoint/read.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { trainModel } from '../../src/core/train/trainer.js';
import { silentReporter } from '../../src/core/types.js';
import { createTinyTask, tinyOptions } from './tiny-task.js';

const [runFolder, fileToHangAfter] = process.argv.slice(2) as [string, string];
await prepareBackend('cpu');
const controller = new AbortController();
const reporter = { ...silentReporter, progress: ({ done }: { done: number }) => { if (done === 5) controller.abort(); } };
await trainModel(createTinyTask(), tinyOptions(runFolder), { reporter, signal: controller.signal }).catch(() => undefined);

const { identity, state, model, optimizer } = await readLatestCheckpoint(`${runFolder}/checkpoints`, () => undefined);
const toStored = (tensors: typeof model) => Array.from(tensors, ([name, { shape, values }]) => ({ name, shape, values: values.map(() => 7) }));
await writeCheckpoint(`${runFolder}/checkpoints`, { identity, state: { ...state, step: 7 }, model: toStored(model), optimizer: toStored(optimizer) }, {
  onFileWritten: async (name) => {
    if (name !== fileToHangAfter) return;
    process.stdout.write('hanging\n');
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  },
});
