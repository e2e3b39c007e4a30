import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import { softTargetDivergence } from '../../../src/core/ops/logit-losses.js';
import { readoutLogits } from '../../../src/core/ops/readout.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { studentForward } from '../../../src/core/student/forward.js';
import { assertBinary, binaryWatch, ignoreSpikes, joinRates, observeBoth, rateCollector } from '../../../src/core/student/observe.js';
import { parameterShapes } from '../../../src/core/student/parameters.js';
import type { StartOptions } from '../../../src/core/student/start.js';
import { startStudent } from '../../../src/core/student/start.js';
import { teacherForward } from '../../../src/core/teacher/forward.js';
import { expectClose } from '../../support/backends.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT, tinyIds, tinyTeacher } from '../../support/tiny-models.js';

type Parameters = Map<string, tf.Tensor>;
const CALIBRATION = { ridge: 0.02, entryRate: 0.12, unitRate: 0.15, attentionDensity: 0.1 };

const startWith = (change: Partial<StartOptions> = {}): Promise<Parameters> => startStudent({
  config: TINY_STUDENT, init: 'ridge', embeddings: 'teacher', calibration: CALIBRATION, random: createRandom(3), ...change,
  teacher: change.teacher ?? tinyTeacher(), ids: change.ids ?? tinyIds(16, 12),
});
const get = (parameters: Parameters, name: string): tf.Tensor => parameters.get(name) as tf.Tensor;
const valuesOf = async (parameters: Parameters): Promise<Record<string, number[]>> =>
  Object.fromEntries(await Promise.all(Array.from(parameters, async ([name, tensor]) => [name, Array.from(await tensor.data())] as const)));

/** Mean KL(teacher ‖ student) in nats over tokens the calibration has not seen. */
async function distanceToTeacher(parameters: Parameters, config = TINY_STUDENT): Promise<number> {
  const ids = tinyIds(16, 12, 9);
  const mean = tf.tidy(() => tf.mean(softTargetDivergence(
    readoutLogits(studentForward({ config, parameters }, ids, { observe: ignoreSpikes, alignTo: null }).readout), readoutLogits(teacherForward(tinyTeacher(), ids).readout), 1).loss));
  return (await mean.data())[0] as number;
}

describe('start of a student', () => {
  before(async () => { await prepareBackend('wasm'); });

  it('has every parameter in file order and shape, whatever the form and the init, and leaves nothing else behind', async () => {
    const teacher = tinyTeacher();
    const ids = tinyIds(4, 12);
    for (const config of [TINY_STUDENT, TINY_PAPER_STUDENT, { ...TINY_STUDENT, relativeBias: false, onOff: false, residualWrite: 'spike' } as const]) {
      for (const init of ['ridge', 'copy', 'random'] as const) {
        const before = tf.memory().numTensors;
        const parameters = await startWith({ config, init, teacher, ids });
        expect(Array.from(parameters, ([name, { shape }]) => [name, shape])).to.deep.equal([...parameterShapes(config)]);
        expect(tf.memory().numTensors - before, 'tensors made').to.equal(parameters.size);
        tf.dispose([...parameters.values()]);
      }
    }
  });

  it('fires at the target rates on the calibration tokens, every matrix input binary', async () => {
    const parameters = await startWith();
    const { observe, rates } = rateCollector();
    const watch = binaryWatch(TINY_STUDENT.neuron.timeSteps);
    studentForward({ config: TINY_STUDENT, parameters }, tinyIds(16, 12), { observe: observeBoth(observe, watch.observe), alignTo: null });
    await assertBinary(watch.violations);
    expect(rates.sites).to.have.lengthOf(16);
    const values = await joinRates(rates).values.data();
    const goals = { attention_entry: 0.12, feed_forward_entry: 0.12, query: 0.15, key: 0.15, value: 0.15, hidden: 0.15 };
    for (const [i, { layer, site }] of rates.sites.entries()) {
      const found = values[i] as number;
      const goal = (goals as Record<string, number>)[site];
      // 192 tokens × 4 steps: each channel is right to one spike or one tie of the membranes.
      if (goal !== undefined) expect(found, `${site} of layer ${layer}`).to.be.closeTo(goal, 0.005);
      // These two see sums of a few spikes, whole numbers, so their rate moves in jumps.
      else expect(found, `${site} of layer ${layer}`).to.be.within(0.05, 0.4);
    }
  });

  it('fitted to the teacher is near it before any training; copied is farther, random far', async () => {
    const ridge = await distanceToTeacher(await startWith());
    const copied = await distanceToTeacher(await startWith({ init: 'copy' }));
    const random = await distanceToTeacher(await startWith({ init: 'random', embeddings: 'random' }));
    expect(ridge).to.be.below(0.12);
    expect(copied).to.be.above(3 * ridge);
    expect(random).to.be.above(copied).and.above(0.7);
  });

  it('in groups of windows, ranges of channels and single heads: the first layer up to its regression as before, the same rates and as near to the teacher', async () => {
    const [ids, teacher] = [tinyIds(17, 12), tinyTeacher()];
    const whole = await startWith({ ids });
    const before = tf.memory().numTensors;
    // 4,000 numbers: two or three windows a group, 4 channels of an entrance without its pair or 2 with it, one head.
    const grouped = await startWith({ ids, atOnce: 4000, teacher });
    expect(tf.memory().numTensors - before).to.equal(grouped.size);
    for (const name of ['embed_tokens.weight', 'layers.0.attention_entry.gain', 'layers.0.attention_entry.bias', 'layers.0.qkv.weight']) {
      expectClose(await get(grouped, name).data(), await get(whole, name).data(), { absolute: 2e-6, relative: 2e-6 }, name);
    }
    expect(await distanceToTeacher(grouped) / await distanceToTeacher(whole)).to.be.within(0.8, 1.25);
    const { observe, rates } = rateCollector();
    studentForward({ config: TINY_STUDENT, parameters: grouped }, ids, { observe, alignTo: null });
    const values = await joinRates(rates).values.data();
    for (const [i, { layer, site }] of rates.sites.entries()) {
      if (!site.startsWith('attention') || site === 'attention_entry') expect(values[i], `${site} of layer ${layer}`).to.be.closeTo(site.endsWith('entry') ? 0.12 : 0.15, 0.006);
    }
  });

  it('takes embeddings and final norm from the teacher, positions without OPT’s offset', async () => {
    const { parameters: teacher } = tinyTeacher();
    const parameters = await startWith({ ids: tinyIds(2, 6) });
    for (const name of ['embed_tokens.weight', 'final_norm.weight', 'final_norm.bias']) {
      const source = teacher.get(name.replace('final_norm', 'final_layer_norm')) as tf.Tensor;
      expectClose(await get(parameters, name).data(), await source.data(), { absolute: 0 }, name);
    }
    const positions = (await (teacher.get('embed_positions.weight') as tf.Tensor).data()).slice(2 * 8);
    expectClose(await get(parameters, 'embed_positions.weight').data(), positions, { absolute: 0 });
  });

  it('entrance gains are 1/std of the stream, the same for both neurons of a pair', async () => {
    const teacher = tinyTeacher();
    const ids = tinyIds(16, 12);
    const parameters = await startWith({ teacher, ids });
    const gain = await get(parameters, 'layers.0.attention_entry.gain').data();
    const std = tf.tidy(() => tf.sqrt(tf.moments(teacherForward(teacher, ids).embedding, [0, 1]).variance));
    expectClose(gain.slice(0, 8), Array.from(await std.data(), (s) => 1 / s), { absolute: 0, relative: 1e-4 });
    expectClose(gain.slice(8), gain.slice(0, 8), { absolute: 0 });
  });

  it('copy: the teacher’s matrices with the norm’s gain folded in, negated for the off neurons, up to one factor each', async () => {
    const teacher = tinyTeacher();
    const parameters = await startWith({ init: 'copy', teacher });
    const source = (name: string): Promise<Float32Array> => (teacher.parameters.get(`layers.1.${name}`) as tf.Tensor).data<'float32'>();
    const ratios = async (name: string, expected: (row: number, column: number) => number, columns: readonly [from: number, to: number]): Promise<void> => {
      const tensor = get(parameters, `layers.1.${name}.weight`);
      const [rows, width] = tensor.shape as [number, number];
      const actual = await tensor.data();
      const factor = (actual[columns[0]] as number) / expected(0, 0);
      expect(factor).to.be.above(0);
      for (let row = 0; row < rows; row++) {
        for (let column = columns[0]; column < columns[1]; column++) {
          expect(actual[row * width + column], `${name} [${row}, ${column}]`).to.be.closeTo(factor * expected(row, column - columns[0]), 1e-4 * Math.abs(factor));
        }
      }
    };
    const [norm, query, value, out] = [await source('self_attn_layer_norm.weight'), await source('self_attn.q_proj.weight'), await source('self_attn.v_proj.weight'), await source('self_attn.out_proj.weight')];
    const folded = (weight: Float32Array) => (row: number, column: number): number => (row < 8 ? 1 : -1) * (weight[(row % 8) * 8 + column] as number) * (norm[row % 8] as number);
    await ratios('qkv', folded(query), [0, 8]);
    await ratios('qkv', folded(value), [16, 24]);
    await ratios('out', (row, column) => out[row * 8 + column] as number, [0, 8]);
  });

  it('paper: small random embeddings, plain norm, linears within ±1/√inputs, no learned neurons', async () => {
    const values = await valuesOf(await startWith({ config: TINY_PAPER_STUDENT, init: 'random', embeddings: 'random' }));
    expect(Object.keys(values).filter((name) => name.includes('gain') || name.includes('distance'))).to.deep.equal([]);
    expect(values['final_norm.weight']).to.deep.equal(new Array(8).fill(1));
    expect(values['final_norm.bias']).to.deep.equal(new Array(8).fill(0));
    const tokens = values['embed_tokens.weight'] as number[];
    expect(Math.sqrt(tokens.reduce((sum, x) => sum + x * x, 0) / tokens.length)).to.be.closeTo(0.02, 5 * 0.02 / Math.sqrt(2 * tokens.length));
    for (const [name, limit] of [['layers.0.qkv.weight', 8], ['layers.0.qkv.bias', 8], ['layers.1.fc2.weight', 16], ['layers.1.fc2.bias', 16]] as const) {
      const largest = Math.max(...(values[name] as number[]).map(Math.abs));
      expect(largest, name).to.be.within(0.7 / Math.sqrt(limit), 1 / Math.sqrt(limit));
    }
  });

  it('equal seeds give equal weights, bit for bit; another seed gives others', async () => {
    for (const config of [TINY_STUDENT, TINY_PAPER_STUDENT]) {
      const from = async (seed: number): Promise<Record<string, number[]>> => valuesOf(await startWith({ config, init: 'random', embeddings: 'random', ids: tinyIds(2, 6), random: createRandom(seed) }));
      const first = await from(1);
      expect(await from(1)).to.deep.equal(first);
      expect((await from(2))['layers.0.qkv.weight']).to.not.deep.equal(first['layers.0.qkv.weight']);
    }
    const ids = tinyIds(2, 6);
    expect(await valuesOf(await startWith({ ids }))).to.deep.equal(await valuesOf(await startWith({ ids })));
  });

  it('another shape than the teacher’s starts at random: width, depth, heads', async () => {
    const config = { ...TINY_STUDENT, hiddenSize: 6, layers: 3, heads: 3, feedForwardSize: 10 };
    const done: number[] = [];
    const parameters = await startStudent({ config, init: 'random', embeddings: 'random', teacher: tinyTeacher(), ids: tinyIds(2, 6), calibration: CALIBRATION, random: createRandom(3) }, (layer) => done.push(layer));
    expect(Array.from(parameters, ([name, { shape }]) => [name, shape])).to.deep.equal([...parameterShapes(config)]);
    expect(done).to.deep.equal([1, 2, 3]);
    expect(await distanceToTeacher(parameters, config)).to.be.below(10);
  });

  it('projects the narrow embedding of a 350M-like teacher', async () => {
    const teacher = tinyTeacher();
    const parameters = new Map(teacher.parameters);
    parameters.set('embed_tokens.weight', tf.tensor2d(Float32Array.from({ length: 13 * 2 }, (_, i) => i), [13, 2]));
    parameters.set('project_in.weight', tf.tensor2d([1, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3], [2, 8]));
    parameters.set('project_out.weight', tf.zeros([8, 2]));
    const config = { ...teacher.config, embeddingSize: 2, normPlacement: 'post', hasFinalNorm: false } as const;
    const started = await startWith({ teacher: { config, parameters }, ids: tinyIds(2, 6) });
    // Token 3 is (6, 7): channel 0 gets 6, channel 1 gets 7, channel 7 gets 2·6 + 3·7.
    expectClose((await get(started, 'embed_tokens.weight').data()).slice(24, 32), [6, 7, 0, 0, 0, 0, 0, 33], { absolute: 1e-5 });
    expectClose(await get(started, 'final_norm.weight').data(), new Array<number>(8).fill(1), { absolute: 0 });
  });
});
