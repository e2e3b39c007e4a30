import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp } from './kernels.js';
import { isAbsentGradient, reversePass, spareAbsentGradients } from './reverse-pass.js';

const KERNEL = 'BispikRecompute';

/** What a segment of a model reads. */
export interface SegmentInputs {
  /** Handed to the segment. They alone are kept for the backward pass. */ readonly inputs: readonly tf.Tensor[];
  /** Read by the segment by itself; their owner keeps them, unchanged, until the backward pass is over. */ readonly parameters: readonly tf.Tensor[];
}

/** A piece of a forward pass: a pure function of its inputs and of parameters. @param isFirst false when it runs again for the backward pass. */
export type Segment = (inputs: readonly tf.Tensor[], isFirst: boolean) => tf.Tensor[];

/** A way to run a segment; whatever it is, the values and the gradients have the same bits. */
export type SegmentRunner = (read: SegmentInputs, segment: Segment) => tf.Tensor[];

/** Every value of the segment lives as long as the caller's tidy. */
export const runHeld: SegmentRunner = ({ inputs }, segment) => segment(inputs, true);

/** Of the segment's values only its outputs, and what its operations save for the backward pass, outlive it. */
export const runTidied: SegmentRunner = ({ inputs }, segment) => tf.tidy(() => segment(inputs, true));

/**
 * Activation recomputation (Chen et al., "Training deep nets with sublinear memory cost", 2016): nothing of the segment is kept but its inputs and
 * outputs; the backward pass runs it again under a tape of its own. A spiking block needs no state besides its inputs (its membranes start from rest
 * in every pass), so that the second run restores every membrane and spike exactly.
 */
export const runRecomputed: SegmentRunner = ({ inputs, parameters }, segment) => {
  const attrs = { segment, inputs: inputs.length, parameters };
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(KERNEL, [...inputs, ...parameters] as unknown as tf.NamedTensorMap, attrs as unknown as tf.NamedAttrMap);
  return Array.isArray(outputs) ? outputs : [outputs];
};

interface Attrs {
  readonly segment: Segment;
  /** How many of the operation's inputs are the segment's; the rest are parameters. */ readonly inputs: number;
  readonly parameters: readonly tf.Tensor[];
}

/** Makes `runRecomputed` available on a backend. */
export function registerRecompute(backendName: string): void {
  if (tf.getKernel(KERNEL, backendName) == null) tf.registerKernel({ kernelName: KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => runFirst(inputs, attrs) });
  spareAbsentGradients(KERNEL);
  if (tf.getGradient(KERNEL) == null) tf.registerGradient({ kernelName: KERNEL, saveAllInputs: true, gradFunc: runAgain });
}

function runFirst(all: tf.NamedTensorInfoMap, attrs: tf.NamedAttrMap | undefined): tf.Tensor[] {
  const { segment, inputs } = attrs as unknown as Attrs;
  const tensors = Object.values(all) as unknown as tf.Tensor[];
  return tf.tidy(() => segment(tensors.slice(0, inputs), true));
}

function runAgain(dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[], attrs: tf.NamedAttrMap): ReturnType<tf.GradFunc> {
  const { segment, inputs: count, parameters } = attrs as unknown as Attrs;
  const inputs = saved.slice(0, count);
  const { value, gradients } = reversePass(() => withGradients(segment(inputs, false), [dy].flat()), [...inputs, ...parameters]);
  value.dispose();
  // What no output depends on has no gradient, as if the segment had been recorded; `reversePass` allows it.
  return Object.fromEntries(gradients.map((gradient, i) => [i, () => gradient as tf.Tensor]));
}

/** A scalar whose gradients with respect to `outputs` are `dys`. */
function withGradients(outputs: readonly tf.Tensor[], dys: readonly tf.Tensor[]): tf.Scalar {
  const pairs = outputs.map((output, i) => ({ output, dy: dys[i] as tf.Tensor })).filter(({ dy }) => !isAbsentGradient(dy));
  return applyCustomOp({
    inputs: pairs.map(({ output }) => output),
    forward: () => tf.scalar(0),
    backward: () => pairs.map(({ dy }) => tf.clone(dy)),
  }) as tf.Scalar;
}
