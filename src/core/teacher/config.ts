import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { editDistance } from '../config/nearest.js';
import { FormatError } from '../errors.js';
import type { ModelShape } from '../types.js';

/** Functions between the two matrices of the feed-forward part; `gelu` is the exact one (erf), `gelu_new` the tanh form. */
export const ACTIVATIONS = ['relu', 'gelu', 'gelu_new'] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** Families that can be teachers. */
export const MODEL_TYPES = ['opt'] as const;

/** An OPT model as its config.json describes it. */
export interface OptConfig extends ModelShape {
  readonly family: 'opt';
  /** Width of the token embedding; where it differs from D, `project_in` and `project_out` lie between. */
  readonly embeddingSize: number;
  /** `pre`: norm before each part (125M, 1.3B and larger); `post`: after the sum (350M). */
  readonly normPlacement: 'pre' | 'post';
  /** A norm after the last block; never with `post`. */ readonly hasFinalNorm: boolean;
  readonly activation: Activation;
  /** Biases of the attention and feed-forward matrices. */ readonly hasBias: boolean;
  /** Whether norms have a weight and a bias. */ readonly hasNormAffine: boolean;
  /** The output head is the token embedding. */ readonly tiedHead: boolean;
  readonly layerNormEps: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
}

/** OPT numbers positions from 2; its position table has this many rows more than the context is long. */
export const OPT_POSITION_OFFSET = 2;
/** PyTorch's default, which OPT uses and its config.json does not mention. */
const LAYER_NORM_EPS = 1e-5;
/** config.json of a model has a few kB; a larger one is something else. */
const MAX_CONFIG_BYTES = 1_000_000;

const REQUIRED = ['vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'ffn_dim', 'max_position_embeddings'] as const;

/**
 * Reads and checks `config.json` of a model folder.
 * @throws FormatError when it is absent, no JSON or describes no model we can import.
 */
export async function readOptConfig(folder: string): Promise<OptConfig> {
  return parseOptConfig(await readJsonFile(join(folder, 'config.json')), join(folder, 'config.json'));
}

/** Reads a small JSON file of a model folder. @throws FormatError when it is absent, too large or no JSON (with the line). */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw new FormatError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
    throw new FormatError(`${basename(path)} not found in ${dirname(path)}`, { cause, suggestions: ['name the folder that holds config.json and the weights'] });
  }
  if (text.length > MAX_CONFIG_BYTES) throw new FormatError(`${path} has ${text.length} characters, at most ${MAX_CONFIG_BYTES} expected`);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new FormatError(`${path} is not valid JSON at line ${errorLine(text, cause as Error)}: ${(cause as Error).message.split('\n')[0]}`, { cause });
  }
}

/**
 * Checks the parsed config.json of an OPT model; keys that Hugging Face gives a default may be missing.
 * @param file how errors name the source. @throws FormatError naming every missing key, or the first key that does not fit.
 */
export function parseOptConfig(json: unknown, file: string): OptConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new FormatError(`${file} must be an object, found ${json === null ? 'null' : Array.isArray(json) ? 'array' : typeof json}`);
  }
  const fields = new ConfigFields(json as Readonly<Record<string, unknown>>, file);
  fields.requireModelType();
  fields.requireKeys(REQUIRED);
  const shape = parseShape(fields);
  const normFirst = fields.flag('do_layer_norm_before', true);
  return {
    family: 'opt', ...shape,
    embeddingSize: fields.size('word_embed_proj_dim', shape.hiddenSize),
    normPlacement: normFirst ? 'pre' : 'post',
    hasFinalNorm: normFirst && !fields.flag('_remove_final_layer_norm', false),
    activation: fields.activation(),
    hasBias: fields.flag('enable_bias', true),
    hasNormAffine: fields.flag('layer_norm_elementwise_affine', true),
    tiedHead: fields.flag('tie_word_embeddings', true),
    layerNormEps: LAYER_NORM_EPS,
    bosId: fields.tokenId('bos_token_id', { fallback: 2, vocabSize: shape.vocabSize }),
    eosId: fields.tokenId('eos_token_id', { fallback: 2, vocabSize: shape.vocabSize }),
    padId: fields.tokenId('pad_token_id', { fallback: 1, vocabSize: shape.vocabSize }),
  };
}

/** The inverse of {@link parseOptConfig}: config.json as Hugging Face writes it, so that other programs can read the folder. */
export function toHuggingFaceConfig(config: OptConfig): Readonly<Record<string, unknown>> {
  return {
    model_type: 'opt', architectures: ['OPTForCausalLM'], torch_dtype: 'float32',
    vocab_size: config.vocabSize, hidden_size: config.hiddenSize, word_embed_proj_dim: config.embeddingSize,
    num_hidden_layers: config.layers, num_attention_heads: config.heads, ffn_dim: config.feedForwardSize,
    max_position_embeddings: config.contextLength, activation_function: config.activation,
    do_layer_norm_before: config.normPlacement === 'pre',
    _remove_final_layer_norm: config.normPlacement === 'pre' && !config.hasFinalNorm,
    enable_bias: config.hasBias, layer_norm_elementwise_affine: config.hasNormAffine, tie_word_embeddings: config.tiedHead,
    bos_token_id: config.bosId, eos_token_id: config.eosId, pad_token_id: config.padId,
    // Dropout is a matter of training; ours and the reference both evaluate without it.
    dropout: 0, attention_dropout: 0, activation_dropout: 0, layerdrop: 0, init_std: 0.02, use_cache: true,
  };
}

function parseShape(fields: ConfigFields): ModelShape {
  const shape = {
    vocabSize: fields.size('vocab_size'), hiddenSize: fields.size('hidden_size'), layers: fields.size('num_hidden_layers'),
    heads: fields.size('num_attention_heads'), feedForwardSize: fields.size('ffn_dim'), contextLength: fields.size('max_position_embeddings'),
  };
  if (shape.hiddenSize % shape.heads !== 0) {
    throw new FormatError(`${fields.file}: hidden_size ${shape.hiddenSize} is not divisible by num_attention_heads ${shape.heads}`);
  }
  return shape;
}

class ConfigFields {
  constructor(private readonly json: Readonly<Record<string, unknown>>, readonly file: string) {}

  requireModelType(): void {
    const found = this.get('model_type');
    if (found === undefined) throw new FormatError(`${this.file}: model_type is missing; known: ${MODEL_TYPES.join(', ')}`);
    if (!MODEL_TYPES.some((known) => known === found)) this.refuseChoice('model_type', MODEL_TYPES);
  }

  requireKeys(keys: readonly string[]): void {
    const missing = keys.filter((key) => this.get(key) === undefined);
    if (missing.length > 0) throw new FormatError(`${this.file}: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`);
  }

  /** A positive integer. */
  size(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    if (typeof value !== 'number') throw new FormatError(`${this.file}: ${key} must be an integer, found ${describe(value)}`);
    throw new FormatError(`${this.file}: ${key} must be a positive integer, found ${value}`);
  }

  flag(key: string, fallback: boolean): boolean {
    const given = this.get(key);
    const value = given === undefined ? fallback : given;
    if (typeof value !== 'boolean') throw new FormatError(`${this.file}: ${key} must be true or false, found ${describe(value)}`);
    return value;
  }

  /** A token id of the vocabulary; null says that the model has none. */
  tokenId(key: string, range: { fallback: number; vocabSize: number }): number | null {
    const given = this.get(key);
    if (given === null) return null;
    // A default that a small vocabulary has no room for is no id of this model.
    if (given === undefined) return range.fallback < range.vocabSize ? range.fallback : null;
    if (typeof given === 'number' && Number.isInteger(given) && given >= 0 && given < range.vocabSize) return given;
    throw new FormatError(`${this.file}: ${key} must be null or an id below vocab_size ${range.vocabSize}, found ${describe(given)}`);
  }

  activation(): Activation {
    const value = this.get('activation_function') ?? 'relu';
    const known = ACTIVATIONS.find((name) => name === value);
    return known ?? this.refuseChoice('activation_function', ACTIVATIONS);
  }

  private get(key: string): unknown {
    return Object.hasOwn(this.json, key) ? this.json[key] : undefined;
  }

  private refuseChoice(key: string, known: readonly string[]): never {
    const value = this.get(key);
    const nearest = typeof value === 'string' ? nearestKnown(value, known) : null;
    const shown = typeof value === 'string' ? JSON.stringify(value) : describe(value);
    throw new FormatError(`${this.file}: ${key} ${shown} is not supported; ${nearest === null ? '' : `nearest: ${nearest}; `}known: ${known.join(', ')}`);
  }
}

/** The known name with the fewest edits, or null when more than half of it would change: a far guess is no help. */
function nearestKnown(name: string, known: readonly string[]): string | null {
  const ranked = known.map((candidate) => ({ candidate, edits: editDistance(name.slice(0, 64), candidate) })).sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= best.candidate.length / 2 ? best.candidate : null;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return `string ${JSON.stringify(value)}`;
  return typeof value === 'object' ? (Array.isArray(value) ? 'an array' : 'an object') : `${typeof value} ${String(value)}`;
}

/** V8 gives the position in some messages only; elsewhere the text was cut and the error is at its end. */
function errorLine(text: string, error: Error): number {
  const position = /position (\d+)/.exec(error.message)?.[1];
  return text.slice(0, position === undefined ? text.length : Number(position)).split('\n').length;
}
