import * as tf from '@tensorflow/tfjs-core';

import { freeUnusedMemory } from '../backend/unused-memory.js';
import { meanOver } from '../ops/reduce.js';
import type { Groups } from './groups.js';

/** Least squares with a penalty on the weights: y ≈ x·weight + bias. */
export interface RidgeFit {
  /** (C, M) row-major. */ readonly weight: Float32Array;
  /** (M) */ readonly bias: Float32Array;
}

/** The two sides of a regression, the same groups of rows on both. */
export interface RidgeProblem {
  /** (n, C) a group. */ readonly x: Groups<tf.Rank.R2>;
  /** (n, M) a group. */ readonly y: Groups<tf.Rank.R2>;
}

/**
 * Ridge regression with intercept: weight = (XᶜᵀXᶜ + λI)⁻¹ XᶜᵀYᶜ for centred X and Y, λ = `strength` × mean diagonal of XᶜᵀXᶜ.
 * @returns plain arrays; disposes nothing of the caller's.
 */
export async function ridgeRegression(problem: RidgeProblem, strength: number): Promise<RidgeFit> {
  const { xMean, yMean, gram, cross } = await centredProducts(problem);
  const [inputs, outputs] = [xMean.length, yMean.length];
  let trace = 0;
  for (let i = 0; i < inputs; i++) trace += gram[i * inputs + i] as number;
  // A silent input has a zero row; the floor keeps the matrix positive definite even when all are silent.
  const lambda = Math.max((strength * trace) / inputs, 1e-9);
  for (let i = 0; i < inputs; i++) (gram[i * inputs + i] as number) += lambda;
  const weight = Float32Array.from(solvePositiveDefinite(gram, cross, { size: inputs, columns: outputs }));
  const bias = new Float32Array(outputs);
  for (let m = 0; m < outputs; m++) {
    let predicted = 0;
    for (let c = 0; c < inputs; c++) predicted += (xMean[c] as number) * (weight[c * outputs + m] as number);
    bias[m] = (yMean[m] as number) - predicted;
  }
  return { weight, bias };
}

/** Means, XᶜᵀXᶜ and XᶜᵀYᶜ over all rows. */
interface Products {
  readonly xMean: Float64Array;
  readonly yMean: Float64Array;
  readonly gram: Float64Array;
  readonly cross: Float64Array;
}

/** Every group is centred on its own means; what lies between these and the means of all is added in float64, so that nothing large is subtracted. */
async function centredProducts({ x, y }: RidgeProblem): Promise<Products> {
  const groups: { readonly rows: number; readonly xMean: Float32Array; readonly yMean: Float32Array }[] = [];
  let sums: tf.Tensor[] = [];
  for (let group = 0; group < x.count; group++) {
    let rows = 0;
    const before = sums;
    const [xMean, yMean, gram, cross] = tf.tidy(() => {
      const [own, target] = [x.at(group), y.at(group)];
      rows = own.shape[0];
      const means = [meanOver(own, [0]), meanOver(target, [0])] as const;
      const [xc, yc] = [tf.sub<tf.Tensor2D>(own, means[0]), tf.sub<tf.Tensor2D>(target, means[1])];
      const products = [tf.matMul(xc, xc, true, false), tf.matMul(xc, yc, true, false)];
      return [...means, ...products.map((product, i) => (group === 0 ? product : tf.add(before[i] as tf.Tensor, product)))];
    }) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    sums = [gram, cross];
    groups.push({ rows, xMean: (await xMean.data()) as Float32Array, yMean: (await yMean.data()) as Float32Array });
    tf.dispose([xMean, yMean, ...before]);
  }
  const [gram, cross] = await Promise.all(sums.map(async (sum) => Float64Array.from(await sum.data()))) as [Float64Array, Float64Array];
  tf.dispose(sums);
  freeUnusedMemory();
  const total = groups.reduce((sum, { rows }) => sum + rows, 0);
  const [xMean, yMean] = (['xMean', 'yMean'] as const).map((name) => weightedMean(groups.map((group) => ({ share: group.rows / total, values: group[name] })))) as [Float64Array, Float64Array];
  for (const group of groups.length > 1 ? groups : []) {
    const [dx, dy] = [apart(group.xMean, xMean), apart(group.yMean, yMean)];
    addProduct(gram, [dx, dx], group.rows);
    addProduct(cross, [dx, dy], group.rows);
  }
  return { xMean, yMean, gram, cross };
}

function weightedMean(parts: readonly { readonly share: number; readonly values: Float32Array }[]): Float64Array {
  const mean = new Float64Array(parts[0]?.values.length ?? 0);
  for (const { share, values } of parts) values.forEach((value, i) => { (mean[i] as number) += share * value; });
  return mean;
}

function apart(values: Float32Array, from: Float64Array): Float64Array {
  return Float64Array.from(values, (value, i) => value - (from[i] as number));
}

/** matrix += factor·a·bᵀ. */
function addProduct(matrix: Float64Array, [a, b]: readonly [Float64Array, Float64Array], factor: number): void {
  for (let i = 0; i < a.length; i++) {
    const scaled = factor * (a[i] as number);
    for (let j = 0; j < b.length; j++) (matrix[i * b.length + j] as number) += scaled * (b[j] as number);
  }
}

/**
 * Solves A·X = B for a symmetric positive definite A by Cholesky factorisation, in float64.
 * @param matrix (size, size) row-major; overwritten by its factor. @param right (size, columns) row-major; overwritten by X.
 * @throws RangeError when A is not positive definite.
 */
export function solvePositiveDefinite(matrix: Float64Array, right: Float64Array, shape: { size: number; columns: number }): Float64Array {
  const { size, columns } = shape;
  factorise(matrix, size);
  const subtractRow = (target: number, source: number, factor: number): void => {
    for (let c = 0; c < columns; c++) (right[target * columns + c] as number) -= factor * (right[source * columns + c] as number);
  };
  const divideRow = (row: number, by: number): void => {
    for (let c = 0; c < columns; c++) (right[row * columns + c] as number) /= by;
  };
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) subtractRow(i, j, matrix[i * size + j] as number);
    divideRow(i, matrix[i * size + i] as number);
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let j = i + 1; j < size; j++) subtractRow(i, j, matrix[j * size + i] as number);
    divideRow(i, matrix[i * size + i] as number);
  }
  return right;
}

/** Lower Cholesky factor in place. */
function factorise(matrix: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * size + j] as number;
      for (let k = 0; k < j; k++) sum -= (matrix[i * size + k] as number) * (matrix[j * size + k] as number);
      if (i !== j) {
        matrix[i * size + j] = sum / (matrix[j * size + j] as number);
      } else if (sum > 0) {
        matrix[i * size + i] = Math.sqrt(sum);
      } else {
        throw new RangeError(`the matrix is not positive definite (pivot ${i} is ${sum})`);
      }
    }
  }
}
