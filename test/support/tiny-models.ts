import * as tf from '@tensorflow/tfjs-core';

import { createRandom } from '../../src/core/corpus/random.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import { parameterShapes } from '../../src/core/student/parameters.js';
import type { NewTeacher } from '../../src/core/teacher/init.js';
import { initTeacher } from '../../src/core/teacher/init.js';
import type { Teacher } from '../../src/core/teacher/parameters.js';

/** Shape of the models that start, folder and task tests use. */
export const TINY_SHAPE: NewTeacher = {
  vocabSize: 13, hiddenSize: 8, layers: 2, heads: 2, feedForwardSize: 16, contextLength: 12, bosId: null, eosId: 2, padId: null,
};

/** A student of that shape, practical form. */
export const TINY_STUDENT: StudentConfig = {
  ...TINY_SHAPE,
  neuron: { timeSteps: 4, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true },
  residualWrite: 'current', learnedNeurons: true, onOff: true, relativeBias: true, embeddingGain: 1, layerNormEps: 1e-5,
};

/** The same in the form of the paper. */
export const TINY_PAPER_STUDENT: StudentConfig = {
  ...TINY_STUDENT, residualWrite: 'spike', learnedNeurons: false, onOff: false, relativeBias: false, embeddingGain: 50,
  neuron: { ...TINY_STUDENT.neuron, detachReset: false },
};

/**
 * A seeded teacher with something to say: random weights, but embeddings and writes large enough that its blocks and its head
 * decide what comes next.
 */
export function tinyTeacher(change: Partial<NewTeacher> = {}): Teacher {
  const random = createRandom(21);
  const teacher = initTeacher({ ...TINY_SHAPE, ...change }, random);
  const parameters = new Map(Array.from(teacher.parameters, ([name, tensor]) => {
    const factor = name.startsWith('embed_') ? 30 : /out_proj|fc2/.test(name) ? 4 : 1;
    const spread = name.endsWith('.bias') ? 0.3 : /norm.weight$/.test(name) ? 0.2 : 0;
    const noise = tf.tensor(Float32Array.from({ length: tensor.size }, () => spread * random.normal()), tensor.shape);
    const changed = tf.tidy(() => tf.add(tf.mul(tensor, factor), noise));
    tf.dispose([tensor, noise]);
    return [name, changed];
  }));
  return { config: teacher.config, parameters };
}

/** Seeded token ids (B, L) int32. */
export function tinyIds(batch: number, length: number, seed = 4): tf.Tensor2D {
  const random = createRandom(seed);
  return tf.tensor2d(Int32Array.from({ length: batch * length }, () => random.integer(TINY_SHAPE.vocabSize)), [batch, length], 'int32');
}

/** Seeded parameters of any student, large enough that about a third of its neurons fire. */
export function tinyStudentParameters(config: StudentConfig, seed = 5): Map<string, tf.Tensor> {
  const random = createRandom(seed);
  return new Map(Array.from(parameterShapes(config), ([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const [centre, spread] = name.endsWith('.gain') ? [1, 0.2] : [0.1, 0.7];
    return [name, tf.tensor(Float32Array.from({ length: size }, () => centre + spread * random.normal()), [...shape])];
  }));
}
