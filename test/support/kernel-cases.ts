import * as tf from '@tensorflow/tfjs-core';

/** Seeded numbers for kernel tests: a 32-bit xorshift, independent of the generator under test elsewhere. */
export function numbers(seed: number): { uniform(): number; floats(n: number, scale?: number): Float32Array; spikes(n: number, rate: number): Float32Array; below(n: number): number } {
  let state = (seed * 2654435761 + 1013904223) >>> 0 || 1;
  const uniform = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    return state / 4294967296;
  };
  return {
    uniform,
    floats: (n, scale = 1) => Float32Array.from({ length: n }, () => (uniform() * 2 - 1) * scale),
    spikes: (n, rate) => Float32Array.from({ length: n }, () => (uniform() < rate ? 1 : 0)),
    below: (n) => Math.floor(uniform() * n),
  };
}

export type KernelInputs = Readonly<Record<string, { readonly values: Float32Array | Int32Array; readonly shape: readonly number[] }>>;
export interface KernelOutput { readonly values: Float32Array; readonly shape: number[] }

/** Runs a kernel of the active backend on plain arrays and gives its outputs back as plain arrays; frees everything. */
export function callKernel(name: string, inputs: KernelInputs, attrs: tf.NamedAttrMap = {}): KernelOutput[] {
  return tf.tidy(() => launch(name, inputs, attrs).map((y) => ({ values: y.dataSync<'float32'>(), shape: y.shape })));
}

/** The same where values cannot be read at once. */
export async function awaitKernel(name: string, inputs: KernelInputs, attrs: tf.NamedAttrMap = {}): Promise<KernelOutput[]> {
  const outputs = tf.tidy(() => launch(name, inputs, attrs));
  const read = await Promise.all(outputs.map(async (y) => ({ values: await y.data<'float32'>(), shape: y.shape })));
  tf.dispose(outputs);
  return read;
}

function launch(name: string, inputs: KernelInputs, attrs: tf.NamedAttrMap): tf.Tensor[] {
  const tensors: tf.NamedTensorMap = {};
  for (const [key, { values, shape }] of Object.entries(inputs)) {
    tensors[key] = tf.tensor(values, [...shape], values instanceof Int32Array ? 'int32' : 'float32');
  }
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(name, tensors, attrs);
  return Array.isArray(outputs) ? outputs : [outputs];
}

/** Largest |a − b| relative to the largest |b| (at least 1e-6). NaN when either holds one or the lengths differ. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.NaN;
  let [difference, size] = [0, 1e-6];
  for (let i = 0; i < b.length; i++) {
    const [x = Number.NaN, y = Number.NaN] = [a[i], b[i]];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN;
    difference = Math.max(difference, Math.abs(x - y));
    size = Math.max(size, Math.abs(y));
  }
  return difference / size;
}
