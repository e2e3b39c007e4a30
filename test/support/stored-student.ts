import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createRandom } from '../../src/core/corpus/random.js';
import { writeSafetensors } from '../../src/core/hub/safetensors.js';
import { hashTensors } from '../../src/core/hub/tensor-hash.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import { studentConfigToJson } from '../../src/core/student/config.js';
import { parameterShapes } from '../../src/core/student/parameters.js';
import type { StoredTensor } from '../../src/core/student/stored.js';
import { isTransposed } from '../../src/core/student/stored.js';

/** Seeded tensors of a student as its file has them: matrices (out, in), gains about 1. */
export function storedTensors(config: StudentConfig, seed = 5): StoredTensor[] {
  const random = createRandom(seed);
  return Array.from(parameterShapes(config), ([name, shape]) => {
    const [centre, spread] = name.endsWith('.gain') ? [1, 0.1] : [0.1, 0.7];
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => centre + spread * random.normal());
    return { name, shape: isTransposed(name, shape) ? [...shape].reverse() : shape, values };
  });
}

/** Writes a student folder from such tensors, with the record of their hash, and without any tensor library. */
export async function writeStoredStudent(folder: string, config: StudentConfig, tensors: readonly StoredTensor[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(studentConfigToJson(config)));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  await writeFile(join(folder, 'provenance.json'), JSON.stringify({ weightsSha256: hashTensors(new Map(tensors.map((t) => [t.name, t]))) }));
}

/** The tensors with those of `changes` replaced by other values. */
export function withValues(tensors: readonly StoredTensor[], changes: Readonly<Record<string, readonly number[]>>): StoredTensor[] {
  const names = new Set(tensors.map(({ name }) => name));
  for (const name of Object.keys(changes)) if (!names.has(name)) throw new Error(`no tensor ${name}`);
  return tensors.map((tensor) => {
    const values = changes[tensor.name];
    if (values === undefined) return tensor;
    if (values.length !== tensor.values.length) throw new Error(`${tensor.name} has ${tensor.values.length} values, ${values.length} given`);
    return { ...tensor, values: Float32Array.from(values) };
  });
}
