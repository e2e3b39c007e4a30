import * as tf from '@tensorflow/tfjs-core';

/** The most a device was seen to do. */
export interface DevicePeak {
  /** Of float32 matrix products [operations per second]. */ readonly operationsPerSecond: number;
  /** Read and written by adding two long vectors [bytes per second]. */ readonly bytesPerSecond: number;
}

/** How much is computed to find out. */
export interface PeakEffort {
  /** Rows, columns and inner length of a matrix product. */ readonly matrix: number;
  /** Numbers of a vector. */ readonly vector: number;
  /** Launches per measurement: one wait for the device covers all of them. */ readonly launches: number;
}

const GPU: PeakEffort = { matrix: 4096, vector: 1 << 26, launches: 10 };
const PROCESSOR: PeakEffort = { matrix: 512, vector: 1 << 22, launches: 3 };
const EMULATED: PeakEffort = { matrix: 128, vector: 1 << 18, launches: 2 };
const MEASUREMENTS = 4;

/** What suits a kind of device: some seconds at most. */
export function peakEffort({ isGpu, isEmulated }: { readonly isGpu: boolean; readonly isEmulated: boolean }): PeakEffort {
  if (isEmulated) return EMULATED;
  return isGpu ? GPU : PROCESSOR;
}

/** Measures the active backend with the kernels that it really uses: best of several, so that what else the machine does counts little. */
export async function measurePeak({ matrix, vector, launches }: PeakEffort): Promise<DevicePeak> {
  const square = tf.fill<tf.Rank.R2>([matrix, matrix], 0.5);
  const long = tf.fill<tf.Rank.R1>([vector], 0.5);
  const productMs = await best(() => tf.matMul(square, square), launches);
  const sumMs = await best(() => tf.add(long, long), launches);
  tf.dispose([square, long]);
  return { operationsPerSecond: (2 * matrix ** 3) / (productMs / 1000), bytesPerSecond: (3 * 4 * vector) / (sumMs / 1000) };
}

/** Milliseconds of one launch. */
async function best(launch: () => tf.Tensor, launches: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let measurement = 0; measurement <= MEASUREMENTS; measurement++) {
    const start = performance.now();
    const results = Array.from({ length: launches }, launch);
    await tf.tidy(() => tf.slice(tf.reshape(results.at(-1) as tf.Tensor, [-1]), 0, 1)).data(); // waits for everything before it
    tf.dispose(results);
    if (measurement > 0) least = Math.min(least, (performance.now() - start) / launches); // the first one compiles
  }
  return least;
}
