import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../errors.js';
import { openSafetensors } from './safetensors.js';
import { openShards, readShardIndex } from './shard-index.js';
import type { TensorMap } from './tensor-map.js';
import { openTorchFile } from './torch-file.js';

/** A model's tensors, and the files they lie in. */
export interface Weights {
  readonly tensors: TensorMap;
  /** Names of the weight files that are read, the index included. */ readonly files: readonly string[];
  /** Things worth telling that do no harm, e.g. an index whose total size is wrong. */ readonly notices: readonly string[];
}

interface WeightLayout {
  readonly file: string;
  readonly open: (path: string) => Promise<TensorMap>;
  readonly isIndex: boolean;
}

/** In order of preference: safetensors holds nothing that could be executed. */
const LAYOUTS: readonly WeightLayout[] = [
  { file: 'model.safetensors', open: openSafetensors, isIndex: false },
  { file: 'model.safetensors.index.json', open: openSafetensors, isIndex: true },
  { file: 'pytorch_model.bin', open: openTorchFile, isIndex: false },
  { file: 'pytorch_model.bin.index.json', open: openTorchFile, isIndex: true },
];

/** Names of the files {@link openWeights} looks for, in order of preference. */
export const WEIGHT_FILES: readonly string[] = LAYOUTS.map((layout) => layout.file);

/**
 * Opens the weights of a model folder: the first of {@link WEIGHT_FILES} that is there. A broken file is an error, never a
 * reason to read another one.
 * @throws FormatError when there are none or they are broken.
 */
export async function openWeights(folder: string): Promise<Weights> {
  const present = await listFolder(folder);
  const layout = LAYOUTS.find(({ file }) => present.includes(file));
  if (layout === undefined) {
    throw new FormatError(`${folder}: no ${WEIGHT_FILES.join(', ')} found`, { suggestions: suggestFor(present) });
  }
  if (!layout.isIndex) return { tensors: await layout.open(join(folder, layout.file)), files: [layout.file], notices: [] };
  const index = await readShardIndex(folder, layout.file);
  const { tensors, notices } = await openShards(folder, index, layout.open);
  return { tensors, files: [layout.file, ...index.shards.keys()], notices };
}

async function listFolder(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    throw new FormatError(`${folder} is not a folder that can be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

function suggestFor(present: readonly string[]): readonly string[] {
  const other = present.find((name) => /\.(?:h5|msgpack|onnx|gguf|pt|pth|ckpt|bin|safetensors)$/.test(name));
  return other === undefined
    ? ['name the folder that holds config.json and the weights']
    : [`${other} is there, but is not read: convert it with model.save_pretrained(folder, safe_serialization=True)`];
}
