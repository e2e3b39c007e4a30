import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { distillConfigSchema } from '../../../src/core/config/schema.js';
import type { TokenBatch } from '../../../src/core/corpus/batches.js';
import { createRandom } from '../../../src/core/corpus/random.js';
import { createProjections } from '../../../src/core/distill/projections.js';
import { spadTerms } from '../../../src/core/distill/spad.js';
import { studentConfigOf } from '../../../src/core/distill/student-config.js';
import { liveSource } from '../../../src/core/distill/teacher-source.js';
import { createDistillTask } from '../../../src/core/distill/training-task.js';
import { adamUpdate, initAdam } from '../../../src/core/train/optimizer.js';
import { partsOf } from '../../../src/core/distill/total-loss.js';
import { ConfigError } from '../../../src/core/errors.js';
import { readoutLogits } from '../../../src/core/ops/readout.js';
import { ignoreSpikes } from '../../../src/core/student/observe.js';
import { studentForward } from '../../../src/core/student/forward.js';
import { fillEmbeddings } from '../../../src/core/student/initial-values.js';
import { parameterShapes } from '../../../src/core/student/parameters.js';
import type { OptConfig } from '../../../src/core/teacher/config.js';
import { backward } from '../../../src/core/train/backward.js';
import { soloRunner, tensorsOf } from '../../../src/core/train/passes.js';
import { trainStep } from '../../../src/core/train/step.js';
import type { TrainingTask } from '../../../src/core/train/task.js';
import { describeOn, describeOnBackends, expectClose } from '../../support/backends.js';
import { TINY_STUDENT, tinyIds, tinyStudentParameters, tinyTeacher } from '../../support/tiny-models.js';

const STUDENT = { ...TINY_STUDENT, hiddenSize: 6, layers: 1, neuron: { ...TINY_STUDENT.neuron, timeSteps: 2 } };
const TEACHER: OptConfig = {
  ...TINY_STUDENT, family: 'opt', embeddingSize: 8, normPlacement: 'pre', hasFinalNorm: true, activation: 'relu', hasBias: true, hasNormAffine: true, tiedHead: true,
};
const TERMS = ['ea', 'saa', 'sfa', 'sta', 'hta', 'rateLoss'];
const settings = (change: Record<string, unknown> = {}) => distillConfigSchema.parse({ run: 'r', teacher: 't', distill: { featureForm: 'projected', ...change } }).distill;
const batch = (): TokenBatch => ({ tokens: tinyIds(2, 7).dataSync<'int32'>().slice(), starts: Int32Array.of(0, 7) });

interface Made { readonly task: TrainingTask; readonly exported: string[][] }

/** A student of width 6 and depth 1 under a teacher of width 8 and depth 2, so that everything has to be aligned. */
function makeTask(change: { checkBinary?: boolean; recompute?: boolean; context?: number } = {}): Made {
  const teacher = tinyTeacher();
  const projections = createProjections({ student: 6, teacher: 8 }, 'projected', createRandom(2));
  const exported: string[][] = [];
  const task = createDistillTask({
    config: STUDENT, source: liveSource(teacher), context: change.context ?? 6, checkBinary: change.checkBinary ?? true, recompute: change.recompute ?? false,
    initial: new Map([...tinyStudentParameters(STUDENT), ...projections.parameters]),
    terms: (parameters) => spadTerms({ settings: settings(), student: STUDENT, teacher: teacher.config, projections }, parameters),
    exportStudent: async (parameters) => { exported.push([...parameters.keys()]); },
  });
  return { task, exported };
}

describeOnBackends('distillation task', (backend) => {
  it('gives every term, weighted, their sum, and the rate of every site; every parameter and projection gets a gradient', async function () {
    // The contract with the reference implementation has gradients on WebGPU; another pass takes a software adapter 20 s.
    if (backend === 'webgpu') this.skip();
    const { task } = makeTask();
    let losses: ReturnType<TrainingTask['losses']> | null = null;
    const tokens = batch();
    const { value, gradients } = tf.tidy(() => {
      const result = backward(task.parameters, () => {
        losses = task.losses(tokens);
        tensorsOf(losses).forEach((tensor) => tf.keep(tensor));
        return losses.total;
      });
      [result.value, ...result.gradients.values()].forEach((tensor) => tf.keep(tensor));
      return result as never;
    }) as ReturnType<typeof backward>;
    const { terms, rates } = losses as unknown as ReturnType<TrainingTask['losses']>;
    expect(Object.keys(terms)).to.deep.equal(TERMS);
    const values = await Promise.all(Object.values(terms).map(async (term) => (await term.data())[0] as number));
    values.forEach((term, i) => expect(term, TERMS[i]).to.be.above(0));
    expectClose(await value.data(), [values.reduce((a, b) => a + b)], { absolute: 1e-5 });
    expect(rates?.sites.map(({ site }) => site)).to.have.members(['attention_entry', 'query', 'key', 'value', 'attention', 'attention_out', 'feed_forward_entry', 'hidden']);
    const found = Array.from(await (rates?.values as tf.Tensor).data());
    expect(found).to.have.lengthOf(8);
    for (const rate of found) expect(rate).to.be.within(0, 1);
    expect([...gradients.keys()]).to.deep.equal([...task.parameters.keys()]);
    for (const [name, gradient] of gradients) expect((await tf.max(tf.abs(gradient)).data())[0], name).to.be.above(0);
    task.dispose();
  });

  it('gives each term alone with the gradient it has in the total', async function () {
    if (backend === 'webgpu') this.skip();
    const { task } = makeTask();
    const tokens = batch();
    const norms = async (gradients: ReadonlyMap<string, tf.Tensor>): Promise<number[]> => Array.from(await (gradients.get('embed_tokens.weight') ?? tf.zeros([13, 6])).data());
    const whole = backward(task.parameters, () => task.losses(tokens).total);
    const sum = new Array<number>(13 * 6).fill(0);
    for (const name of TERMS) {
      const { value, gradients } = backward(task.parameters, () => task.termLoss(tokens, name));
      const alone = tf.tidy(() => task.losses(tokens).terms[name] as tf.Scalar);
      expectClose(await value.data(), await alone.data(), { absolute: 1e-6 }, name);
      (await norms(gradients)).forEach((x, i) => { sum[i]! += x; });
      tf.dispose([value, alone, ...gradients.values()]);
    }
    expectClose(sum, await norms(whole.gradients), { absolute: 1e-6 }, 'gradient of the embedding');
    tf.dispose([whole.value, ...whole.gradients.values()]);
    task.dispose();
  });

  it('makes no tensor of the size of an attention map in a step, where attention is computed by tiles', async function () {
    if (backend !== 'webgpu') this.skip();
    const gpu = tf.backend() as unknown as { makeTensorInfo(shape: number[], ...rest: unknown[]): unknown };
    const make = gpu.makeTensorInfo.bind(gpu);
    const maps: string[] = [];
    gpu.makeTensorInfo = (shape, ...rest) => {
      if (shape.length > 3 && shape.at(-1) === 5 && shape.at(-2) === 5) maps.push(shape.join(' '));
      return make(shape, ...rest);
    };
    const { task } = makeTask({ checkBinary: false, context: 5 }); // 5 is the extent of nothing else
    const tokens = { tokens: tinyIds(2, 6).dataSync<'int32'>().slice(), starts: Int32Array.of(0, 6) };
    try {
      tf.tidy(() => { tf.matMul(tf.ones([2, 2, 5, 1]), tf.ones([2, 2, 1, 5])); });
      expect(maps.splice(0), 'a map is seen when there is one').to.not.be.empty;
      const { value } = tf.tidy(() => {
        const result = backward(task.parameters, () => task.losses(tokens).total);
        tf.keep(result.value);
        return result as never;
      }) as ReturnType<typeof backward>;
      expect((await value.data())[0]).to.be.above(0);
      value.dispose();
      expect(maps).to.deep.equal([]);
    } finally {
      gpu.makeTensorInfo = make;
      task.dispose();
    }
  });

  it('measures validation as the mean loss over all targets, and leaves no tensor behind', async () => {
    const { task } = makeTask();
    // 9 windows: one full group of eight and a rest; 2 where each shape costs seconds of compilation.
    const count = backend === 'webgpu' ? 2 : 9;
    const windows = Array.from({ length: count }, (_, i) => tinyIds(1, 7, 30 + i).dataSync<'int32'>().slice());
    const ids = tf.tensor2d(windows.flatMap((window) => [...window.slice(0, 6)]), [count, 6], 'int32');
    const logits = await tf.tidy(() => readoutLogits(studentForward({ config: STUDENT, parameters: task.parameters }, ids, { observe: ignoreSpikes, alignTo: null }).readout)).data();
    const targets = windows.flatMap((window) => [...window.slice(1)]);
    const expected = targets.map((target, i) => {
      const row = Array.from(logits.slice(i * 13, (i + 1) * 13));
      return Math.log(row.reduce((total, x) => total + Math.exp(x), 0)) - (row[target] as number);
    });
    const before = tf.memory().numTensors;
    const nll = await task.validNll(windows);
    expect(tf.memory().numTensors).to.equal(before);
    expectClose([nll], [expected.reduce((a, b) => a + b) / (6 * count)], { absolute: 1e-4 });
    task.dispose();
  });

  it('keeps gains at .02 or more and touches nothing else', async () => {
    const { task } = makeTask();
    const gain = task.parameters.get('layers.0.attention.gain') as tf.Variable;
    const bias = task.parameters.get('layers.0.attention_out.bias') as tf.Variable;
    tf.tidy(() => {
      gain.assign(tf.tensor1d([-3, 0.5]));
      bias.assign(tf.fill([6], -1));
    });
    const gradients = new Map([['layers.0.attention.gain', tf.zeros([2])], ['layers.0.attention_out.bias', tf.zeros([6])]]);
    adamUpdate(task, { gradients, state: initAdam(task.parameters) }, { learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0, gradientScale: 1 });
    expect([...task.lowerBounds.keys()]).to.deep.equal([...task.parameters.keys()].filter((name) => name.endsWith('.gain')));
    expectClose(await gain.data(), [0.02, 0.5], { absolute: 1e-9 });
    expectClose(await bias.data(), new Array<number>(6).fill(-1), { absolute: 0 });
    task.dispose();
  });

  it('exports the student without its projections, in file order, and frees exactly its parameters', async () => {
    const before = tf.memory().numTensors;
    const { task, exported } = makeTask();
    await task.exportModel('somewhere');
    expect(exported).to.deep.equal([[...parameterShapes(STUDENT).keys()]]);
    expect([...task.parameters.keys()].filter((name) => name.startsWith('projection.'))).to.have.lengthOf(3);
    task.dispose();
    expect(tf.memory().numTensors - before, 'the teacher stays').to.equal(tinyTeacherSize());
  });
});

describeOn(['wasm', 'cpu'], 'distillation task', () => {
  it('trains a student that starts from the teacher’s embedding without touching the teacher', async () => {
    const config = { ...TINY_STUDENT, layers: 1, neuron: { ...TINY_STUDENT.neuron, timeSteps: 2 } };
    const teacher = tinyTeacher();
    const values = async (tensor: tf.Tensor | undefined): Promise<number[]> => [...await (tensor as tf.Tensor).data()];
    const before = await Promise.all(Array.from(teacher.parameters.values(), values));
    const initial = tinyStudentParameters(config);
    fillEmbeddings(initial, { config, embeddings: 'teacher', teacher, random: createRandom(1) });
    const projections = createProjections({ student: 8, teacher: 8 }, 'normalised', createRandom(2));
    const task = createDistillTask({
      config, source: liveSource(teacher), context: 6, checkBinary: true, recompute: false, initial,
      terms: (parameters) => spadTerms({ settings: settings({ featureForm: 'normalised' }), student: config, teacher: teacher.config, projections }, parameters), exportStudent: async () => undefined,
    });
    const options = { adam: { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1 }, learningRate: 0.1, clipNorm: 1, hasTermNorms: false, runner: soloRunner };
    let state = initAdam(task.parameters);
    for (let i = 0; i < 2; i++) ({ state } = await trainStep(task, { batches: [batch(), batch()], state }, options));
    expect(await Promise.all(Array.from(teacher.parameters.values(), values))).to.deep.equal(before);
    for (const [own, of] of [['embed_tokens.weight', 'embed_tokens.weight'], ['final_norm.bias', 'final_layer_norm.bias']] as const) {
      expect(await values(task.parameters.get(own)), own).not.to.deep.equal(await values(teacher.parameters.get(of)));
    }
    task.dispose();
  });
});

function tinyTeacherSize(): number {
  const { parameters } = tinyTeacher();
  tf.dispose([...parameters.values()]);
  return parameters.size;
}

describe('the list of loss terms', () => {
  const terms = (change: Record<string, unknown>) => spadTerms({
    settings: settings(change), student: TINY_STUDENT, teacher: TEACHER, projections: createProjections({ student: 8, teacher: 8 }, 'normalised', createRandom(1)),
  }, new Map());

  it('has the names metrics.jsonl promises and the weights of the configuration', () => {
    const weights = { embedding: 1, attention: 2, feature: 3, softTarget: 4, hardTarget: 5 };
    expect(terms({ weights, rateHinge: { weight: 6, target: 0.1 } }).flatMap(partsOf).map(({ name, weight }) => [name, weight])).to.deep.equal(TERMS.map((name, i) => [name, i + 1]));
  });

  it('refuses maps that do not fit, naming the key', () => {
    expect(() => terms({ layerMap: [0] })).to.throw(ConfigError, 'distill.layerMap has 1 entries, expected 2');
    expect(() => terms({ headMap: [0, 2] })).to.throw(ConfigError, 'distill.headMap[1] is 2, expected an integer from 0 to 1');
  });
});

describe('the student a run configures', () => {
  it('has the settings of the file, the teacher’s shape where there are none, and its special tokens', () => {
    const config = distillConfigSchema.parse({ run: 'r', teacher: 't', student: { timeSteps: 3, decay: 0.5, reset: 'hard', heads: 4, onOff: false, embeddingGain: 7 } });
    expect(studentConfigOf(config, { ...TEACHER, layerNormEps: 1e-6 })).to.deep.equal({
      vocabSize: 13, hiddenSize: 8, layers: 2, heads: 4, feedForwardSize: 16, contextLength: 12,
      neuron: { timeSteps: 3, decay: 0.5, threshold: 1, reset: 'hard', surrogate: 'atan', surrogateAlpha: 2, detachReset: true },
      residualWrite: 'current', learnedNeurons: true, onOff: false, relativeBias: true, embeddingGain: 7, layerNormEps: 1e-6, bosId: null, eosId: 2, padId: null,
    });
  });
});
