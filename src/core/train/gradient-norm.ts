import * as tf from '@tensorflow/tfjs-core';

import { hasKernel, output, runKernel } from '../ops/kernels.js';

/** Euclidean norms in float64. */
export interface GradientNorms {
  /** Over all tensors together. */ readonly total: number;
  readonly byTensor: ReadonlyMap<string, number>;
}

/** Below this a tensor is scaled as if its largest value were this, so that 1/scale stays finite in float32. */
const SMALLEST_SCALE = 1e-30;

/** True where a tensor can be read at once; WebGPU answers only later. */
export function canReadAtOnce(): boolean {
  return tf.getBackend() !== 'webgpu';
}

/**
 * Norms of gradients together with the values of `others`, read back once. Neither sum can overflow: float32 values are squared
 * in float64, or, where the data stay on the device, divided by their largest magnitude first. A tensor with a NaN or an
 * infinity in it has the norm NaN or Infinity, and so has the total.
 * @param others any float32 tensors, e.g. losses. Nothing given is disposed. @returns also all numbers of `others`, one behind the other.
 */
export async function readNorms(
  gradients: ReadonlyMap<string, tf.Tensor>, others: readonly tf.Tensor[],
): Promise<{ norms: GradientNorms; values: number[] }> {
  const names = [...gradients.keys()];
  const tensors = [...gradients.values()];
  if (canReadAtOnce()) {
    return { norms: combineNorms(names, readAtOnce(tensors)), values: others.flatMap((tensor) => Array.from(tensor.dataSync())) };
  }
  const numbers = await readTogether(() => [...others.map((tensor) => tf.reshape(tensor, [-1])), ...tensors.flatMap(scaledSquares)]);
  const values = numbers.splice(0, others.reduce((sum, { size }) => sum + size, 0));
  return { norms: combineNorms(names, names.map((_, i) => normFromParts(numbers[2 * i] as number, numbers[2 * i + 1] as number))), values };
}

/** Norms of tensors that can be read at once. */
function readAtOnce(tensors: readonly tf.Tensor[]): number[] {
  if (!hasKernel('BispikSquareSums')) return tensors.map((tensor) => normOf(tensor.dataSync()));
  const sums = output(runKernel('BispikSquareSums', tensors, {}), 0);
  const { buffer, byteOffset } = sums.dataSync<'float32'>().slice(); // each float64 lies there as two float32
  sums.dispose();
  return Array.from(new Float64Array(buffer, byteOffset, tensors.length), Math.sqrt);
}

/** Values of vectors in one transfer. */
async function readTogether(make: () => readonly tf.Tensor[]): Promise<number[]> {
  const packed = tf.tidy(() => {
    const vectors = make();
    return vectors.length === 0 ? [] : [tf.concat([...vectors])];
  });
  const numbers = await Promise.all(packed.map(async (tensor) => Array.from<number>(await tensor.data())));
  tf.dispose(packed);
  return numbers.flat();
}

/** √Σx² of float32 values, summed in float64, where the square of the largest one (1.2e77) is far from the end of the range. */
export function normOf(values: ArrayLike<number>): number {
  // Four sums, which the processor adds at the same time.
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += (values[i] as number) * (values[i] as number);
    b += (values[i + 1] as number) * (values[i + 1] as number);
    c += (values[i + 2] as number) * (values[i + 2] as number);
    d += (values[i + 3] as number) * (values[i + 3] as number);
  }
  for (let i = whole; i < values.length; i++) a += (values[i] as number) * (values[i] as number);
  return Math.sqrt(a + b + (c + d));
}

/** The largest magnitude a and Σ(x/a)² of a tensor, computed where it lies; the norm is a·√Σ. @returns each as (1), the caller's. */
export function scaledSquares(tensor: tf.Tensor): [scale: tf.Tensor, squares: tf.Tensor] {
  return tf.tidy(() => {
    const scale = tf.maximum(tf.max(tf.abs(tensor)), SMALLEST_SCALE);
    return [scale, tf.sum(tf.square(tf.div(tensor, scale)))].map((scalar) => tf.reshape(scalar, [1])) as [tf.Tensor, tf.Tensor];
  });
}

/** The norm from what `scaledSquares` gives. */
export function normFromParts(scale: number, squares: number): number {
  return scale * Math.sqrt(squares);
}

/** The factor that brings a norm down to `clipNorm`; 1 where it is smaller. */
export function clipScale(norm: number, clipNorm: number): number {
  return norm > clipNorm ? clipNorm / norm : 1;
}

function combineNorms(names: readonly string[], norms: readonly number[]): GradientNorms {
  return { total: normOf(norms), byTensor: new Map(names.map((name, i) => [name, norms[i] as number])) };
}
