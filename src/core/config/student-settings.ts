import { z } from 'zod';

import { fraction, nonNegative, path, positive, wholeNumber } from './fields.js';

export const PRESET_NAMES = ['practical', 'paper'] as const;
export type PresetName = (typeof PRESET_NAMES)[number];

const neuron = {
  timeSteps: wholeNumber(1).max(64).default(2).describe('T: how often every neuron may fire per token [time steps].'),
  decay: fraction().default(0.9).describe('Share of the membrane potential that survives one time step [fraction].'),
  threshold: positive().default(1).describe('Membrane potential at which a neuron fires.'),
  reset: z.enum(['soft', 'soft-leaked', 'hard']).default('soft')
    .describe('After a spike: soft = minus the threshold, not leaked (paper, Eq. 1); soft-leaked = minus the threshold, then leaked; hard = to 0.'),
  surrogate: z.enum(['atan', 'sigmoid', 'triangle']).default('atan').describe('Stand-in for the derivative of a spike in the backward pass.'),
  surrogateAlpha: positive().default(2).describe('Steepness of the surrogate; customary are 2 for atan, 4 for sigmoid, 1 for triangle.'),
  detachReset: z.boolean().default(true).describe('true = no gradient through the reset; false = full backpropagation through time (paper).'),
};

const architecture = {
  residualWrite: z.enum(['current', 'spike']).default('current')
    .describe('What a sub-layer adds to the residual stream: its synaptic current, or its spikes (paper, Fig. 2).'),
  learnedNeurons: z.boolean().default(true).describe('Learned gain and bias per channel (per head in attention); fold to thresholds. false = paper.'),
  onOff: z.boolean().default(true).describe('Entrance neurons come in pairs that see +x and -x. Not in the paper.'),
  relativeBias: z.boolean().default(true).describe('Learned current per head and key distance on the attention neurons. Not in the paper.'),
};

const start = {
  from: path().nullable().default(null)
    .describe('Student folder whose weights this run goes on from; same teacher tokenizer, widths and architecture, but T and the neuron may differ. null = a new student, by the keys below.'),
  init: z.enum(['ridge', 'copy', 'random']).default('ridge')
    .describe('Start of the linear layers: ridge = layer-by-layer regression on the teacher (equal widths only; not in the paper), copy = teacher weights, random.'),
  embeddings: z.enum(['teacher', 'random']).default('teacher').describe('Start of the embeddings and the final norm; teacher needs equal widths.'),
  embeddingGain: positive().default(1).describe('Factor on token plus position embedding at the start of the stream.'),
};

const shape = {
  layers: wholeNumber(1).nullable().default(null).describe('Blocks; null = as the teacher.'),
  heads: wholeNumber(1).nullable().default(null).describe('Attention heads, a divisor of hiddenSize; null = as the teacher.'),
  hiddenSize: wholeNumber(1).nullable().default(null).describe('D: width of the residual stream [channels]; null = as the teacher.'),
  feedForwardSize: wholeNumber(1).nullable().default(null).describe('F: hidden neurons of a feed-forward sub-layer; null = as the teacher.'),
};

/** What the student computes, how it starts, and its size. */
export const studentSchema = z.strictObject({
  preset: z.enum(PRESET_NAMES).default('practical')
    .describe('Values of the keys left out: practical = our recipe; paper = the published architecture and optimiser settings. Keys in the file or in --set win.'),
  ...neuron, ...architecture, ...start, ...shape,
});

/** The data-dependent start: rates that neurons are calibrated to before the first update. */
export const calibrationSchema = z.strictObject({
  sequences: wholeNumber(1).default(64).describe('Training sequences the calibration and the ridge regression see [sequences].'),
  ridge: positive().default(0.02).describe('Ridge strength as a multiple of the mean diagonal of the Gram matrix.'),
  entryRate: z.number().gt(0).lt(1).default(0.12).describe('Firing rate of entrance neurons; 0.20 is customary without onOff [spikes / neuron / time step].'),
  unitRate: z.number().gt(0).lt(1).default(0.15).describe('Firing rate of query, key, value, attention-out and hidden neurons [spikes / neuron / time step].'),
  attentionDensity: z.number().gt(0).lt(1).default(0.1).describe('Firing rate of attention neurons over causal pairs [spikes / pair / time step].'),
});

const weightsSchema = z.strictObject({
  embedding: nonNegative().default(0.2).describe('EA: student against teacher embedding.'),
  attention: nonNegative().default(0.1).describe('SAA: mean attention spikes against teacher probabilities.'),
  feature: nonNegative().default(0.1).describe('SFA: mean residual stream against teacher hidden states.'),
  softTarget: nonNegative().default(0.3).describe('STA: softened teacher distribution.'),
  hardTarget: nonNegative().default(0.3).describe('HTA: next-token cross-entropy.'),
});

const rateHingeSchema = z.strictObject({
  weight: nonNegative().default(2).describe('Weight of the hinge on firing rates; 0 = off (paper).'),
  target: fraction().default(0.1).describe('Firing rates above this are penalised, weighted by the work they cause [spikes / neuron / time step].'),
});

/** Spike-aware alignment distillation: which losses, how much of each. */
export const distillSchema = z.strictObject({
  weights: weightsSchema.prefault({}).describe('Weights of the five losses; 0 = off.'),
  temperature: positive().default(2).describe('Softens both distributions in the soft-target loss.'),
  gamma: fraction().default(0.5).describe('Share of the rate-coded term in the attention and feature losses; the rest is plain mean squared error [fraction].'),
  attentionForm: z.enum(['raw', 'row-normalised']).default('raw').describe('Attention loss on spike rates as they are, or on rows scaled to sum 1.'),
  featureForm: z.enum(['normalised', 'projected']).default('normalised')
    .describe('Feature loss on layer-normalised states, or through a learned projection (always projected where widths differ).'),
  rateHinge: rateHingeSchema.prefault({}).describe('Penalty on firing rates: what makes the student cheap.'),
  layerMap: z.array(wholeNumber(0)).min(1).nullable().default(null)
    .describe('Teacher layer that each student layer follows, from 0; null = spread evenly.'),
  headMap: z.array(wholeNumber(0)).min(1).nullable().default(null)
    .describe('Teacher head that each student head follows, from 0; null = identity, or spread evenly where the counts differ.'),
});

export type StudentSettings = z.infer<typeof studentSchema>;
export type CalibrationSettings = z.infer<typeof calibrationSchema>;
export type DistillSettings = z.infer<typeof distillSchema>;
