import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp, output, view } from './kernels.js';

/** Tables of an embedding. */
export interface EmbeddingTables {
  /** (V, D) */ readonly tokens: tf.Tensor2D;
  /** (P, D) */ readonly positions: tf.Tensor2D;
}

/**
 * Token + position embedding of ids (B, L) int32 whose first token stands at `offset`: (B, L, D), differentiable in both tables. Of the operations that it
 * is made of only the ids are kept. Its gradients are the sum of the rows of each token, and the sum over the batch for each position.
 * An id outside the table is an error on `wasm` and `cpu`, a row of zeros on `webgpu`; no gradient of it goes anywhere.
 */
export function embedTokens({ tokens, positions }: EmbeddingTables, ids: tf.Tensor2D, offset: number): tf.Tensor3D {
  const [batch, length] = ids.shape;
  const [vocabulary, width] = tokens.shape;
  const [before, after] = [offset, positions.shape[0] - offset - length];
  const isWhole = before === 0 && after === 0;
  return applyCustomOp({
    inputs: [tokens, positions],
    forward: (save) => {
      save([ids]);
      return tf.add(tf.gather(tokens, ids), isWhole ? positions : tf.slice(positions, [offset, 0], [length, width]));
    },
    backward: (dy, saved) => {
      const rows = view<tf.Rank.R2>(dy, [batch * length, width]);
      const ofPositions = batch === 1 ? rows : tf.sum<tf.Tensor2D>(dy, 0);
      return [
        tf.unsortedSegmentSum(rows, view<tf.Rank.R1>(output(saved, 0), [batch * length]), vocabulary),
        isWhole ? ofPositions : tf.pad(ofPositions, [[before, after], [0, 0]]),
      ];
    },
  }) as tf.Tensor3D;
}
