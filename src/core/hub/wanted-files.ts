import { FormatError } from '../errors.js';
import { COMPANION_FILES } from './local-snapshot.js';
import { WEIGHT_FILES } from './weight-files.js';

/**
 * Chooses what an import needs of a repository: configuration, tokenizer, and one form of the weights, the first of {@link WEIGHT_FILES}; the weights
 * come last, so that a download that has them has everything.
 * @throws FormatError when there are no weights of a form that is read, naming what is there instead.
 */
export function chooseFiles(present: readonly string[], source: string): readonly string[] {
  const weights = WEIGHT_FILES.find((name) => present.includes(name));
  if (weights === undefined) {
    const others = present.filter((name) => /\.(?:safetensors|bin|h5|msgpack|gguf|ot|onnx|pt|pth)$/.test(name));
    throw new FormatError(`${source} has no ${WEIGHT_FILES.filter((name) => !name.endsWith('.index.json')).join(' or ')}${others.length > 0 ? `; found ${others.join(', ')}` : ''}`, {
      suggestions: ['choose a repository with PyTorch or safetensors weights', 'or another --revision'],
    });
  }
  const companions = COMPANION_FILES.filter((name) => present.includes(name));
  return [...companions, weights, ...(weights.endsWith('.index.json') ? shardsOf(weights, present, source) : [])];
}

/** Shards are named `STEM-00001-of-00002.EXTENSION`, all of them must be there. */
function shardsOf(index: string, present: readonly string[], source: string): readonly string[] {
  const [, stem, extension] = /^(.+)\.(\w+)\.index\.json$/.exec(index) as unknown as [string, string, string];
  const shards = present.filter((name) => name.startsWith(`${stem}-`) && name.endsWith(`.${extension}`) && /-\d+-of-\d+\.\w+$/.test(name)).sort();
  const total = Number(/-of-(\d+)\./.exec(shards[0] ?? '')?.[1] ?? Number.NaN);
  if (shards.length !== total) {
    throw new FormatError(`${source}: ${index} is there with ${shards.length} shards${Number.isNaN(total) ? '' : `, ${total} expected`}`, { suggestions: ['choose another --revision: this upload is incomplete'] });
  }
  return shards;
}
