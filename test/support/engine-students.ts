import * as tf from '@tensorflow/tfjs-core';

import { createEngine, createMachine } from '../../src/core/engine/engine.js';
import type { EngineModel } from '../../src/core/engine/engine.js';
import { soloCrew } from '../../src/core/engine/crew.js';
import type { EngineKernels } from '../../src/core/engine/kernels.js';
import type { WeightPrecision } from '../../src/core/types.js';
import type { EngineMemory } from '../../src/core/engine/memory.js';
import { createMemory } from '../../src/core/engine/memory.js';
import { openPacked } from '../../src/core/engine/pack-cache.js';
import { createPace } from '../../src/core/engine/pace.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import { writeStudent } from '../../src/core/student/folder.js';
import { tinyStudentParameters } from './tiny-models.js';

/** Writes a seeded random student of any configuration as a folder. */
export async function writeRandomStudent(folder: string, config: StudentConfig, seed = 5): Promise<void> {
  const parameters = tinyStudentParameters(config, seed);
  await writeStudent(folder, { config, parameters }, { made: 'by a test' });
  tf.dispose([...parameters.values()]);
}

/** An engine of one thread on any implementation of the kernels. */
export async function engineOn(
  folder: string, precision: WeightPrecision, kernelsOf: (memory: EngineMemory) => Promise<EngineKernels> | EngineKernels,
): Promise<EngineModel> {
  const memory = createMemory(false);
  const { weights } = await openPacked(folder, precision, (bytes) => memory.bytes(memory.allocate(bytes), bytes));
  const machine = createMachine(weights, memory, { kernels: await kernelsOf(memory), threads: 1 });
  return createEngine({ machine, memory, crew: soloCrew(machine), pace: createPace(() => 0, 'alone') });
}
