import type { MessagePort } from 'node:worker_threads';
import { parentPort, workerData } from 'node:worker_threads';

import { teacherFolder } from '../config/shipped.js';
import { createRandom } from '../corpus/random.js';
import { initTeacher } from '../teacher/init.js';
import { createTeacherTask } from '../teacher/training-task.js';
import { loadTeacher } from '../teacher/weights.js';
import type { ReplicaStart } from '../train/replica-pool.js';
import { failedBy, serveReplica } from '../train/replica.js';
import type { TrainingTask } from '../train/task.js';
import { silentReporter } from '../types.js';
import { createDistillation } from './distillation.js';
import { prepareBackend } from './prepare-backend.js';
import { threadTeacher } from './run-teacher.js';
import type { ReplicaPlan } from './training-threads.js';

/** Entry point of a training thread: builds its copy of the task, then answers until it is ended. */
const { plan, memory } = workerData as ReplicaStart<ReplicaPlan>;
const port = parentPort as MessagePort;
try {
  const { device } = await prepareBackend(plan.backend);
  serveReplica(await createReplica(plan), { port, memory, device });
} catch (error) {
  port.postMessage(failedBy(error));
}

/** The task with any weights: those of the run come with every request. */
async function createReplica(from: ReplicaPlan): Promise<TrainingTask> {
  const exportNothing = (): Promise<never> => Promise.reject(new Error('a training thread exports no model'));
  if (from.kind === 'teacher') {
    const { config, tokenizer: { vocabSize, bosId, eosId } } = from;
    const teacher = initTeacher({ ...config.model, vocabSize, bosId, eosId, padId: null }, createRandom(0));
    return createTeacherTask({ teacher, context: config.train.context, recompute: config.train.recompute === 'blocks', exportTeacher: exportNothing });
  }
  const { config } = from;
  const teacher = threadTeacher(config, await loadTeacher(teacherFolder(config.teacher)));
  const ctx = { reporter: silentReporter, signal: new AbortController().signal };
  return createDistillation({ config, teacher, trainTokens: new Int32Array(0), ctx, exportStudent: exportNothing }, true);
}
