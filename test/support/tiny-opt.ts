import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { writeSafetensors } from '../../src/core/hub/safetensors.js';

/** config.json of an OPT model small enough to write its tensors down: 1 layer, width 4, 2 heads. */
export const TINY_OPT_CONFIG = {
  model_type: 'opt', vocab_size: 6, hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 2, ffn_dim: 8, max_position_embeddings: 5,
} as const;

export interface TinyTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Shapes after Hugging Face's modeling_opt, listed by hand; names without prefix. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'embed_tokens.weight': [6, 4], 'embed_positions.weight': [7, 4], 'final_layer_norm.weight': [4], 'final_layer_norm.bias': [4],
  'layers.0.self_attn.k_proj.weight': [4, 4], 'layers.0.self_attn.k_proj.bias': [4], 'layers.0.self_attn.v_proj.weight': [4, 4], 'layers.0.self_attn.v_proj.bias': [4],
  'layers.0.self_attn.q_proj.weight': [4, 4], 'layers.0.self_attn.q_proj.bias': [4], 'layers.0.self_attn.out_proj.weight': [4, 4], 'layers.0.self_attn.out_proj.bias': [4],
  'layers.0.self_attn_layer_norm.weight': [4], 'layers.0.self_attn_layer_norm.bias': [4], 'layers.0.fc1.weight': [8, 4], 'layers.0.fc1.bias': [8],
  'layers.0.fc2.weight': [4, 8], 'layers.0.fc2.bias': [4], 'layers.0.final_layer_norm.weight': [4], 'layers.0.final_layer_norm.bias': [4],
};

/** The tiny model's tensors under a prefix; value i of tensor n is n + i / 64, exact in float16. */
export function tinyOptTensors(prefix = 'model.decoder.'): Map<string, TinyTensor> {
  return new Map(Object.entries(SHAPES).map(([name, shape], n) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => n + i / 64);
    return [prefix + name, { shape, values }];
  }));
}

/** Writes a Hugging Face folder. */
export async function writeTinyOpt(folder: string, tensors: ReadonlyMap<string, TinyTensor>, config: object = TINY_OPT_CONFIG): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeSafetensors(join(folder, 'model.safetensors'), [...tensors].map(([name, tensor]) => ({ name, ...tensor })));
  return folder;
}
