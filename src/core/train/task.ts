import type * as tf from '@tensorflow/tfjs-core';

import type { TokenBatch } from '../corpus/batches.js';
import type { SpikeSite } from '../types.js';

/** Neurons whose firing rate is reported as one number. */
export interface RateSite { readonly layer: number; readonly site: SpikeSite }

/** Mean firing rates over the batch. */
export interface SiteRates {
  readonly sites: readonly RateSite[];
  /** Of each site, in their order; 0–1. */ readonly values: tf.Tensor1D;
}

/** What one forward pass says about a batch; the tensors belong to the tidy they are made in. */
export interface LossTerms {
  /** Nats per token where the task trains on tokens; what is minimised. */ readonly total: tf.Scalar;
  /** Already weighted; they sum to `total`. Values only: `termLoss` gives one that has a gradient. */ readonly terms: Readonly<Record<string, tf.Scalar>>;
  /** Null for a dense model. */ readonly rates: SiteRates | null;
}

/** Something the trainer can train; it knows neither teacher nor student. */
export interface TrainingTask {
  /** Everything that is trained and checkpointed, in a fixed order. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** By parameter: what no value of it is less than once it was updated, e.g. 0.02 for gains; one that is absent has no bound. */
  readonly lowerBounds: ReadonlyMap<string, number>;
  /** A pure function of parameters and batch; called inside a tidy that records gradients. */
  losses(batch: TokenBatch): LossTerms;
  /** One weighted term alone, as `losses` reports it, but differentiable; called like `losses`. @param name one of the keys of its terms. */
  termLoss(batch: TokenBatch, name: string): tf.Scalar;
  /** Mean loss over all targets of windows of L+1 tokens, nats per token. */
  validNll(windows: readonly Int32Array[]): Promise<number>;
  /** Writes the model folder: config.json, model.safetensors, tokenizer, provenance.json. */
  exportModel(folder: string): Promise<void>;
  /** Disposes the parameters. */
  dispose(): void;
}
