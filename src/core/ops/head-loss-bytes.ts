import { chunkRows } from './readout.js';

/** Sizes of a batch whose head losses are computed. */
export interface HeadLossSizes {
  /** M: tokens of the batch. */ readonly rows: number;
  /** V */ readonly vocabulary: number;
  /** D of the student. */ readonly width: number;
  /** D of the teacher's head; 0 without one. */ readonly teacherWidth: number;
  /** N of a teacher of whose distributions a sample is known; null for a teacher whose logits are computed, or none. */ readonly sampled: number | null;
  readonly chunkBytes: number;
  /** True where the backend has a kernel for both losses, which needs nothing beside the logits of student and teacher. */ readonly hasKernel: boolean;
}

/** Matrices (count, V) alive at once where the losses are put together from standard operations, those of student and teacher included. */
const COMPOSED_MATRICES = 12;
/** The same of a sample with the kernel: logits, which become the gradient of one loss, those divided by the temperature, which become that of the other, the sample spread out, and the sum. */
export const SAMPLED_MATRICES = 4;

/**
 * Most bytes that `headLosses` has in use at once, its backward pass included, its inputs not. It is the largest of four moments: the
 * losses of a chunk (logits of student and teacher, and what came of earlier chunks); the products of their gradient; the joining of
 * the chunks' gradients; and the scaling of both gradients by that of the total.
 */
export function headLossBytes(sizes: HeadLossSizes): number {
  const { rows, vocabulary, width, teacherWidth, chunkBytes } = sizes;
  const chunks = chunkRows({ rows, vocabulary, chunkBytes });
  const isSplit = chunks.length > 1;
  const count = chunks[0]?.count ?? 0;
  const [logits, states, head] = [count * vocabulary, rows * width, vocabulary * width];
  const slices = isSplit ? count * (width + teacherWidth + 1) : 0;
  const matrices = sizes.sampled !== null ? SAMPLED_MATRICES : teacherWidth === 0 ? 1 : 2;
  const moments = [
    states + (isSplit ? head : 0) + slices + 8 * count * (sizes.sampled ?? 0) + (sizes.hasKernel ? matrices : COMPOSED_MATRICES) * logits,
    states + (isSplit ? 3 : 1) * head + slices + logits,
    head + (isSplit ? 2 : 1) * states,
    2 * (head + states),
  ];
  return Float32Array.BYTES_PER_ELEMENT * (Math.max(...moments) + 4 * rows);
}
