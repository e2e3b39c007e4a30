import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FormatError } from '../../../src/core/errors.js';
import { parseOptConfig, readOptConfig, toHuggingFaceConfig } from '../../../src/core/teacher/config.js';
import { rejection } from '../../support/rejection.js';
import { TINY_OPT_CONFIG } from '../../support/tiny-opt.js';

const parse = (change: Record<string, unknown>): ReturnType<typeof parseOptConfig> => parseOptConfig({ ...TINY_OPT_CONFIG, ...change }, 'config.json');
const refuse = async (change: Record<string, unknown>): Promise<string> => (await rejection((async () => parse(change))(), FormatError)).message;

describe('teacher/config', () => {
  it('fills in what Hugging Face leaves out', () => {
    expect(parse({})).to.deep.equal({
      family: 'opt', vocabSize: 6, hiddenSize: 4, layers: 1, heads: 2, feedForwardSize: 8, contextLength: 5, embeddingSize: 4, normPlacement: 'pre',
      hasFinalNorm: true, activation: 'relu', hasBias: true, hasNormAffine: true, tiedHead: true, layerNormEps: 1e-5, bosId: 2, eosId: 2, padId: 1,
    });
  });

  it('reads the layout of the 350M model', () => {
    const config = parse({ do_layer_norm_before: false, word_embed_proj_dim: 2 });
    expect([config.normPlacement, config.hasFinalNorm, config.embeddingSize]).to.deep.equal(['post', false, 2]);
    expect(parse({ _remove_final_layer_norm: true }).hasFinalNorm).to.equal(false);
  });

  it('is undone by toHuggingFaceConfig for every layout', () => {
    const layouts = [{}, { do_layer_norm_before: false, word_embed_proj_dim: 2 }, { _remove_final_layer_norm: true }, { enable_bias: false, layer_norm_elementwise_affine: false },
      { tie_word_embeddings: false, activation_function: 'gelu', pad_token_id: null }];
    for (const layout of layouts) expect(parseOptConfig(toHuggingFaceConfig(parse(layout)), 'again')).to.deep.equal(parse(layout));
  });

  const REFUSED: readonly (readonly [change: Record<string, unknown>, message: string])[] = [
    [{ model_type: undefined }, 'config.json: model_type is missing; known: opt'],
    [{ model_type: 'optt' }, 'model_type "optt" is not supported; nearest: opt; known: opt'],
    [{ hidden_size: undefined }, 'config.json: hidden_size is missing'],
    [{ vocab_size: undefined, num_hidden_layers: undefined, ffn_dim: undefined }, 'config.json: vocab_size, num_hidden_layers, ffn_dim are missing'],
    [{ hidden_size: '8' }, 'hidden_size must be an integer, found string "8"'],
    [{ num_attention_heads: 2.5 }, 'num_attention_heads must be a positive integer, found 2.5'],
    [{ num_hidden_layers: -1 }, 'num_hidden_layers must be a positive integer, found -1'],
    [{ num_attention_heads: 3 }, 'hidden_size 4 is not divisible by num_attention_heads 3'],
    [{ do_layer_norm_before: 'false' }, 'do_layer_norm_before must be true or false, found string "false"'],
    [{ activation_function: 'swoosh' }, 'activation_function "swoosh" is not supported; known: relu, gelu, gelu_new'],
    [{ activation_function: 'rellu' }, 'nearest: relu'],
    [{ eos_token_id: 6 }, 'eos_token_id must be null or an id below vocab_size 6, found number 6'],
  ];
  for (const [change, message] of REFUSED) {
    it(`says: ${message}`, async () => expect(await refuse(change)).to.contain(message));
  }

  it('refuses what is no object, no JSON or not there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bispik-config-'));
    expect((await rejection(readOptConfig(folder), FormatError)).message).to.contain('config.json not found in');
    await writeFile(join(folder, 'config.json'), 'null');
    expect((await rejection(readOptConfig(folder), FormatError)).message).to.contain('config.json must be an object, found null');
    await writeFile(join(folder, 'config.json'), '{\n"model_type": "opt",\n"vocab_size" 5}');
    expect((await rejection(readOptConfig(folder), FormatError)).message).to.contain('config.json is not valid JSON at line 3');
    await rm(folder, { recursive: true });
  });
});
