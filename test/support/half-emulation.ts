import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import { halfPass } from '../../src/core/backend/product-precision.js';

/** Products of the wasm backend, and which of their inputs are matrices of real numbers; spikes are exact in float16, and packed. */
const PRODUCTS = { BatchMatMul: ['a', 'b'], _FusedMatMul: ['a', 'b'], BispikSpikeMatMul: ['w'], BispikSpikeMatMulGradW: ['dy'] } as const;

/**
 * Lets the wasm backend multiply as a GPU with float16 does in passes that ask for it: matrices are scaled by a power of two that brings their
 * largest magnitude into [2^14, 2^15), rounded to float16, and scaled back (exact), so that sums are float32 ones of rounded inputs.
 * @param observe sees every matrix before it is rounded. @returns what puts the backend's own products back.
 */
export function emulateHalfProducts(observe: (kernel: string, input: string, values: Float32Array) => void = () => {}): () => void {
  const undo = Object.entries(PRODUCTS).map(([kernelName, matrices]) => {
    const kernel = tf.getKernel(kernelName, 'wasm');
    const register = (kernelFunc: KernelFunc): void => {
      tf.unregisterKernel(kernelName, 'wasm');
      tf.registerKernel({ ...kernel, kernelFunc });
    };
    register((call) => {
      if (halfPass() === null) return kernel.kernelFunc(call);
      const rounded = Object.fromEntries(matrices.map((name) => {
        const { dataId, shape, dtype } = call.inputs[name] as TensorInfo;
        const values = tf.backend().readSync(dataId) as Float32Array;
        observe(kernelName, name, values);
        return [name, { dataId: tf.backend().write(roundScaled(values), shape, dtype as 'float32'), shape, dtype }];
      }));
      const outputs = kernel.kernelFunc({ ...call, inputs: { ...call.inputs, ...rounded } });
      for (const { dataId } of Object.values(rounded)) tf.backend().disposeData(dataId);
      return outputs;
    });
    return () => { register(kernel.kernelFunc); };
  });
  return () => { for (const restore of undo) restore(); };
}

/** A tensor's values as float16 holds them after scaling, scaled back. */
export function roundScaled(values: Float32Array): Float32Array {
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const scale = largest === 0 || !Number.isFinite(largest) ? 1 : 2 ** (14 - Math.floor(Math.log2(largest)));
  return values.map((x) => roundToHalf(x * scale) / scale);
}

/** The nearest float16, ties to even; infinity from 65520 on. */
export function roundToHalf(x: number): number {
  const magnitude = Math.abs(x);
  if (!(magnitude < 65_520)) return Number.isNaN(x) ? x : Math.sign(x) * Infinity;
  const spacing = 2 ** Math.max(-24, Math.floor(Math.log2(magnitude || 1)) - 10);
  const [steps, floor] = [magnitude / spacing, Math.floor(magnitude / spacing)];
  const up = steps - floor > 0.5 || (steps - floor === 0.5 && floor % 2 === 1);
  return Math.sign(x) * (floor + Number(up)) * spacing;
}
