import type { ModelShape } from '../types.js';

/** What a dense decoder's cost depends on. */
export interface DenseShape extends ModelShape {
  /** Width of the embedding table where it differs from D (OPT-350M); the projections in and out count with the readout. */
  readonly embeddingSize?: number;
}

/** How much a model processed, whatever the model. */
export interface ProcessedWork {
  readonly tokens: number;
  /** Causal query·key pairs, the diagonal included: n(n+1)/2 for a sequence of n tokens, per layer. */
  readonly pairs: number;
}

/** Multiply-accumulates of a dense decoder. */
export interface DenseCounts {
  /** Linear layers and attention products of all blocks. */ readonly blockMacs: number;
  /** Of these, the attention products, whose operands are activations. */ readonly attentionMacs: number;
  /** Final norm's scale and output head (and embedding projections where there are any). */ readonly readoutMacs: number;
}

/** Work of processing sequences (or windows) of the given lengths from an empty state. */
export function workOfLengths(lengths: Iterable<number>): ProcessedWork {
  let tokens = 0;
  let pairs = 0;
  for (const length of lengths) {
    tokens += length;
    pairs += (length * (length + 1)) / 2;
  }
  return { tokens, pairs };
}

/**
 * Closed-form multiply-accumulates of a dense decoder over `work`. Per layer and token 4·D² (query, key, value, output) and
 * 2·D·F (both feed-forward matrices); per layer and causal pair 2·D (scores and weighted values); per token D for the final
 * norm and D·V for the head. Norms inside blocks, softmax, activations, residual and bias additions cost nothing by convention.
 */
export function denseCounts(shape: DenseShape, work: ProcessedWork): DenseCounts {
  const { hiddenSize: D, feedForwardSize: F, vocabSize: V, layers } = shape;
  const headWidth = shape.embeddingSize ?? D;
  const projections = headWidth === D ? 0 : 2 * D * headWidth;
  const attentionMacs = layers * work.pairs * 2 * D;
  return {
    blockMacs: layers * work.tokens * (4 * D * D + 2 * D * F) + attentionMacs,
    attentionMacs,
    readoutMacs: work.tokens * (D + headWidth * V + projections),
  };
}
