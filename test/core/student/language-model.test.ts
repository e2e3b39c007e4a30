import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { createRandom } from '../../../src/core/corpus/random.js';
import type { StudentConfig } from '../../../src/core/student/config.js';
import { studentLanguageModel } from '../../../src/core/student/language-model.js';
import { parameterShapes } from '../../../src/core/student/parameters.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { expectIncrementalEqualsFull } from '../../support/fake-language-model.js';

const base: StudentConfig = {
  vocabSize: 19, hiddenSize: 6, layers: 2, heads: 2, feedForwardSize: 10, contextLength: 11,
  neuron: { timeSteps: 2, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true },
  residualWrite: 'current', learnedNeurons: true, onOff: true, relativeBias: true, embeddingGain: 1, layerNormEps: 1e-5,
  bosId: null, eosId: null, padId: null,
};

/** A student with weights large enough that about a third of its neurons fire. */
function randomStudent(config: StudentConfig): { config: StudentConfig; parameters: Map<string, tf.Tensor> } {
  const random = createRandom(5);
  return { config, parameters: new Map(Array.from(parameterShapes(config), ([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const [centre, spread] = name.endsWith('.gain') ? [1, 0.2] : [0.1, 0.7];
    return [name, tf.tensor(Float32Array.from({ length: size }, () => centre + spread * random.normal()), [...shape])];
  })) };
}

const variants: Record<string, StudentConfig> = {
  'practical, T = 2': base,
  'practical, T = 4, hard reset': { ...base, neuron: { ...base.neuron, timeSteps: 4, reset: 'hard' } },
  'T = 1': { ...base, neuron: { ...base.neuron, timeSteps: 1 } },
  paper: { ...base, residualWrite: 'spike', learnedNeurons: false, onOff: false, relativeBias: false, embeddingGain: 2, neuron: { ...base.neuron, timeSteps: 4 } },
};
const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];

/** On a CPU each row of a product is summed in the same order whatever stands beside it; a GPU may choose its order by shape. */
const toleranceOn = (backend: string): number => (backend === 'cpu' || backend === 'wasm' ? 0 : 1e-5);
const expectSame = (actual: ArrayLike<number>, expected: ArrayLike<number>, backend: string): void =>
  expectClose(actual, expected, { absolute: toleranceOn(backend) }, 'logits');

describeOnBackends('student as a language model', (backend) => {
  // Every number of past tokens is another set of programs for a WebGPU adapter to compile; its resets are compared in contracts/lif.
  const isSlow = backend === 'webgpu';
  const sequence = isSlow ? ids.slice(0, 6) : ids;
  for (const [name, config] of Object.entries(variants).filter(([, { neuron }]) => !(isSlow && neuron.reset === 'hard'))) {
    it(`${name}: decoding token by token and in pieces gives the logits of the full forward (bit for bit on a CPU)`, async () => {
      const model = studentLanguageModel(randomStudent(config));
      const before = tf.memory().numTensors;
      await expectIncrementalEqualsFull(model, sequence, toleranceOn(backend));
      const [full] = await model.forward([sequence]);
      const session = model.openSession();
      await session.append(ids.slice(0, 4));
      const fork = session.fork();
      const rest = await session.append(sequence.slice(4));
      expectSame(rest.logits, full?.logits.slice((sequence.length - 1) * config.vocabSize) ?? [], backend);
      expect(fork.length).to.equal(4);
      expectSame((await fork.append(sequence.slice(4))).logits, rest.logits, backend);
      session.dispose();
      fork.dispose();
      expect(tf.memory().numTensors, 'tensors left behind').to.equal(before);
      model.dispose();
    });

    it(`${name}: a token never changes what was computed before it (causality), and a batch computes what its rows do alone`, async () => {
      const model = studentLanguageModel(randomStudent(config));
      const other = [...ids.slice(0, 7), 11, 12, 13, 14];
      const [a, b] = await model.forward([ids, other]);
      const [alone] = await model.forward([ids]);
      const upTo = 7 * config.vocabSize;
      expectSame(a?.logits.slice(0, upTo) ?? [], b?.logits.slice(0, upTo) ?? [], backend);
      expect(Array.from(a?.logits ?? [])).to.not.deep.equal(Array.from(b?.logits ?? []));
      expectSame(a?.logits ?? [], alone?.logits ?? [], backend);
      expect(a?.counts).to.deep.equal(alone?.counts);
      model.dispose();
    });
  }

  it('refuses ids outside the vocabulary and sequences longer than the context', async () => {
    const model = studentLanguageModel(randomStudent(base));
    const failure = async (sequence: number[]): Promise<unknown> => model.forward([sequence]).then(() => null, (error: unknown) => error);
    expect(await failure([1, 19])).to.include({ exitCode: 5 }).with.property('message', "token id 19 at position 1 is outside the model's vocabulary of 19");
    expect(await failure([...ids, 1])).to.include({ exitCode: 5 }).with.property('message', "12 tokens are more than the model's context of 11");
    model.dispose();
  });
});

describeOnBackends('operation counts of a student', () => {
  it('one layer whose every neuron fires once a time step, by hand', async () => {
    // D 2, H 1, F 3, V 4, T 2, on/off, 3 tokens. A bias of 5 makes a neuron fire at both steps (u = 5, then 5 + .9·5 − 1); the
    // distance current does the same in attention, so all 6 causal pairs fire. 2 steps × 3 tokens = 6 neuron visits per channel.
    const config: StudentConfig = { ...base, vocabSize: 4, hiddenSize: 2, layers: 1, heads: 1, feedForwardSize: 3, contextLength: 3 };
    const parameters = new Map(Array.from(parameterShapes(config), ([name, shape]) =>
      [name, name.endsWith('bias') && !name.startsWith('final') ? tf.fill([...shape], 5) : name.endsWith('.gain') ? tf.ones([...shape]) : tf.zeros([...shape])]));
    const model = studentLanguageModel({ config, parameters });
    const [result] = await model.forward([[0, 1, 2]]);
    const { counts } = result as NonNullable<typeof result>;
    const site = (name: string): unknown => counts?.sites.find((candidate) => candidate.site === name);
    expect(site('attention_entry')).to.deep.equal({ layer: 0, site: 'attention_entry', spikes: 24, slots: 24, accumulates: 144 }); // 4 channels · 6, each into 3·2 outputs
    expect(site('query')).to.deep.equal({ layer: 0, site: 'query', spikes: 12, slots: 12, accumulates: 24 }); // 2·2 a token, meeting 1, 2, 3 keys
    expect(site('key')).to.deep.equal({ layer: 0, site: 'key', spikes: 12, slots: 12, accumulates: 0 });
    expect(site('value')).to.deep.equal({ layer: 0, site: 'value', spikes: 12, slots: 12, accumulates: 0 });
    expect(site('attention')).to.deep.equal({ layer: 0, site: 'attention', spikes: 12, slots: 12, accumulates: 24 }); // 6 pairs · 2, each a value of width 2
    expect(site('attention_out')).to.deep.equal({ layer: 0, site: 'attention_out', spikes: 12, slots: 12, accumulates: 24 });
    expect(site('feed_forward_entry')).to.deep.equal({ layer: 0, site: 'feed_forward_entry', spikes: 12, slots: 24, accumulates: 36 }); // out's bias makes the stream 5: +x sees 10 and fires, −x sees 0
    expect(site('hidden')).to.deep.equal({ layer: 0, site: 'hidden', spikes: 18, slots: 18, accumulates: 36 });
    expect(counts).to.include({ tokens: 3, macs: 3 * (2 + 2 * 4), popcounts: 12 });
    model.dispose();
  });
});
