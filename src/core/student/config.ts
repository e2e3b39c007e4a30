import { z } from 'zod';

import { FormatError } from '../errors.js';
import type { LifNeuron } from '../ops/lif.js';
import type { ModelShape } from '../types.js';

/** How a student folder's `model_type` reads. */
export const STUDENT_MODEL_TYPE = 'bispikclm';
/** Version of the student folder's format; a change of meaning raises it. */
export const STUDENT_FORMAT_VERSION = 1;

/** Everything that fixes what a student computes, apart from its weights. */
export interface StudentConfig extends ModelShape {
  readonly neuron: LifNeuron;
  /** `current`: a sub-layer's synaptic current is added to the stream; `spike`: it passes a neuron first (paper, Fig. 2). */
  readonly residualWrite: 'current' | 'spike';
  /** Learned gain and bias per channel (per head in attention); false: gain 1, bias 0 (paper). */
  readonly learnedNeurons: boolean;
  /** Entrance neurons in pairs that see +x and −x. */
  readonly onOff: boolean;
  /** Learned current per head and key distance. */
  readonly relativeBias: boolean;
  /** Factor on the token and position embedding at the start of the stream. */
  readonly embeddingGain: number;
  readonly layerNormEps: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
}

/** E: how many entrance neurons a sub-layer has. */
export function entranceWidth(config: StudentConfig): number {
  return config.onOff ? 2 * config.hiddenSize : config.hiddenSize;
}

const count = z.number().int().positive();
const tokenId = z.number().int().nonnegative().nullable();

const fileSchema = z.object({
  model_type: z.literal(STUDENT_MODEL_TYPE),
  format_version: z.literal(STUDENT_FORMAT_VERSION),
  vocab_size: count, hidden_size: count, num_hidden_layers: count, num_attention_heads: count, ffn_dim: count,
  max_position_embeddings: count,
  time_steps: count,
  decay: z.number().min(0).max(1),
  threshold: z.number().positive(),
  reset: z.enum(['soft', 'soft-leaked', 'hard']),
  surrogate: z.enum(['atan', 'sigmoid', 'triangle']),
  surrogate_alpha: z.number().positive(),
  detach_reset: z.boolean(),
  residual_write: z.enum(['current', 'spike']),
  learned_neurons: z.boolean(), on_off: z.boolean(), relative_bias: z.boolean(),
  embedding_gain: z.number(),
  layer_norm_eps: z.number().positive(),
  bos_token_id: tokenId, eos_token_id: tokenId, pad_token_id: tokenId,
});

/** The student's `config.json`, in Hugging Face's key style. */
export function studentConfigToJson(config: StudentConfig): Record<string, unknown> {
  const { neuron } = config;
  return {
    architectures: ['BiSpikForCausalLM'],
    model_type: STUDENT_MODEL_TYPE,
    format_version: STUDENT_FORMAT_VERSION,
    vocab_size: config.vocabSize, hidden_size: config.hiddenSize, num_hidden_layers: config.layers,
    num_attention_heads: config.heads, ffn_dim: config.feedForwardSize, max_position_embeddings: config.contextLength,
    time_steps: neuron.timeSteps, decay: neuron.decay, threshold: neuron.threshold, reset: neuron.reset,
    surrogate: neuron.surrogate, surrogate_alpha: neuron.surrogateAlpha, detach_reset: neuron.detachReset,
    residual_write: config.residualWrite, learned_neurons: config.learnedNeurons, on_off: config.onOff,
    relative_bias: config.relativeBias, embedding_gain: config.embeddingGain, layer_norm_eps: config.layerNormEps,
    bos_token_id: config.bosId, eos_token_id: config.eosId, pad_token_id: config.padId,
    tie_word_embeddings: true, torch_dtype: 'float32',
  };
}

/** Reads a student's `config.json`. @throws FormatError naming the file, the key, what was found and what was expected. */
export function parseStudentConfig(json: unknown, file: string): StudentConfig {
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the document'}: ${issue.message}`);
    throw new FormatError(`${file} is not a student's configuration: ${problems.join('; ')}`, {
      suggestions: ['Name a student folder written by `bispik distill`'],
    });
  }
  const c = parsed.data;
  if (c.hidden_size % c.num_attention_heads !== 0) {
    throw new FormatError(`${file}: hidden_size ${c.hidden_size} is not divisible by num_attention_heads ${c.num_attention_heads}`);
  }
  return {
    vocabSize: c.vocab_size, hiddenSize: c.hidden_size, layers: c.num_hidden_layers, heads: c.num_attention_heads,
    feedForwardSize: c.ffn_dim, contextLength: c.max_position_embeddings,
    neuron: {
      timeSteps: c.time_steps, decay: c.decay, threshold: c.threshold, reset: c.reset,
      surrogate: c.surrogate, surrogateAlpha: c.surrogate_alpha, detachReset: c.detach_reset,
    },
    residualWrite: c.residual_write, learnedNeurons: c.learned_neurons, onOff: c.on_off, relativeBias: c.relative_bias,
    embeddingGain: c.embedding_gain, layerNormEps: c.layer_norm_eps,
    bosId: c.bos_token_id, eosId: c.eos_token_id, padId: c.pad_token_id,
  };
}
