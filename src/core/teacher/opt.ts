import { FormatError, ShapeError } from '../errors.js';
import type { TensorEntry, TensorMap } from '../hub/tensor-map.js';
import { formatShape } from '../hub/tensor-map.js';
import type { OptConfig } from './config.js';
import { OPT_POSITION_OFFSET } from './config.js';

/** Names inside our own folders start with this, as Hugging Face's OPTForCausalLM writes them. */
export const OPT_PREFIX = 'model.decoder.';
/** The output head; stored only where it is not the token embedding. */
export const OPT_HEAD = 'lm_head.weight';
export const OPT_TOKEN_EMBEDDING = `${OPT_PREFIX}embed_tokens.weight`;

/** A tensor the model must have. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

interface NameRule {
  /** Canonical name; `{layer}` stands for 0 … layers − 1. */ readonly name: string;
  readonly shape: (config: OptConfig) => readonly number[];
  /** Why a model has no such tensor, or null when it has. */ readonly absentBecause?: (config: OptConfig) => string | null;
}

type Condition = (config: OptConfig) => string | null;
const ifProjected: Condition = (c) => (c.embeddingSize === c.hiddenSize ? 'word_embed_proj_dim equals hidden_size' : null);
const ifFinalNorm: Condition = (c) => (c.hasFinalNorm ? ifAffine(c) : 'the configuration has no norm after the last layer');
const ifAffine: Condition = (c) => (c.hasNormAffine ? null : 'layer_norm_elementwise_affine is false');
const ifBias: Condition = (c) => (c.hasBias ? null : 'enable_bias is false');
const ifUntied: Condition = (c) => (c.tiedHead ? 'tie_word_embeddings is true' : null);

/** Weight (out, in) and bias (out) of one matrix. */
function linear(name: string, shape: (c: OptConfig) => readonly [number, number]): readonly NameRule[] {
  return [{ name: `${name}.weight`, shape }, { name: `${name}.bias`, shape: (c) => [shape(c)[0]], absentBecause: ifBias }];
}

function norm(name: string, absentBecause: Condition): readonly NameRule[] {
  return ['weight', 'bias'].map((part) => ({ name: `${name}.${part}`, shape: (c) => [c.hiddenSize], absentBecause }));
}

const square = (c: OptConfig): readonly [number, number] => [c.hiddenSize, c.hiddenSize];
const LAYER = `${OPT_PREFIX}layers.{layer}.`;

/** Every tensor of OPT, in the order files are written. */
const OUTER_RULES: readonly NameRule[] = [
  { name: OPT_TOKEN_EMBEDDING, shape: (c) => [c.vocabSize, c.embeddingSize] },
  { name: `${OPT_PREFIX}embed_positions.weight`, shape: (c) => [c.contextLength + OPT_POSITION_OFFSET, c.hiddenSize] },
  { name: `${OPT_PREFIX}project_in.weight`, shape: (c) => [c.hiddenSize, c.embeddingSize], absentBecause: ifProjected },
  { name: `${OPT_PREFIX}project_out.weight`, shape: (c) => [c.embeddingSize, c.hiddenSize], absentBecause: ifProjected },
  ...norm(`${OPT_PREFIX}final_layer_norm`, ifFinalNorm),
  { name: OPT_HEAD, shape: (c) => [c.vocabSize, c.embeddingSize], absentBecause: ifUntied },
];
const LAYER_RULES: readonly NameRule[] = [
  ...norm(`${LAYER}self_attn_layer_norm`, ifAffine),
  ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((part) => linear(`${LAYER}self_attn.${part}`, square)),
  ...norm(`${LAYER}final_layer_norm`, ifAffine),
  ...linear(`${LAYER}fc1`, (c) => [c.feedForwardSize, c.hiddenSize]),
  ...linear(`${LAYER}fc2`, (c) => [c.hiddenSize, c.feedForwardSize]),
];
const RULES = new Map([...OUTER_RULES, ...LAYER_RULES].map((rule) => [rule.name, rule]));

/** Canonical names that old checkpoints carry and no forward pass reads: fairseq's version mark. */
const SKIPPED: readonly string[] = [`${OPT_PREFIX}version`];
/** A message lists this many tensors at most. */
const MAX_NAMED = 3;

/** Every tensor an OPT model of this configuration has, with its shape; lazily, as a crafted config may claim 10^9 layers. */
export function* expectedOptTensors(config: OptConfig): Generator<ExpectedTensor> {
  yield* expand(OUTER_RULES, config, 0);
  for (let layer = 0; layer < config.layers; layer += 1) yield* expand(LAYER_RULES, config, layer);
}

function* expand(rules: readonly NameRule[], config: OptConfig, layer: number): Generator<ExpectedTensor> {
  for (const rule of rules) {
    if ((rule.absentBecause?.(config) ?? null) !== null) continue;
    yield { name: rule.name.replace('{layer}', String(layer)), shape: rule.shape(config) };
  }
}

/** A checkpoint's tensors under canonical names, in canonical order. */
export interface MatchedTensors {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** `lm_head.weight` of a tied model, stored a second time; must equal the token embedding. */
  readonly tiedHead: TensorEntry | null;
}

/**
 * Gives a checkpoint's tensors their canonical names (prefix `model.decoder.`, `decoder.` or none) and checks names and shapes.
 * @throws FormatError on missing, unexpected or doubled tensors; ShapeError naming the tensor and both shapes.
 */
export function matchOptTensors(config: OptConfig, found: TensorMap, where: string): MatchedTensors {
  const canonical = renameAll(found, where);
  const tiedHead = config.tiedHead ? canonical.get(OPT_HEAD) ?? null : null;
  if (tiedHead !== null) canonical.delete(OPT_HEAD);
  requireNoneMissing(config, canonical, where);
  requireNoneUnexpected(config, canonical, where);
  const tensors = new Map<string, TensorEntry>();
  for (const { name, shape } of expectedOptTensors(config)) {
    const entry = canonical.get(name)!;
    requireShape(entry, { name, shape }, where);
    tensors.set(name, entry);
  }
  if (tiedHead !== null) requireShape(tiedHead, { name: OPT_HEAD, shape: tensors.get(OPT_TOKEN_EMBEDDING)!.shape }, where);
  return { tensors, tiedHead };
}

function renameAll(found: TensorMap, where: string): Map<string, TensorEntry> {
  const canonical = new Map<string, TensorEntry>();
  for (const [name, entry] of found) {
    const renamed = canonicalOptName(name);
    if (SKIPPED.includes(renamed)) continue;
    const other = canonical.get(renamed);
    if (other !== undefined) throw new FormatError(`${where}: ${other.name} and ${name} are two names of the same tensor`);
    canonical.set(renamed, entry);
  }
  return canonical;
}

/** The name with prefix `model.decoder.`; names that are none of OPT's stay as they are. */
export function canonicalOptName(name: string): string {
  const short = name.replace(/^(?:model\.)?decoder\./, '');
  if (short !== name) return OPT_PREFIX + short;
  return /^(?:embed_tokens|embed_positions|project_in|project_out|layers|final_layer_norm|version)(?:\.|$)/.test(name) ? OPT_PREFIX + name : name;
}

function requireNoneMissing(config: OptConfig, canonical: ReadonlyMap<string, TensorEntry>, where: string): void {
  const missing: string[] = [];
  for (const { name } of expectedOptTensors(config)) {
    if (!canonical.has(name)) missing.push(name);
    if (missing.length > MAX_NAMED) break;
  }
  if (missing.length === 0) return;
  if (canonical.size === 0) throw new FormatError(`${where}: no tensors found`);
  const more = missing.length > MAX_NAMED ? ' and more' : '';
  throw new FormatError(`${where}: missing tensor${missing.length > 1 ? 's' : ''} ${missing.slice(0, MAX_NAMED).join(', ')}${more}`, {
    suggestions: ['check that config.json belongs to these weights and that every shard is there'],
  });
}

function requireNoneUnexpected(config: OptConfig, canonical: ReadonlyMap<string, TensorEntry>, where: string): void {
  const unexpected = [...canonical].filter(([name]) => whyUnexpected(config, name) !== null);
  const first = unexpected[0];
  if (first === undefined) return;
  const isAdapter = /\.lora_|lora_[AB]\b|\badapter/.test(first[0]);
  const others = unexpected.length > 1 ? ` and ${unexpected.length - 1} more` : '';
  throw new FormatError(`${where}: unexpected tensor ${first[1].name}${others}: ${isAdapter ? 'an unmerged adapter' : whyUnexpected(config, first[0])}`, {
    suggestions: [isAdapter ? 'merge the adapter first: model.merge_and_unload().save_pretrained("merged")' : 'check that config.json belongs to these weights'],
  });
}

function whyUnexpected(config: OptConfig, name: string): string | null {
  const layer = /^model\.decoder\.layers\.(0|[1-9][0-9]*)\./.exec(name)?.[1];
  const rule = RULES.get(layer === undefined ? name : name.replace(`layers.${layer}.`, 'layers.{layer}.'));
  if (rule === undefined || name.includes('{layer}')) return 'no tensor of an OPT model has this name';
  if (layer !== undefined && Number(layer) >= config.layers) return `num_hidden_layers is ${config.layers}`;
  return rule.absentBecause?.(config) ?? null;
}

function requireShape(entry: TensorEntry, expected: ExpectedTensor, where: string): void {
  if (entry.shape.length === expected.shape.length && entry.shape.every((size, axis) => size === expected.shape[axis])) return;
  throw new ShapeError(`${where}: ${entry.name}: ${formatShape(entry.shape)} found, ${formatShape(expected.shape)} expected`, {
    suggestions: ['check that config.json belongs to these weights'],
  });
}
