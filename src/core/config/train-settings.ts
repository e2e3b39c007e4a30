import { z } from 'zod';

import { fraction, nonNegative, positive, wholeNumber } from './fields.js';

const schedule = (learningRate: number) => ({
  steps: wholeNumber(1).default(1000).describe('Weight updates [steps].'),
  batch: wholeNumber(1).default(16).describe('Sequences in one forward pass [sequences].'),
  context: wholeNumber(2).default(64).describe('Length of a training sequence; at most the context of the model [tokens].'),
  accumulate: wholeNumber(1).default(1).describe('Batches whose gradients are averaged into one update; on the CPU each gets a thread as far as there are cores [batches].'),
  precision: z.enum(['float32', 'mixed']).default('float32')
    .describe('mixed: matrix products of the training passes round their inputs to float16 and sum in float32, on backend webgpu where the adapter has it; weights, moments, neurons and counts stay float32.'),
  recompute: z.enum(['auto', 'none', 'blocks']).default('auto')
    .describe('What the backward pass computes again instead of keeping it: nothing, or every block from the stream at its entrance (less memory, more time, the same weights); auto = blocks where the run would not fit into memory otherwise.'),
  memoryLimit: positive().nullable().default(null).describe('Memory that a run may plan with; null = what the backend has; WebGPU does not tell, so nothing is refused there [GB].'),
  learningRate: positive().max(1).default(learningRate)
    .describe('Peak learning rate of Adam. The first knob to turn: sweep 2e-3 to 2e-2 at each new width.'),
  warmupSteps: wholeNumber(0).default(60).describe('Updates over which the learning rate rises linearly from 0; fewer than `steps` [steps].'),
  finalLearningRateFraction: fraction().default(0.05).describe('Where the cosine ends, as a share of the peak learning rate [fraction].'),
});

const optimiser = {
  beta1: z.number().min(0).lt(1).default(0.9).describe('Adam: decay of the mean gradient, per update.'),
  beta2: z.number().min(0).lt(1).default(0.98).describe('Adam: decay of the mean squared gradient, per update.'),
  epsilon: positive().default(1e-8).describe('Adam: added to the root of the mean squared gradient.'),
  weightDecay: nonNegative().default(0).describe('Decoupled weight decay, as a multiple of the learning rate.'),
  clipNorm: positive().default(1).describe('Gradients are scaled down to this norm, computed in float64 over all parameters.'),
  maxSkippedInRow: wholeNumber(1).default(20).describe('Stop after this many updates in a row whose loss or gradient is not finite [steps].'),
};

const bookkeeping = {
  validateEvery: wholeNumber(1).default(100).describe('Validation loss is measured this often, and at the end [steps].'),
  validateWindows: wholeNumber(1).nullable().default(null)
    .describe('Validate on the first this many windows while training; null = all. The end always uses all [windows].'),
  checkpointEvery: wholeNumber(1).default(100).describe('A checkpoint is written this often, and at the end [steps].'),
  logEvery: wholeNumber(1).default(10).describe('A line of metrics.jsonl is written this often [steps].'),
  gradientNormsEvery: wholeNumber(0).default(0).describe('Gradient norm of every single loss, this often; 0 = never. Costs one backward pass per loss [steps].'),
  patience: wholeNumber(0).default(0).describe('Stop after this many validations in a row without improvement; 0 = never stop early [validations].'),
};

/** How the weights are trained; only the default learning rate differs between a dense teacher and a spiking student. */
export const trainSchema = (learningRate: number) => z.strictObject({ ...schedule(learningRate), ...optimiser, ...bookkeeping });

export type TrainSettings = z.infer<ReturnType<typeof trainSchema>>;
