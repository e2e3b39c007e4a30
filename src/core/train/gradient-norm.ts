import * as tf from '@tensorflow/tfjs-core';

import { squareRuns } from '../backend/square-runs.js';
import { hasKernel, output, runKernel } from '../ops/kernels.js';

/** Euclidean norms in float64. */
export interface GradientNorms {
  /** Over all tensors together. */ readonly total: number;
  readonly byTensor: ReadonlyMap<string, number>;
}

/**
 * Norms of gradients together with the values of `others`, read back once. Neither sum can overflow: float32 values are squared in float64, or, where the
 * data stay on the device, divided by the largest magnitude of their run first. A tensor with a NaN or an infinity in it has a norm that is not finite,
 * and so has the total.
 * @param others any float32 tensors, e.g. losses. Nothing given is disposed. @returns also all numbers of `others`, one behind the other.
 */
export async function readNorms(
  gradients: ReadonlyMap<string, tf.Tensor>, others: readonly tf.Tensor[],
): Promise<{ norms: GradientNorms; values: number[] }> {
  const names = [...gradients.keys()];
  const tensors = [...gradients.values()];
  if (!hasKernel('BispikSquareRuns')) return { norms: combineNorms(names, readAtOnce(tensors)), values: others.flatMap((tensor) => Array.from(tensor.dataSync())) };
  const numbers = await readTogether(() => [
    ...others.map((tensor) => tf.reshape(tensor, [-1])), ...(tensors.length === 0 ? [] : [tf.reshape(output(runKernel('BispikSquareRuns', tensors, {}), 0), [-1])]),
  ]);
  const values = numbers.splice(0, others.reduce((sum, { size }) => sum + size, 0));
  return { norms: combineNorms(names, tensors.map(({ size }) => normOfRuns(numbers.splice(0, 2 * squareRuns(size).runs)))), values };
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

/** √Σ a²·s over pairs of a run's largest magnitude a and s = Σ(x/a)². */
function normOfRuns(pairs: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < pairs.length; i += 2) sum += (pairs[i] as number) ** 2 * (pairs[i + 1] as number);
  return Math.sqrt(sum);
}

/** √Σx² of float32 values, summed in float64, where the square of the largest one (1.2e77) is far from the end of the range. */
function normOf(values: ArrayLike<number>): number {
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

/** The factor that brings a norm down to `clipNorm`; 1 where it is smaller. */
export function clipScale(norm: number, clipNorm: number): number {
  return norm > clipNorm ? clipNorm / norm : 1;
}

function combineNorms(names: readonly string[], norms: readonly number[]): GradientNorms {
  return { total: normOf(norms), byTensor: new Map(names.map((name, i) => [name, norms[i] as number])) };
}
