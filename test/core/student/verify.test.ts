import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { BackendError, NumericError } from '../../../src/core/errors.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import type { StudentConfig } from '../../../src/core/student/config.js';
import type { BlockVerification } from '../../../src/core/student/verify.js';
import { verifyBlocks } from '../../../src/core/student/verify.js';
import { tinyStudentParameters, TINY_PAPER_STUDENT, TINY_STUDENT } from '../../support/tiny-models.js';

const IDS = [3, 1, 4, 1, 5];

function verify(config: StudentConfig): BlockVerification {
  const parameters = tinyStudentParameters(config, 5);
  try {
    return verifyBlocks({ config, parameters }, IDS);
  } finally {
    tf.dispose([...parameters.values()]);
  }
}

/** Runs `body` with a kernel of the cpu backend replaced. */
function withKernel(name: string, kernelFunc: tf.KernelFunc, body: () => void): void {
  const original = tf.getKernel(name, 'cpu');
  tf.unregisterKernel(name, 'cpu');
  tf.registerKernel({ kernelName: name, backendName: 'cpu', kernelFunc });
  try {
    body();
  } finally {
    tf.unregisterKernel(name, 'cpu');
    tf.registerKernel(original);
  }
}

describe('verification of blocks', () => {
  before(() => prepareBackend('cpu'));

  for (const [name, config] of [['practical', TINY_STUDENT], ['paper', TINY_PAPER_STUDENT], ['no pairs, T 1', { ...TINY_STUDENT, onOff: false, neuron: { ...TINY_STUDENT.neuron, timeSteps: 1 } }]] as const) {
    it(`${name}: every product of every layer was looked at, value by value`, () => {
      const { tokens, sites, neuronMultiplications, otherKernels } = verify(config);
      expect(tokens).to.equal(5);
      const { hiddenSize: D, feedForwardSize: F, heads, layers, neuron: { timeSteps: T } } = config;
      const E = config.onOff ? 2 * D : D;
      const rows = T * IDS.length;
      // Per layer: spikes (T·L, E) into qkv, queries and keys (T, H, L, K) each, attention spikes (T, H, L, L) and values, then (T·L, D), (T·L, E) and (T·L, F).
      const expected = Array.from({ length: layers }, (_, layer) => [
        { layer, site: 'attention_entry', products: 1, values: rows * E },
        { layer, site: 'query', products: 2, values: 3 * rows * D + T * heads * IDS.length ** 2 },
        { layer, site: 'attention_out', products: 1, values: rows * D },
        { layer, site: 'feed_forward_entry', products: 1, values: rows * E },
        { layer, site: 'hidden', products: 1, values: rows * F },
      ]).flat();
      expect(sites).to.deep.equal(expected);
      expect(neuronMultiplications).to.be.above(0);
      expect(Object.keys(otherKernels)).to.not.include.members(['Softmax', 'Exp', 'Multiply']);
    });
  }

  it('a neuron that fires by halves is found, with layer and site', () => {
    const lif = tf.getKernel('BispikLif', 'cpu').kernelFunc;
    let calls = 0;
    const half: tf.KernelFunc = (call) => {
      const outputs = lif(call) as tf.Tensor[];
      // The fifth neurons of a layer are the hidden ones; those of layer 1 come tenth.
      return ++calls === 10 ? [tf.mul(outputs[0] as tf.Tensor, 0.5), outputs[1] as tf.Tensor] : outputs;
    };
    withKernel('BispikLif', half, () => {
      expect(() => verify(TINY_STUDENT)).to.throw(NumericError, 'layer 1, site hidden: 0.5 enters a matrix product; only 0 and 1 may');
    });
  });

  it('a softmax in a block is found', () => {
    const lif = tf.getKernel('BispikLif', 'cpu').kernelFunc;
    withKernel('BispikLif', (call) => {
      tf.softmax(tf.ones([2, 2]));
      return lif(call);
    }, () => {
      expect(() => verify(TINY_STUDENT)).to.throw(NumericError, /^layer 0, after site attention_entry: the kernel Softmax runs in a block/);
    });
  });

  it('a product of real numbers outside neurons is found', () => {
    const add = tf.getKernel('Add', 'cpu').kernelFunc;
    withKernel('Add', (call) => {
      if (call.inputs['a']?.shape.length === 3) tf.mul(2, 3);
      return add(call);
    }, () => {
      expect(() => verify(TINY_STUDENT)).to.throw(NumericError, /the kernel Multiply runs in a block/);
    });
  });

  it('leaves the kernels as they were, also after a failure', () => {
    const before = tf.getKernelsForBackend('cpu').map(({ kernelFunc }) => kernelFunc);
    verify(TINY_STUDENT);
    expect(() => verifyBlocks({ config: TINY_STUDENT, parameters: new Map() }, IDS)).to.throw();
    expect(tf.getKernelsForBackend('cpu').map(({ kernelFunc }) => kernelFunc)).to.have.members(before);
  });

  it('another backend is refused: our own kernels must not vouch for themselves', async () => {
    await prepareBackend('wasm');
    expect(() => verify(TINY_STUDENT)).to.throw(BackendError, 'not on wasm');
    await prepareBackend('cpu');
  });
});
