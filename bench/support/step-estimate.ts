import { headLossBytes } from '../../src/core/ops/head-loss-bytes.js';
import { HEAD_CHUNK_BYTES } from '../../src/core/ops/readout.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import { entranceWidth } from '../../src/core/student/config.js';

/** Sizes of one distillation step. */
export interface StepSizes {
  readonly student: StudentConfig;
  readonly teacher: { readonly layers: number; readonly hiddenSize: number; readonly heads: number };
  /** B */ readonly batch: number;
  /** L */ readonly context: number;
  /** Numbers in all trained tensors. */ readonly trained: number;
  /** Numbers in the teacher's tensors. */ readonly frozen: number;
}

/**
 * Peak memory of one distillation step, predicted from its sizes, in bytes. TensorFlow.js frees the tensors of a step when it
 * ends, so all of them count: forward values, and the gradient of every value on the way. Per student layer, with M = T·B·L rows:
 * entrance spikes and their gradients 4·M·E; hidden currents, spikes and gradients 4·M·F; query, key, value, output and stream 26·M·D;
 * attention membranes T·B·H·L² and seven maps of B·H·L²; per teacher layer, whose own values are freed early, its output and map; the
 * losses on the vocabulary as `headLossBytes` has them; weights, gradients and both moments of Adam.
 */
export function estimateStepBytes(sizes: StepSizes): number {
  const { student, teacher, batch, context } = sizes;
  const { timeSteps } = student.neuron;
  const tokens = batch * context;
  const rows = timeSteps * tokens;
  const map = tokens * context;
  const studentLayer = rows * (4 * entranceWidth(student) + 26 * student.hiddenSize + 4 * student.feedForwardSize)
    + 7 * tokens * student.hiddenSize + (timeSteps + 7) * student.heads * map;
  const teacherLayer = tokens * teacher.hiddenSize + teacher.heads * map;
  const ends = 10 * tokens * student.hiddenSize;
  const numbers = student.layers * studentLayer + teacher.layers * teacherLayer + ends + 4 * sizes.trained + sizes.frozen;
  const headLosses = headLossBytes({
    rows: tokens, vocabulary: student.vocabSize, width: student.hiddenSize, teacherWidth: teacher.hiddenSize, chunkBytes: HEAD_CHUNK_BYTES, hasKernel: true,
  });
  return numbers * Float32Array.BYTES_PER_ELEMENT + headLosses;
}
