import * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import { batchTensors, meanNll } from '../ops/batch-tensors.js';
import { HEAD_CHUNK_BYTES, readoutNll } from '../ops/readout.js';
import { runOnce, runRecomputed, runTidied } from '../ops/recompute.js';
import type { StudentConfig } from '../student/config.js';
import type { Student } from '../student/forward.js';
import { studentPass } from '../student/forward.js';
import { assertBinary, assertBinarySync, binaryWatch, ignoreSpikes, joinRates, rateCollector } from '../student/observe.js';
import { parameterShapes } from '../student/parameters.js';
import type { LossTerms, TrainingTask } from '../train/task.js';
import { alignmentTargets } from './attention-loss.js';
import type { TeacherSource } from './teacher-source.js';
import type { LossElement } from './total-loss.js';
import { comparedAttention, onlyTerm, totalLoss } from './total-loss.js';

/** Gains stay at least this large, so that folding them into thresholds stays finite. */
const SMALLEST_GAIN = 0.02;

/** What a distillation task is made of. */
export interface DistillTaskOptions {
  readonly config: StudentConfig;
  /** Stays the caller's. */ readonly source: TeacherSource;
  /** L */ readonly context: number;
  /** Student parameters and projections, owned by the task from now on. */ readonly initial: ReadonlyMap<string, tf.Tensor>;
  /** Builds the loss terms over the current parameters. */ readonly terms: (parameters: ReadonlyMap<string, tf.Tensor>) => readonly LossElement[];
  /** Checks in every step that only {0,1} enters matrix products (WebGPU cannot read back inside a step: there, and everywhere,
   *  validation checks it always). */
  readonly checkBinary: boolean;
  /** Keep only the streams between blocks for the backward pass, which runs every block again: less memory, the same gradients. */
  readonly recompute: boolean;
  /** Writes the student folder. */ readonly exportStudent: (parameters: ReadonlyMap<string, tf.Tensor>, folder: string) => Promise<void>;
}

/** SpAD as a task for the trainer. The caller disposes it. */
export function createDistillTask(options: DistillTaskOptions): TrainingTask {
  const { config } = options;
  const parameters = new Map<string, tf.Variable>();
  for (const [name, tensor] of options.initial) {
    parameters.set(name, tf.variable(tensor));
    tensor.dispose();
  }
  const terms = options.terms(parameters);
  const student = { config, parameters };
  return {
    parameters,
    lowerBounds: new Map(Array.from(parameters.keys()).filter((name) => name.endsWith('.gain')).map((name) => [name, SMALLEST_GAIN])),
    losses: (batch) => distillLosses(batch, { student, terms, options }),
    termLoss: (batch, name) => distillLosses(batch, { student, terms: onlyTerm(terms, name), options }).total,
    validNll: (windows) => validate(windows, student),
    exportModel: (folder) => {
      const names = parameterShapes(config).keys();
      return options.exportStudent(new Map(Array.from(names, (name) => [name, parameters.get(name) as tf.Tensor])), folder);
    },
    dispose: () => tf.dispose([...parameters.values()]),
  };
}

interface TaskContext {
  readonly student: Student;
  readonly terms: readonly LossElement[];
  readonly options: DistillTaskOptions;
}

function distillLosses(batch: TokenBatch, context: TaskContext): LossTerms {
  const { student, options } = context;
  const { ids, labels, labelled } = batchTensors(batch.tokens, options.context);
  const teacher = options.source.targets(batch, ids);
  const { timeSteps } = student.config.neuron;
  const collector = rateCollector();
  const watch = options.checkBinary && tf.getBackend() !== 'webgpu' ? binaryWatch(timeSteps) : null;
  const aligned = comparedAttention(context.terms);
  const run = options.recompute ? runRecomputed : runTidied;
  const trace = studentPass(student, ids, {
    run, observe: watch?.observe ?? ignoreSpikes, observeRates: collector.observe,
    alignTo: aligned === undefined ? null : alignmentTargets(teacher.attention, aligned),
  });
  const rates = joinRates(collector.rates);
  const { total, terms } = totalLoss(context.terms, { student: trace, teacher, labels, labelled, rates, run });
  if (watch !== null) assertBinarySync(watch.violations);
  return { total, terms, rates: { sites: rates.sites, values: rates.values } };
}

/** Mean loss over windows; every forward pass is checked to be binary. */
async function validate(windows: readonly Int32Array[], student: TaskContext['student']): Promise<number> {
  const watch = binaryWatch(student.config.neuron.timeSteps);
  const nll = await meanNll(windows, ({ ids, labels }) => {
    const { readout } = studentPass(student, ids, { run: runOnce, observe: watch.observe, observeRates: () => undefined, alignTo: null });
    return readoutNll(readout, labels, HEAD_CHUNK_BYTES);
  });
  await assertBinary(watch.violations);
  return nll;
}
