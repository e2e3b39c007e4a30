import { headLosses } from '../ops/head-losses.js';
import { HEAD_CHUNK_BYTES } from '../ops/readout.js';
import type { JointTerms } from './total-loss.js';

/**
 * STA, τ²·KL(teacher ‖ student) at temperature τ, summed over the vocabulary, mean over positions; and HTA, cross-entropy of the student's
 * logits against the next token, mean over positions that have one. Both read the same logits, which exist a chunk at a time.
 */
export function logitLosses(weights: { readonly softTarget: number; readonly hardTarget: number }, temperature: number): JointTerms {
  return {
    parts: [{ name: 'sta', weight: weights.softTarget }, { name: 'hta', weight: weights.hardTarget }],
    compute: ({ student, teacher, labels, labelled }, { sta = 0, hta = 0 }) => {
      const options = { softWeight: sta, hardWeight: hta, temperature, chunkBytes: HEAD_CHUNK_BYTES };
      const { total, soft, hard } = headLosses(student.readout, { labels, labelled, teacher: teacher.readout }, options);
      return { total, terms: { sta: soft, hta: hard } };
    },
  };
}
