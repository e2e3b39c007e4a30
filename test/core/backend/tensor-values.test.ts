import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { copyValues, ownValues, setValues, tensorOf } from '../../../src/core/backend/tensor-values.js';
import { describeOn } from '../../support/backends.js';

const VALUES = [1.5, -0, 3e-39, 7, 1 / 3, -2e30].map(Math.fround);

describeOn(['wasm', 'cpu'], 'values of tensors in shared memory', () => {
  it('come out as they are, into a part of the memory', () => {
    const shared = new Float32Array(new SharedArrayBuffer(40), 8, 6);
    const tensor = tf.tensor2d(VALUES, [3, 2]);
    copyValues(tensor, shared);
    expect(Array.from(shared)).to.deep.equal(VALUES);
    expect(Array.from(new Float32Array(shared.buffer, 0, 2))).to.deep.equal([0, 0]);
    tensor.dispose();
  });

  it('make a tensor that stays as it is when the memory changes', () => {
    const shared = new Float32Array(new SharedArrayBuffer(24));
    shared.set(VALUES);
    const tensor = tensorOf(shared, [2, 3]);
    shared.fill(9);
    expect(tensor.shape).to.deep.equal([2, 3]);
    expect(Array.from(tensor.dataSync())).to.deep.equal(VALUES);
    tensor.dispose();
  });

  it('go into a variable, and other owners of its old values keep them', () => {
    const shared = new Float32Array(new SharedArrayBuffer(24));
    const variable = tf.variable(tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]));
    const other = tf.clone(variable);
    const before = tf.memory().numTensors;
    for (const factor of [1, 2]) {
      shared.set(VALUES.map((value) => value * factor));
      setValues(variable, shared);
      shared.fill(9);
      expect(Array.from(variable.dataSync())).to.deep.equal(VALUES.map((value) => Math.fround(value * factor)));
    }
    expect(Array.from(other.dataSync())).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([variable, other]);
  });

  it('become a variable’s own where others have them, and stay where nobody has', () => {
    const initial = tf.tensor1d(VALUES);
    const variable = tf.variable(initial);
    ownValues(variable);
    expect(variable.dataId).not.to.equal(initial.dataId);
    expect(Array.from(variable.dataSync())).to.deep.equal(VALUES);
    const { dataId } = variable;
    ownValues(variable);
    expect(variable.dataId).to.equal(dataId);
    tf.dispose([variable, initial]);
  });
});
