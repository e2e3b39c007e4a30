import type { StudentConfig } from '../../src/core/student/config.js';
import { entranceWidth } from '../../src/core/student/config.js';

/** Sizes of one distillation step. */
export interface StepSizes {
  readonly student: StudentConfig;
  readonly teacher: { readonly layers: number; readonly hiddenSize: number; readonly heads: number; readonly feedForwardSize: number };
  /** B */ readonly batch: number;
  /** L */ readonly context: number;
  /** Numbers in all trained tensors. */ readonly trained: number;
  /** Numbers in the teacher's tensors. */ readonly frozen: number;
}

/**
 * Peak memory of one distillation step, predicted from its sizes, in bytes. TensorFlow.js frees the tensors of a step when it
 * ends, so all of them count: forward values, membranes, and the gradient of every value on the way. Per student layer, with
 * M = T·B·L rows: entrance spikes, membranes and gradients 8·M·E; hidden ones 6·M·F; query, key, value, output and
 * stream 30·M·D; attention membranes T·B·H·L² and five maps of B·H·L²; per teacher layer 19 values of width D, 3 of F and four maps;
 * seven tensors of logits; weights, gradients and both moments of Adam.
 */
export function estimateStepBytes(sizes: StepSizes): number {
  const { student, teacher, batch, context } = sizes;
  const { timeSteps } = student.neuron;
  const tokens = batch * context;
  const rows = timeSteps * tokens;
  const map = tokens * context;
  const studentLayer = rows * (8 * entranceWidth(student) + 30 * student.hiddenSize + 6 * student.feedForwardSize)
    + 7 * tokens * student.hiddenSize + (timeSteps + 5) * student.heads * map;
  const teacherLayer = tokens * (19 * teacher.hiddenSize + 3 * teacher.feedForwardSize) + 4 * teacher.heads * map;
  const ends = tokens * (7 * student.vocabSize + 10 * student.hiddenSize);
  const numbers = student.layers * studentLayer + teacher.layers * teacherLayer + ends + 4 * sizes.trained + sizes.frozen;
  return numbers * Float32Array.BYTES_PER_ELEMENT;
}
