import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { readoutLogits } from '../../src/core/ops/readout.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { layerNorm } from '../../src/core/ops/layer-norm.js';
import { teacherForward } from '../../src/core/teacher/forward.js';
import type { TeacherTrace } from '../../src/core/teacher/forward.js';
import { importTeacher } from '../../src/core/teacher/import.js';
import { teacherParameter, uploadTeacher } from '../../src/core/teacher/parameters.js';
import type { Teacher } from '../../src/core/teacher/parameters.js';
import { loadTeacher } from '../../src/core/teacher/weights.js';
import { silentReporter } from '../../src/core/types.js';
import { expectRelative, relativeDifference } from '../support/relative.js';

/** Folder with `fixtures/opt-*`: models in Hugging Face layout, each with a reference.json of another implementation. */
const SHARED = process.env['BISPIK_SHARED_DATA'];
const FOLDERS = ['opt-prenorm', 'opt-postnorm', 'opt-prenorm-noprefix', 'opt-sharded-bf16'];
const TOLERANCE = 1e-4;

interface ReferenceSequence {
  readonly input_ids: number[];
  readonly logits_positions: number[];
  readonly logits: number[][];
  readonly hidden_positions: number[];
  readonly hidden_states: number[][][];
  readonly last_layer_output: number[][];
  readonly attention_positions: number[];
  readonly attentions_layer0: number[][][];
  readonly mean_nll: number | null;
}

describe('extended: imported OPT models against reference outputs', function () {
  if (SHARED === undefined || !existsSync(join(SHARED, 'fixtures'))) {
    it('needs BISPIK_SHARED_DATA');
    return;
  }
  for (const backend of ['wasm', 'cpu'] as const) {
    for (const name of FOLDERS) {
      it(`${name} [${backend}]: logits, hidden states, attention and loss to 1e-4 relative`, async () => {
        await prepareBackend(backend);
        const teacher = await imported(join(SHARED, 'fixtures', name));
        const { sequences } = JSON.parse(await readFile(join(SHARED, 'fixtures', name, 'reference.json'), 'utf8')) as { sequences: ReferenceSequence[] };
        const worst: Record<string, number> = {};
        for (const sequence of sequences) {
          const trace = tf.tidy(() => traceOf(teacher, sequence));
          for (const [what, expected] of Object.entries(expectedOf(sequence))) {
            const actual = await trace[what as keyof Trace].data();
            expectRelative(actual, expected, TOLERANCE, `${what} of ${sequence.input_ids.length} tokens`);
            worst[what] = Math.max(worst[what] ?? 0, relativeDifference(actual, expected));
          }
          tf.dispose(Object.values(trace));
        }
        console.log(`      ${Object.entries(worst).map(([what, difference]) => `${what} ${difference.toExponential(1)}`).join(', ')}`);
        tf.dispose([...teacher.parameters.values()]);
      });
    }
  }
});

/** Imports a folder as the command does and loads what was written. */
async function imported(source: string): Promise<Teacher> {
  const folder = await mkdtemp(join(tmpdir(), 'bispik-ext-'));
  const download = (): never => { throw new Error('a local folder is not downloaded'); };
  const out = join(folder, 'teacher');
  await importTeacher({ source, out, download, overwrite: false, bispikVersion: 'test' }, { reporter: silentReporter, signal: new AbortController().signal });
  const teacher = uploadTeacher(await loadTeacher(out));
  await rm(folder, { recursive: true });
  return teacher;
}

type Trace = Record<'logits' | 'hiddenStates' | 'lastLayerOutput' | 'attention' | 'meanNll', tf.Tensor>;

/** Our values at the positions the reference gives. */
function traceOf(teacher: Teacher, sequence: ReferenceSequence): Trace {
  const ids = tf.tensor2d([sequence.input_ids], undefined, 'int32');
  const trace = teacherForward(teacher, ids);
  const rows = (x: tf.Tensor, positions: number[]): tf.Tensor => tf.gather(tf.reshape(x, [x.shape[1] ?? 0, -1]), tf.tensor1d(positions, 'int32'));
  const last = trace.hidden.at(-1) as tf.Tensor3D;
  const states = [trace.embedding, ...trace.hidden.slice(0, -1), finalState(teacher, last)];
  const logits = readoutLogits(trace.readout);
  const labels = tf.oneHot(tf.tensor1d([...sequence.input_ids.slice(1), 0], 'int32'), logits.shape[1]);
  const losses = tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), labels), 1));
  return {
    logits: tf.gather(logits, tf.tensor1d(sequence.logits_positions, 'int32')),
    hiddenStates: tf.concat(states.map((x) => tf.reshape(rows(x, sequence.hidden_positions), [-1]))),
    lastLayerOutput: rows(last, sequence.hidden_positions),
    attention: tf.gather(tf.squeeze(firstAttention(trace), [0]), tf.tensor1d(sequence.attention_positions, 'int32'), 1),
    meanNll: tf.mean(tf.slice(losses, 0, Math.max(1, sequence.input_ids.length - 1))),
  };
}

function firstAttention(trace: TeacherTrace): tf.Tensor {
  return trace.attention[0] as tf.Tensor;
}

/** The last entry by Hugging Face's convention: after the final norm and after `project_out`. */
function finalState(teacher: Teacher, last: tf.Tensor3D): tf.Tensor {
  const { config, parameters } = teacher;
  const normed = config.hasFinalNorm ? layerNorm(last, {
    weight: teacherParameter<tf.Rank.R1>(teacher, 'final_layer_norm.weight'), bias: teacherParameter<tf.Rank.R1>(teacher, 'final_layer_norm.bias'), epsilon: config.layerNormEps,
  }) : last;
  if (!parameters.has('project_out.weight')) return normed;
  return tf.expandDims(tf.matMul(tf.squeeze<tf.Tensor2D>(normed, [0]), teacherParameter<tf.Rank.R2>(teacher, 'project_out.weight')), 0);
}

/** The reference's numbers, flat; a sequence of one token has no loss. */
function expectedOf(sequence: ReferenceSequence): Partial<Record<keyof Trace, number[]>> {
  return {
    logits: sequence.logits.flat(), hiddenStates: sequence.hidden_states.flat(2), lastLayerOutput: sequence.last_layer_output.flat(),
    attention: sequence.attentions_layer0.flat(2), ...(sequence.mean_nll === null ? {} : { meanNll: [sequence.mean_nll] }),
  };
}
