import * as tf from '@tensorflow/tfjs-core';

import { freeUnusedMemory } from '../backend/unused-memory.js';

/**
 * Numbers of the largest tensor that the start of a student makes, as far as groups of windows can decide that (64 MiB). Part of what a start is: another
 * size adds in another order.
 */
export const START_NUMBERS = 2 ** 24;

/** Values of all calibration windows, a group of windows at a time. */
export interface Groups<R extends tf.Rank = tf.Rank.R3> {
  readonly count: number;
  /** The values of a group; the caller's. */ at(group: number): tf.Tensor<R>;
  dispose(): void;
}

/** Values of which some channels can be had of all windows at once. */
export interface ChannelGroups extends Groups {
  /** (T, N, count) of all N tokens, in the order of the groups; the caller's. */ columns(from: number, count: number): tf.Tensor3D;
}

/** A tensor as a group of its own; it stays the caller's. */
export function oneGroup<R extends tf.Rank>(tensor: tf.Tensor<R>): Groups<R> {
  return { count: 1, at: () => tf.clone(tensor), dispose: () => undefined };
}

/** Values that are computed whenever they are asked for; those of a single group are computed once. */
export function computedGroups<R extends tf.Rank>(count: number, compute: (group: number) => tf.Tensor<R>): Groups<R> {
  const run = (group: number): tf.Tensor<R> => tf.tidy(() => compute(group));
  if (count > 1) return { count, at: run, dispose: () => undefined };
  let kept: tf.Tensor<R> | null = null;
  return {
    count,
    at: () => {
      kept ??= tf.keep(run(0));
      return tf.clone(kept);
    },
    dispose: () => { kept?.dispose(); },
  };
}

/** Values in ordinary memory. */
interface HostTensor {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** Values that are computed once: those of a single group stay on the backend, those of several wait in ordinary memory. */
export async function storedGroups<R extends tf.Rank>(count: number, compute: (group: number) => tf.Tensor<R>): Promise<Groups<R>> {
  if (count === 1) {
    const groups = computedGroups(1, compute);
    groups.at(0).dispose();
    freeUnusedMemory();
    return groups;
  }
  return hostGroups(await download(count, compute));
}

/** The same for values (T, n, C) of which channels are wanted. */
export async function storedChannels(count: number, compute: (group: number) => tf.Tensor3D): Promise<ChannelGroups> {
  if (count === 1) return channelGroups(await storedGroups(1, compute));
  const stored = await download(count, compute);
  return { ...hostGroups<tf.Rank.R3>(stored), columns: (from, width) => hostColumns(stored, from, width) };
}

async function download(count: number, compute: (group: number) => tf.Tensor): Promise<HostTensor[]> {
  const stored: HostTensor[] = [];
  for (let group = 0; group < count; group++) {
    const tensor = tf.tidy(() => compute(group));
    stored.push({ values: (await tensor.data()) as Float32Array, shape: tensor.shape });
    tensor.dispose();
  }
  freeUnusedMemory();
  return stored;
}

function hostGroups<R extends tf.Rank>(stored: HostTensor[]): Groups<R> {
  const at = (group: number): tf.Tensor<R> => {
    const { values, shape } = stored[group] as HostTensor;
    return tf.tensor<tf.Rank>(values, [...shape]) as tf.Tensor<R>;
  };
  return { count: stored.length, at, dispose: () => { stored.length = 0; } };
}

/** (T, N, width) out of tensors (T, n, C) in ordinary memory. */
function hostColumns(stored: readonly HostTensor[], from: number, width: number): tf.Tensor3D {
  const [timeSteps = 1, , channels = 1] = stored[0]?.shape ?? [];
  const tokens = stored.reduce((sum, { shape }) => sum + (shape[1] ?? 0), 0);
  const values = new Float32Array(timeSteps * tokens * width);
  let first = 0;
  for (const { values: source, shape: [, rows = 0] } of stored) {
    for (let t = 0; t < timeSteps; t++) {
      for (let row = 0; row < rows; row++) {
        const start = (t * rows + row) * channels + from;
        values.set(source.subarray(start, start + width), (t * tokens + first + row) * width);
      }
    }
    first += rows;
  }
  return tf.tensor3d(values, [timeSteps, tokens, width]);
}

/** Values (T, n, C), of a single group, out of which channels are cut. */
export function channelGroups(groups: Groups): ChannelGroups {
  return { ...groups, columns: (from, count) => tf.tidy(() => columnsOf(groups.at(0), from, count)) };
}

function columnsOf(x: tf.Tensor3D, from: number, count: number): tf.Tensor3D {
  return from === 0 && count === x.shape[2] ? x : tf.slice(x, [0, 0, from], [-1, -1, count]);
}

/** Parts (T, n, c) of all groups side by side along the tokens. */
export function joinedColumns({ count }: Pick<Groups, 'count'>, part: (group: number) => tf.Tensor3D): tf.Tensor3D {
  return tf.tidy(() => (count === 1 ? part(0) : tf.concat(Array.from({ length: count }, (_, group) => tf.tidy(() => part(group))), 1)));
}

/** How many of `width` columns `atOnce` numbers hold where one column has `rows`; one at least. */
export function columnsAtOnce(width: number, { rows, atOnce }: { readonly rows: number; readonly atOnce: number }): number {
  return Math.min(width, Math.max(1, Math.floor(atOnce / rows)));
}

/** Ranges of so many columns. */
export function* ranges(width: number, room: Parameters<typeof columnsAtOnce>[1]): Generator<readonly [from: number, count: number]> {
  const most = columnsAtOnce(width, room);
  for (let from = 0; from < width; from += most) yield [from, Math.min(most, width - from)];
}

/** Biased standard deviation over some axes, each group's around its own mean and then joined (Chan, Golub, LeVeque, 1979); of a single group as `stdOver`. */
export async function stdOfGroups(x: Pick<Groups<tf.Rank>, 'count' | 'at'>, axes: readonly number[]): Promise<Float32Array> {
  let [total, mean, squares] = [0, new Float64Array(0), new Float64Array(0)];
  for (let group = 0; group < x.count; group++) {
    const [count, ...parts] = momentsOf(x, group, axes);
    const [ownMean, ownSquares] = (await Promise.all(parts.map((part) => part.data()))) as [Float32Array, Float32Array];
    tf.dispose(parts);
    if (group === 0) [mean, squares] = [new Float64Array(ownMean.length), new Float64Array(ownMean.length)];
    const share = count / (total + count);
    for (let i = 0; i < mean.length; i++) {
      const apart = (ownMean[i] as number) - (mean[i] as number);
      (squares[i] as number) += (ownSquares[i] as number) + apart * apart * total * share;
      (mean[i] as number) += apart * share;
    }
    total += count;
  }
  freeUnusedMemory();
  const divisor = Math.fround(total);
  return Float32Array.from(squares, (sum) => Math.sqrt(Math.fround(sum / divisor)));
}

/** Values per result, their mean, and the sum of squared distances from it. */
function momentsOf(x: Pick<Groups<tf.Rank>, 'at'>, group: number, axes: readonly number[]): [count: number, mean: tf.Tensor, squares: tf.Tensor] {
  let count = 0;
  const [mean, squares] = tf.tidy(() => {
    const values = x.at(group);
    count = axes.reduce((product, axis) => product * (values.shape[axis] ?? 1), 1);
    const middle = tf.div(tf.sum(values, [...axes], true), count);
    return [middle, tf.sum(tf.square(tf.sub(values, middle)), [...axes])];
  }) as [tf.Tensor, tf.Tensor];
  return [count, mean, squares];
}
