import * as tf from '@tensorflow/tfjs-core';

import { meanOver } from '../ops/reduce.js';

/** Least squares with a penalty on the weights: y ≈ x·weight + bias. */
export interface RidgeFit {
  /** (C, M) row-major. */ readonly weight: Float32Array;
  /** (M) */ readonly bias: Float32Array;
}

/**
 * Ridge regression with intercept: weight = (XᶜᵀXᶜ + λI)⁻¹ XᶜᵀYᶜ for centred X and Y, λ = `strength` × mean diagonal of XᶜᵀXᶜ.
 * @param x (N, C). @param y (N, M). @returns plain arrays; disposes nothing of the caller's.
 */
export async function ridgeRegression(x: tf.Tensor2D, y: tf.Tensor2D, strength: number): Promise<RidgeFit> {
  const [inputs, outputs] = [x.shape[1], y.shape[1]];
  const parts = tf.tidy(() => {
    const [xMean, yMean] = [meanOver(x, [0]), meanOver(y, [0])];
    const [xc, yc] = [tf.sub<tf.Tensor2D>(x, xMean), tf.sub<tf.Tensor2D>(y, yMean)];
    return [xMean, yMean, tf.matMul(xc, xc, true, false), tf.matMul(xc, yc, true, false)];
  });
  const [xMean, yMean, gram, cross] = await Promise.all(parts.map((part) => part.data())) as [Float32Array, Float32Array, Float32Array, Float32Array];
  tf.dispose(parts);
  const matrix = Float64Array.from(gram);
  let trace = 0;
  for (let i = 0; i < inputs; i++) trace += matrix[i * inputs + i] as number;
  // A silent input has a zero row; the floor keeps the matrix positive definite even when all are silent.
  const lambda = Math.max((strength * trace) / inputs, 1e-9);
  for (let i = 0; i < inputs; i++) (matrix[i * inputs + i] as number) += lambda;
  const weight = Float32Array.from(solvePositiveDefinite(matrix, Float64Array.from(cross), { size: inputs, columns: outputs }));
  const bias = new Float32Array(outputs);
  for (let m = 0; m < outputs; m++) {
    let predicted = 0;
    for (let c = 0; c < inputs; c++) predicted += (xMean[c] as number) * (weight[c * outputs + m] as number);
    bias[m] = (yMean[m] as number) - predicted;
  }
  return { weight, bias };
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
