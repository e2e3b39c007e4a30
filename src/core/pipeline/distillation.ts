import * as tf from '@tensorflow/tfjs-core';

import type { DistillConfig } from '../config/schema.js';
import type { Batches } from '../corpus/batches.js';
import { createBatches } from '../corpus/batches.js';
import { createRandom, deriveSeed } from '../corpus/random.js';
import { createProjections } from '../distill/projections.js';
import { spadTerms } from '../distill/spad.js';
import { studentConfigOf } from '../distill/student-config.js';
import { createDistillTask } from '../distill/training-task.js';
import type { Student } from '../student/forward.js';
import { parameterShapes } from '../student/parameters.js';
import { startStudent } from '../student/start.js';
import type { TrainingTask } from '../train/task.js';
import type { RunContext } from '../types.js';
import { earlierWeights } from './earlier-student.js';
import type { RunTeacher } from './run-teacher.js';

/** Seeds of the independent random streams of a run. */
const STREAM = { start: 1, batches: 2, calibration: 3, projections: 4 } as const;

/** What a distillation is made of. */
export interface DistillationParts {
  readonly config: DistillConfig;
  /** Stays the caller's. */ readonly teacher: Pick<RunTeacher, 'config' | 'source' | 'lend'>;
  /** Token ids the start is calibrated on. */ readonly trainTokens: Int32Array;
  readonly ctx: RunContext;
  /** Writes the student folder. */ readonly exportStudent: (student: Student, folder: string) => Promise<void>;
}

/** The batches a run trains on, in its order; with a teacher cache, whose windows must come again, every pass cuts the text at the same places. */
export function distillationBatches(trainTokens: Int32Array, { seed, train: { batch, context }, teacherCache }: DistillConfig): Batches {
  return createBatches(trainTokens, { batch, context, seed: deriveSeed(seed, STREAM.batches), isAligned: teacherCache.enabled });
}

/**
 * The task that a configuration describes, with its initial weights; one whose weights a checkpoint will bring (`isRestored`)
 * gets zeros. The caller disposes it.
 */
export async function createDistillation(parts: DistillationParts, isRestored: boolean): Promise<TrainingTask> {
  const { config, teacher } = parts;
  const studentConfig = studentConfigOf(config, teacher.config);
  const random = createRandom(deriveSeed(config.seed, STREAM.projections));
  const widths = { student: studentConfig.hiddenSize, teacher: teacher.config.hiddenSize };
  const projections = createProjections(widths, config.distill.featureForm, random);
  const start = isRestored
    ? new Map(Array.from(parameterShapes(studentConfig), ([name, shape]) => [name, tf.zeros([...shape])] as const))
    : await firstWeights(parts);
  return createDistillTask({
    config: studentConfig, source: teacher.source, context: config.train.context, checkBinary: config.checkBinary, recompute: config.train.recompute === 'blocks',
    initial: new Map([...start, ...projections.parameters]),
    terms: (parameters) => spadTerms({ settings: config.distill, student: studentConfig, teacher: teacher.config, projections }, parameters)
      .filter((element) => teacher.source.hasFeatures || !('needsFeatures' in element)),
    exportStudent: (parameters, target) => parts.exportStudent({ config: studentConfig, parameters }, target),
  });
}

async function firstWeights({ config, teacher, trainTokens, ctx }: DistillationParts): Promise<Map<string, tf.Tensor>> {
  if (config.student.from !== null) return earlierWeights(config.student.from);
  const { sequences, ...calibration } = config.calibration;
  const { context } = config.train;
  const { tokens: windows } = createBatches(trainTokens, { batch: sequences, context, seed: deriveSeed(config.seed, STREAM.calibration) }).next();
  const ids = new Int32Array(sequences * context);
  for (let row = 0; row < sequences; row++) ids.set(windows.subarray(row * (context + 1), row * (context + 1) + context), row * context);
  const tokens = tf.tensor2d(ids, [sequences, context], 'int32');
  const studentConfig = studentConfigOf(config, teacher.config);
  const random = createRandom(deriveSeed(config.seed, STREAM.start));
  const { init, embeddings } = config.student;
  const start = await teacher.lend((whole) => startStudent({ config: studentConfig, init, embeddings, teacher: whole, ids: tokens, calibration, random }, (done) =>
    ctx.reporter.progress({ phase: 'start', done, total: studentConfig.layers, unit: 'layers' })));
  tokens.dispose();
  return start;
}
