import * as tf from '@tensorflow/tfjs-core';

import { applyCustomOp } from './kernels.js';
import { isAbsentGradient, reversePass, spareAbsentGradients } from './reverse-pass.js';

const KERNEL = 'BispikRecompute';

/** What a segment of a model reads. */
export interface SegmentInputs {
  /** Handed to the segment. They and the constants alone are kept for the backward pass. */ readonly inputs: readonly tf.Tensor[];
  /** Handed to the segment after the inputs; they depend on nothing that is differentiated. */ readonly constants: readonly tf.Tensor[];
  /** Read by the segment by itself; their owner keeps them, unchanged, until the backward pass is over. */ readonly parameters: readonly tf.Tensor[];
}

/** A piece of a forward pass: a pure function of inputs, constants and parameters. @param inputs those that are handed to it. @param isFirst false when it runs again for the backward pass. */
export type Segment = (inputs: readonly tf.Tensor[], isFirst: boolean) => tf.Tensor[];

/** A way to run a segment; whatever it is, the values and the gradients have the same bits. */
export type SegmentRunner = (read: SegmentInputs, segment: Segment) => tf.Tensor[];

/** Every value of the segment lives as long as the caller's tidy. */
export const runHeld: SegmentRunner = ({ inputs, constants }, segment) => segment([...inputs, ...constants], true);

/** Of the segment's values only its outputs, and what its operations save for the backward pass, outlive it. */
export const runTidied: SegmentRunner = ({ inputs, constants }, segment) => tf.tidy(() => segment([...inputs, ...constants], true));

/** For a pass that nobody differentiates: nothing of the segment outlives it but its outputs, and its inputs end with it. Constants stay. */
export const runOnce: SegmentRunner = ({ inputs, constants }, segment) => {
  const outputs = tf.tidy(() => segment([...inputs, ...constants], true));
  tf.dispose([...inputs]);
  return outputs;
};

/**
 * Activation recomputation (Chen et al., "Training deep nets with sublinear memory cost", 2016): nothing of the segment is kept but its inputs and
 * outputs; the backward pass runs it again under a tape of its own. A spiking block needs no state besides its inputs (its membranes start from rest
 * in every pass), so that the second run restores every membrane and spike exactly.
 */
export const runRecomputed: SegmentRunner = ({ inputs, constants, parameters }, segment) => {
  const attrs: Attrs = { segment, inputs: inputs.length, handed: inputs.length + constants.length, parameters };
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(KERNEL, [...inputs, ...constants, ...parameters] as unknown as tf.NamedTensorMap, attrs as unknown as tf.NamedAttrMap);
  return Array.isArray(outputs) ? outputs : [outputs];
};

interface Attrs {
  readonly segment: Segment;
  /** How many of the operation's inputs are the segment's, and how many with the constants; the rest are parameters. */ readonly inputs: number;
  readonly handed: number;
  readonly parameters: readonly tf.Tensor[];
}

/** Makes `runRecomputed` available on a backend. */
export function registerRecompute(backendName: string): void {
  if (tf.getKernel(KERNEL, backendName) == null) tf.registerKernel({ kernelName: KERNEL, backendName, kernelFunc: ({ inputs, attrs }) => runFirst(inputs, attrs) });
  spareAbsentGradients(KERNEL);
  if (tf.getGradient(KERNEL) == null) tf.registerGradient({ kernelName: KERNEL, saveAllInputs: true, gradFunc: runAgain });
}

function runFirst(all: tf.NamedTensorInfoMap, attrs: tf.NamedAttrMap | undefined): tf.Tensor[] {
  const { segment, handed } = attrs as unknown as Attrs;
  const tensors = Object.values(all) as unknown as tf.Tensor[];
  return tf.tidy(() => segment(tensors.slice(0, handed), true));
}

function runAgain(dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[], attrs: tf.NamedAttrMap): ReturnType<tf.GradFunc> {
  const { segment, inputs, handed, parameters } = attrs as unknown as Attrs;
  const { value, gradients } = reversePass(() => withGradients(segment(saved.slice(0, handed), false), [dy].flat()), [...saved.slice(0, inputs), ...parameters]);
  value.dispose();
  // What no output depends on has no gradient, as if the segment had been recorded; `reversePass` allows it. Nor have constants, whatever they depend on.
  const all = [...gradients.slice(0, inputs), ...new Array<undefined>(handed - inputs), ...gradients.slice(inputs)];
  return Object.fromEntries(all.map((gradient, i) => [i, () => gradient as tf.Tensor]));
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
