import * as tf from '@tensorflow/tfjs-core';

import { share, sum } from './kernels.js';

/** One recorded operation: what it read and made, the tensors it saved, and how gradients pass through it. */
type TapeNode = ReturnType<typeof tf.engine>['state']['activeTape'][number];

/** Gradients of outputs that nothing depends on: zeros, or anything for operations that look for it. */
const absent = new WeakSet<tf.Tensor>();
const lookForAbsent = new Set<string>();

/** True for a gradient that `reversePass` made up, because an operation of several outputs needs one for each. */
export function isAbsentGradient(dy: tf.Tensor): boolean {
  return absent.has(dy);
}

/** Announces that the gradient of an operation asks `isAbsentGradient`, so that no zeros of an output's size are made for it. */
export function spareAbsentGradients(kernelName: string): void {
  lookForAbsent.add(kernelName);
}

/**
 * Value and gradients of a scalar: TensorFlow.js's own reverse pass (same order of operations, same sums, so the same bits), but it frees what an
 * operation saved, and the gradients of its outputs, as soon as the operation has been passed; `tf.engine().gradients` keeps all of it until its
 * end. It may run inside the gradient of an operation that is itself being passed.
 * @param xs tensors that `compute` reads. @returns one gradient per x, or undefined where the value does not depend on it; value and gradients belong to
 * the caller's tidy, everything else made inside `compute` is disposed unless kept.
 */
export function reversePass(compute: () => tf.Scalar, xs: readonly tf.Tensor[]): { value: tf.Scalar; gradients: (tf.Tensor | undefined)[] } {
  const { value, tape } = record(compute);
  try {
    return { value, gradients: tf.tidy(() => backpropagate(tape, value, xs)) };
  } finally {
    tape.forEach(forget);
  }
}

/** Runs `compute` under a tape and takes the tape from the engine, which would otherwise dispose what it saved at a time of its own. */
function record(compute: () => tf.Scalar): { value: tf.Scalar; tape: TapeNode[] } {
  const engine = tf.engine();
  if (engine.state.gradientDepth > 0) throw new Error('a reverse pass cannot start while another one is recording');
  const anchor = tf.scalar(0);
  const saving = engine as unknown as { clone: typeof share };
  const { clone } = saving;
  let tape: TapeNode[] = [];
  saving.clone = share; // how it saves tensors; its own way launches a kernel for each and records it
  try {
    const { value } = engine.gradients(() => {
      try {
        return compute();
      } finally {
        tape = engine.state.activeTape.splice(0);
      }
    }, [anchor], undefined, true);
    return { value: value as tf.Scalar, tape };
  } catch (error) {
    tape.forEach(forget);
    throw error;
  } finally {
    saving.clone = clone;
    anchor.dispose();
  }
}

/** Passes the operations from the last to the first and empties the tape. */
function backpropagate(tape: TapeNode[], value: tf.Scalar, xs: readonly tf.Tensor[]): (tf.Tensor | undefined)[] {
  const dependent = dependentInputs(tape, xs);
  const asked = new Set(xs.map(({ id }) => id));
  const gradients = new Map<number, tf.Tensor>([[value.id, tf.ones(value.shape)]]);
  for (let node = tape.pop(); node !== undefined; node = tape.pop()) {
    const inputs = dependent.get(node);
    if (inputs !== undefined && node.outputs.some(({ id }) => gradients.has(id))) passNode(node, inputs, gradients);
    for (const { id } of node.outputs) {
      if (asked.has(id)) continue;
      gradients.get(id)?.dispose();
      gradients.delete(id);
    }
    forget(node);
  }
  return xs.map(({ id }) => gradients.get(id));
}

/** For every operation that depends on `xs`, the names of its inputs that do. */
function dependentInputs(tape: readonly TapeNode[], xs: readonly tf.Tensor[]): Map<TapeNode, string[]> {
  const reached = new Set(xs.map(({ id }) => id));
  const dependent = new Map<TapeNode, string[]>();
  for (const node of tape) {
    const names = Object.keys(node.inputs).filter((name) => reached.has((node.inputs[name] as tf.Tensor).id));
    if (names.length === 0) continue;
    dependent.set(node, names);
    for (const { id } of node.outputs) reached.add(id);
  }
  return dependent;
}

/** Adds the gradients of one operation's inputs to what has been summed for them. */
function passNode(node: TapeNode, names: readonly string[], gradients: Map<number, tf.Tensor>): void {
  const found = tf.tidy(() => {
    const known = node.outputs.map(({ id }) => gradients.get(id));
    // Another owner of a gradient that is there takes no kernel to make; nobody reads it.
    const noneFor = lookForAbsent.has(node.kernelName) ? () => share(known.find((dy) => dy !== undefined) as tf.Tensor) : zerosLike;
    const dys = node.outputs.map((output, i) => known[i] ?? markAbsent(noneFor(output)));
    const thunks = node.gradient?.(dys);
    if (thunks === undefined) throw new Error(`no gradient is known for ${node.kernelName}`);
    const given = new Set([...dys, ...(node.saved ?? [])]);
    return names.map((name) => {
      const dx = (thunks[name] as () => tf.Tensor | undefined)();
      // A tensor that is disposed on its own must not be the gradient of something else as well.
      return dx !== undefined && given.has(dx) ? share(dx) : dx;
    });
  });
  found.forEach((dx, i) => {
    if (dx === undefined) return;
    const { id } = node.inputs[names[i] as string] as tf.Tensor;
    const before = gradients.get(id);
    gradients.set(id, before === undefined ? dx : sum(before, dx));
    if (before !== undefined) tf.dispose([before, dx]);
  });
}

const zerosLike = ({ shape }: tf.Tensor): tf.Tensor => tf.fill(shape, 0);

function markAbsent(standIn: tf.Tensor): tf.Tensor {
  absent.add(standIn);
  return standIn;
}

function forget(node: TapeNode): void {
  node.saved?.forEach((tensor) => tensor.dispose());
}
