import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { alignmentTargets } from '../../src/core/distill/attention-loss.js';
import { createProjections } from '../../src/core/distill/projections.js';
import { spadTerms } from '../../src/core/distill/spad.js';
import type { LossInputs } from '../../src/core/distill/total-loss.js';
import { liveSource } from '../../src/core/distill/teacher-source.js';
import { comparedAttention, totalLoss } from '../../src/core/distill/total-loss.js';
import { createRandom } from '../../src/core/corpus/random.js';
import { batchTensors } from '../../src/core/ops/batch-tensors.js';
import type { Readout } from '../../src/core/ops/readout.js';
import { readoutLogits } from '../../src/core/ops/readout.js';
import { runHeld } from '../../src/core/ops/recompute.js';
import { streamProbabilities } from '../../src/core/ops/softmax-attention.js';
import { spikingAttention } from '../../src/core/ops/spiking-attention.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { layerAttention } from '../../src/core/student/attention.js';
import { studentForward } from '../../src/core/student/forward.js';
import { assertBinary, binaryWatch, CHECKED_AT_ONCE, joinRates, observeBoth, rateCollector } from '../../src/core/student/observe.js';
import { parameterShapes } from '../../src/core/student/parameters.js';
import { describeOnBackends, expectClose } from '../support/backends.js';
import type { ReferenceCase } from '../support/student-reference.js';
import { distillSettingsOfCase, referenceCases, studentConfigOfCase, studentParametersOfCase, teacherOfCase } from '../support/student-reference.js';

type CaseResult = LossInputs & {
  readonly maps: readonly tf.Tensor4D[]; readonly logits: Record<'student' | 'teacher', tf.Tensor>;
  readonly total: tf.Scalar; readonly gradients: tf.NamedTensorMap; readonly terms: Record<string, tf.Scalar>;
};

/** Everything a distillation step computes on one case; nothing but its result is kept. */
function tidyCase(reference: ReferenceCase): CaseResult {
  let result: CaseResult | null = null;
  tf.tidy(() => {
    result = runCase(reference);
    return [result.student, result.teacher, result.terms, result.gradients, result.total, result.rates, result.maps, result.logits] as unknown as tf.TensorContainer;
  });
  return result as unknown as CaseResult;
}

/** Everything a distillation step computes on one case; the caller's tidy owns the tensors. */
function runCase(reference: ReferenceCase): CaseResult {
  const config = studentConfigOfCase(reference);
  const initial = studentParametersOfCase(reference, parameterShapes(config).keys());
  const parameters = new Map(Array.from(initial, ([name, tensor]) => [name, tf.variable(tensor, true)] as const));
  const teacher = teacherOfCase(reference);
  const { ids, labels, labelled } = batchTensors(Int32Array.from(reference.batch.values), (reference.batch.shape[1] ?? 0) - 1);
  const projections = createProjections({ student: config.hiddenSize, teacher: config.hiddenSize }, 'normalised', createRandom(0));
  const terms = spadTerms({ settings: distillSettingsOfCase(reference), student: config, teacher: teacher.config, projections }, parameters);
  const targets = liveSource(teacher).targets({ tokens: new Int32Array(), starts: new Int32Array() }, ids);
  let qkv: tf.Tensor[] = [];
  const inputs = (): LossInputs => {
    qkv = [];
    const { observe, rates } = rateCollector();
    const aligned = comparedAttention(terms);
    const student = studentForward({ config, parameters }, ids, {
      observe: observeBoth(observe, ({ site, spikes }) => { if (site === 'query') qkv.push(spikes); }),
      alignTo: aligned === undefined ? null : alignmentTargets(targets.attention, aligned),
    });
    return { student, teacher: targets, labels, labelled, rates: joinRates(rates), run: runHeld };
  };
  const { grads } = tf.variableGrads(() => totalLoss(terms, inputs()).total, [...parameters.values()]);
  const gradients = Object.fromEntries(Array.from(parameters, ([name, variable]) => [name, grads[variable.name] as tf.Tensor]));
  const found = inputs();
  const maps = qkv.map((spikes, layer) =>
    spikingAttention(layerAttention(tf.reshape(spikes, [config.neuron.timeSteps, ...ids.shape, 3 * config.hiddenSize]), layer, { config, parameters }), config.neuron).meanMap);
  const logits = { student: readoutLogits(found.student.readout), teacher: readoutLogits(found.teacher.readout as Readout) };
  return { ...found, ...totalLoss(terms, found), gradients, maps, logits };
}

for (const preset of ['practical', 'paper'] as const) {
  const cases = referenceCases(preset);
  describeOnBackends(`distillation step, preset ${preset}, against the independent float64 implementation`, () => {
    // One step takes a software adapter seconds; all tests of a case look at the same one.
    const computed = new Map<ReferenceCase, CaseResult>();
    const stepOf = (reference: ReferenceCase): CaseResult => {
      const result = computed.get(reference) ?? tidyCase(reference);
      computed.set(reference, result);
      return result;
    };

    for (const reference of cases) {
      const logits = { absolute: 2e-4, relative: 1e-4 };

      it(`${reference.name}: teacher logits, hidden states and attention`, async () => {
        const { teacher, logits: found } = stepOf(reference);
        expectClose(await found.teacher.data(), reference.teacher.logits, logits, 'teacher logits');
        for (const [i, hidden] of [teacher.embedding, ...teacher.hidden].entries()) {
          expectClose(await hidden.data(), reference.teacher.hidden[i] ?? [], logits, `teacher hidden state ${i}`);
        }
        for (const [i, attention] of teacher.attention.entries()) {
          const map = attention.kind === 'maps' ? attention.probabilities : tf.tidy(() => streamProbabilities(attention));
          expectClose(await map.data(), reference.teacher.attention[i] ?? [], { absolute: 1e-5 }, `attention of layer ${i}`);
        }
      });

      it(`${reference.name}: student logits, streams, attention maps and firing rates`, async () => {
        const { student, rates, maps, logits: found } = stepOf(reference);
        expectClose(await found.student.data(), reference.student.logits, logits, 'student logits');
        expectClose(await student.embedding.data(), reference.student.embedding, { absolute: 1e-5 }, 'embedding');
        for (const [i, stream] of student.hidden.entries()) expectClose(await stream.data(), reference.student.features[i] ?? [], logits, `stream ${i}`);
        expect(maps).to.have.lengthOf(reference.student.attention.length);
        for (const [i, map] of maps.entries()) expectClose(await map.data(), reference.student.attention[i] ?? [], { absolute: 1e-6 }, `map ${i}`);
        const expected = new Map(reference.student.rates.map(({ layer, site, rate }) => [`${layer} ${site}`, rate]));
        const names = rates.sites.map(({ layer, site }) => `${layer} ${site}`);
        expect(names).to.have.members([...expected.keys()]);
        expectClose(await rates.values.data(), names.map((name) => expected.get(name) ?? NaN), { absolute: 1e-6 }, `rates of ${names.join(', ')}`);
      });

      it(`${reference.name}: every loss term and the total`, async () => {
        const { terms, total } = stepOf(reference);
        for (const [name, term] of Object.entries(terms)) {
          const weight = reference.losses.weights[name as keyof typeof reference.losses.weights];
          expectClose(await term.data(), [weight * (reference.terms[name] ?? NaN)], { absolute: 1e-5, relative: 1e-4 }, name);
        }
        const switchedOn = Object.entries(reference.losses.weights).filter(([, weight]) => weight > 0).map(([name]) => name);
        expect(Object.keys(terms)).to.have.members(switchedOn);
        expectClose(await total.data(), [reference.total], { absolute: 1e-5, relative: 1e-4 }, 'total');
      });

      it(`${reference.name}: gradient of the total with respect to every parameter`, async () => {
        const { gradients } = stepOf(reference);
        expect(Object.keys(gradients)).to.have.members(Object.keys(reference.gradients));
        for (const [name, gradient] of Object.entries(gradients)) {
          expectClose(await gradient.data(), reference.gradients[name] ?? [], { absolute: 2e-5, relative: 2e-3 }, `gradient of ${name}`);
        }
      });

      it(`${reference.name}: nothing but 0 and 1 enters a matrix product`, async () => {
        const config = studentConfigOfCase(reference);
        const watch = binaryWatch(config.neuron.timeSteps);
        let spikes = 0;
        tf.tidy(() => {
          const parameters = studentParametersOfCase(reference, parameterShapes(config).keys());
          const { ids } = batchTensors(Int32Array.from(reference.batch.values), (reference.batch.shape[1] ?? 0) - 1);
          studentForward({ config, parameters }, ids, { observe: observeBoth(watch.observe, () => { spikes += 1; }), alignTo: null });
        });
        await assertBinary(watch.violations);
        expect(watch.violations).to.have.lengthOf(spikes).and.not.be.empty;
      });
    }
  });
}

describe('the watch for binary matrix inputs', () => {
  before(async () => { await prepareBackend('wasm'); });

  it('names layer and site of the first value that is neither 0 nor 1', async () => {
    const watch = binaryWatch(2);
    watch.observe({ layer: 0, site: 'attention_entry', spikes: tf.tensor3d([0, 1, 1, 0], [1, 2, 2]), rates: null });
    watch.observe({ layer: 3, site: 'hidden', spikes: tf.tensor3d([0, 1, 0.5, 0], [1, 2, 2]), rates: null });
    const error = await assertBinary(watch.violations).then(() => null, (thrown: unknown) => thrown);
    expect(error).to.have.property('exitCode', 7);
    expect(error).to.have.property('message').that.includes('layer 3, site hidden: 1 values outside {0,1}');
  });

  it('finds every such value among more spikes than it looks at together', async () => {
    const rows = 3;
    const spikes = new Float32Array(rows * (CHECKED_AT_ONCE / 2 + 1));
    for (let i = 0; i < spikes.length; i += 7) spikes[i] = 1;
    for (const [at, value] of [[0, 2], [CHECKED_AT_ONCE - 1, 0.5], [CHECKED_AT_ONCE, -1], [spikes.length - 1, Number.NaN]] as const) spikes[at] = value;
    const watch = binaryWatch(rows);
    watch.observe({ layer: 1, site: 'query', spikes: tf.tensor3d(spikes, [rows, 1, spikes.length / rows]), rates: null });
    expect(await assertBinary(watch.violations).then(() => null, (thrown: Error) => thrown.message)).to.include('layer 1, site query: 4 values');
  });

  it('takes attention counts for what they are: whole numbers up to T for every key that a query sees', async () => {
    const sound = binaryWatch(4);
    sound.observe({ layer: 0, site: 'attention', spikes: tf.tensor3d([4, 8, 0, 7], [1, 2, 2]), rates: null });
    await assertBinary(sound.violations);
    const broken = binaryWatch(4);
    broken.observe({ layer: 0, site: 'attention', spikes: tf.tensor3d([5, 8, 1.3, -1], [1, 2, 2]), rates: null });
    expect(await assertBinary(broken.violations).then(() => null, (thrown: Error) => thrown.message)).to.include('site attention: 3 values');
  });
});
