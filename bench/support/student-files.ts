import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { openSafetensors, writeSafetensors } from '../../src/core/hub/safetensors.js';
import { parseStudentConfig, studentConfigToJson } from '../../src/core/student/config.js';
import { parameterShapes } from '../../src/core/student/parameters.js';
import type { PlainStudent } from './plain-student.js';
import { valuesOf } from './plain-student.js';

/** Block matrices are (out, in) in a student folder and (in, out) in memory. */
const isTurned = (name: string, shape: readonly number[]): boolean => shape.length === 2 && name.startsWith('layers.') && name.endsWith('.weight');

/** (rows, columns) → (columns, rows), in tiles that stay in the cache. */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const TILE = 32;
  const turned = new Float32Array(values.length);
  for (let top = 0; top < rows; top += TILE) {
    for (let left = 0; left < columns; left += TILE) {
      for (let i = top; i < Math.min(top + TILE, rows); i++) {
        for (let j = left; j < Math.min(left + TILE, columns); j++) turned[j * rows + i] = values[i * columns + j] as number;
      }
    }
  }
  return turned;
}

/** Writes config.json and model.safetensors of a student folder. */
export async function savePlainStudent(folder: string, student: PlainStudent): Promise<void> {
  await mkdir(folder, { recursive: true });
  const stored = function* (): Generator<{ name: string; shape: readonly number[]; values: Float32Array }> {
    for (const [name, shape] of parameterShapes(student.config)) {
      const values = valuesOf(student, name);
      const [rows = 0, columns = 0] = shape;
      yield isTurned(name, shape) ? { name, shape: [columns, rows], values: transpose(values, rows, columns) } : { name, shape, values };
    }
  };
  await writeSafetensors(join(folder, 'model.safetensors'), stored());
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(studentConfigToJson(student.config), null, 2)}\n`);
}

/** Reads what `savePlainStudent` wrote. */
export async function loadPlainStudent(folder: string): Promise<PlainStudent> {
  const file = join(folder, 'config.json');
  const config = parseStudentConfig(JSON.parse(await readFile(file, 'utf8')), file);
  const values = new Map<string, Float32Array>();
  const shapes = parameterShapes(config);
  for (const [name, entry] of await openSafetensors(join(folder, 'model.safetensors'))) {
    const [rows = 0, columns = 0] = entry.shape;
    const read = await entry.readFloat32();
    values.set(name, isTurned(name, shapes.get(name) ?? []) ? transpose(read, rows, columns) : read);
  }
  return { config, values };
}

/** Whether the folder holds a student. */
export async function hasStudent(folder: string): Promise<boolean> {
  return access(join(folder, 'config.json')).then(() => true, () => false);
}
