import { readFileSync } from 'node:fs';

import * as tf from '@tensorflow/tfjs-core';

import { readoutLogits } from '../../../src/core/ops/readout.js';
import { parseOptConfig } from '../../../src/core/teacher/config.js';
import { teacherForward } from '../../../src/core/teacher/forward.js';
import { uploadTeacher } from '../../../src/core/teacher/parameters.js';
import type { Teacher } from '../../../src/core/teacher/parameters.js';
import { describeOnBackends } from '../../support/backends.js';
import { expectRelative } from '../../support/relative.js';

interface Numbers { readonly shape: number[]; readonly values: number[] }

/** What the independent implementation (bench/peers/teacher_fixtures.py) computed in float64. */
interface TeacherReference {
  readonly config: object;
  readonly ids: Numbers;
  readonly weights: Record<string, Numbers>;
  readonly logits: number[];
  /** Input of the first block, output of each, before any final norm. */ readonly hidden: number[][];
  readonly attention: number[][];
}

function readReference(name: string): { reference: TeacherReference; ids: tf.Tensor2D; teacher: Teacher } {
  const file = new URL(`../../fixtures/teacher-reference/${name}.json`, import.meta.url);
  const reference = JSON.parse(readFileSync(file, 'utf8')) as TeacherReference;
  const tensors = new Map(Object.entries(reference.weights).map(([key, { shape, values }]) => [key, { shape, values: Float32Array.from(values) }]));
  const teacher = uploadTeacher({ config: parseOptConfig(reference.config, name), tensors, sha256: '' });
  return { reference, teacher, ids: tf.tensor2d(reference.ids.values, reference.ids.shape as [number, number], 'int32') };
}

describeOnBackends('OPT forward pass against the independent float64 implementation', () => {
  for (const name of ['prenorm', 'postnorm']) {
    it(`${name}: logits, hidden states and attention to 1e-4 relative`, async () => {
      const { reference, teacher, ids } = readReference(name);
      const trace = tf.tidy(() => {
        const { readout, embedding, hidden, attention } = teacherForward(teacher, ids);
        return { logits: readoutLogits(readout), hidden: [embedding, ...hidden], attention: [...attention] };
      });
      expectRelative(await trace.logits.data(), reference.logits, 1e-4, 'logits');
      for (const [i, expected] of reference.hidden.entries()) expectRelative(await (trace.hidden[i] as tf.Tensor).data(), expected, 1e-4, `hidden state ${i}`);
      for (const [i, expected] of reference.attention.entries()) expectRelative(await (trace.attention[i] as tf.Tensor).data(), expected, 1e-4, `attention ${i}`);
      tf.dispose([trace, ids, [...teacher.parameters.values()]]);
    });
  }
});
