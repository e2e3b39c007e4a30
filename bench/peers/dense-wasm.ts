/**
 * The same spiking network without its sparsity: what one gets by writing the simulation with TensorFlow.js on its WebAssembly backend.
 * Spikes are float32 vectors of zeros and ones, every product is dense, none of our kernels is registered.
 *
 * Chosen in the peer's favour, each by measurement on this network's sizes: weight products and the head are 2-D `matMul` with the matrix on
 * the right and not transposed, which is the backend's XNNPACK path with weights packed once (the tied head keeps a transposed copy
 * for that); neurons are plain loops over the values (6 times faster than tensor operations for one token, 1.6 times for 128);
 * attention over many tokens is an XNNPACK product per time step and head (5 times faster than one batched product); attention of one
 * token is one batched product. A decoding step does not append to its cache: it costs the peer nothing to grow one.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';

import { activate } from '../../src/core/backend/started.js';
import { entranceWidth } from '../../src/core/student/config.js';
import { fireLoop } from '../support/plain-neurons.js';
import type { PlainStudent } from '../support/plain-student.js';
import { embedLoop, readoutLoop, valuesOf } from '../support/plain-student.js';
import type { KeyValueCache } from './dense-wasm-attention.js';
import { attendCached, attendTogether, cacheSpikes } from './dense-wasm-attention.js';

/** Matrices of a block on the backend. */
interface DenseLayer { readonly qkv: tf.Tensor2D; readonly out: tf.Tensor2D; readonly fc1: tf.Tensor2D; readonly fc2: tf.Tensor2D }

/** A student on the backend. */
export interface DenseStudent {
  readonly student: PlainStudent;
  readonly layers: readonly DenseLayer[];
  /** (D, V) */ readonly head: tf.Tensor2D;
}

/** Spikes of a pass by site, for checks. */
export type DenseWatch = (event: { readonly layer: number; readonly site: string; readonly spikes: Float32Array; readonly width: number }) => void;

/** Starts the WebAssembly backend as it comes. @throws Error when our kernels are registered: then nothing here would be standard. */
export async function startStandardWasm(): Promise<void> {
  const before = process.listeners('uncaughtException');
  await activate('wasm');
  // The backend's module rethrows every error of the program, printing its whole source.
  for (const listener of process.listeners('uncaughtException')) if (!before.includes(listener)) process.removeListener('uncaughtException', listener);
  if (tf.getKernel('BispikLif', 'wasm') != null) throw new Error('the backend has our kernels; the peer must run on the standard ones');
}

/** Uploads the weights to the active backend. */
export function uploadDense(student: PlainStudent): DenseStudent {
  const { hiddenSize: D, feedForwardSize: F, layers, vocabSize } = student.config;
  const E = entranceWidth(student.config);
  const matrix = (layer: number, name: string, shape: [number, number]): tf.Tensor2D => tf.tensor2d(valuesOf(student, `layers.${layer}.${name}.weight`), shape);
  return {
    student,
    layers: Array.from({ length: layers }, (_, i) => ({
      qkv: matrix(i, 'qkv', [E, 3 * D]), out: matrix(i, 'out', [D, D]), fc1: matrix(i, 'fc1', [E, F]), fc2: matrix(i, 'fc2', [F, D]),
    })),
    head: tf.tidy(() => tf.transpose(tf.tensor2d(valuesOf(student, 'embed_tokens.weight'), [vocabSize, D]))),
  };
}

/** Frees the weights and their packed copies. */
export function disposeDense({ layers, head }: DenseStudent): void {
  tf.dispose([head, ...layers.flatMap(({ qkv, out, fc1, fc2 }) => [qkv, out, fc1, fc2])]);
}

/** x·W for rows of x. */
export function product(x: Float32Array, weights: tf.Tensor2D): Float32Array {
  const [inputs] = weights.shape;
  const left = tf.tensor2d(x, [x.length / inputs, inputs]);
  const result = tf.matMul<tf.Tensor2D>(left, weights);
  const values = result.dataSync() as Float32Array;
  tf.dispose([left, result]);
  return values;
}

/** Attention of a layer: from query, key and value spikes (N·T, 3D) to summed values (N·T, D). */
type Attend = (layer: number, qkv: Float32Array) => Float32Array;

/** All blocks over new tokens; returns the stream (N·T, D). */
function blocks(dense: DenseStudent, stream: Float32Array, { attend, watch }: { attend: Attend; watch: DenseWatch }): Float32Array {
  dense.layers.forEach((weights, layer) => {
    const pass: SitePass = { student: dense.student, layer, watch };
    const qkv = plainNeurons(pass, { x: product(entrance(pass, 'attention_entry', stream), weights.qkv), site: 'qkv', bias: 'qkv.bias' });
    const out = plainNeurons(pass, { x: attend(layer, qkv), site: 'attention_out', bias: 'attention_out.bias', gain: 'attention_out.gain' });
    addWithBias(stream, product(out, weights.out), named(pass, 'out.bias'));
    const hidden = plainNeurons(pass, { x: product(entrance(pass, 'feed_forward_entry', stream), weights.fc1), site: 'hidden', bias: 'fc1.bias' });
    addWithBias(stream, product(hidden, weights.fc2), named(pass, 'fc2.bias'));
  });
  return stream;
}

interface SitePass { readonly student: PlainStudent; readonly layer: number; readonly watch: DenseWatch }

const named = ({ student, layer }: SitePass, name: string): Float32Array => valuesOf(student, `layers.${layer}.${name}`);

function entrance(pass: SitePass, site: string, stream: Float32Array): Float32Array {
  const { config } = pass.student;
  const [width, stride] = [config.hiddenSize, entranceWidth(config)];
  const [gain, bias] = [named(pass, `${site}.gain`), named(pass, `${site}.bias`)];
  const spikes = new Float32Array((stream.length / width) * stride);
  for (let offset = 0; offset < stride; offset += width) {
    const part = { gain: gain.subarray(offset, offset + width), bias: bias.subarray(offset, offset + width), negate: offset > 0 };
    fireLoop({ x: stream, width, ...part }, config.neuron, { spikes, stride, offset });
  }
  pass.watch({ layer: pass.layer, site, spikes, width: stride });
  return spikes;
}

function plainNeurons(pass: SitePass, of: { x: Float32Array; site: string; bias: string; gain?: string }): Float32Array {
  const bias = named(pass, of.bias);
  const spikes = new Float32Array(of.x.length);
  fireLoop({ x: of.x, width: bias.length, gain: of.gain === undefined ? null : named(pass, of.gain), bias }, pass.student.config.neuron, { spikes, stride: bias.length, offset: 0 });
  pass.watch({ layer: pass.layer, site: of.site, spikes, width: bias.length });
  return spikes;
}

function addWithBias(stream: Float32Array, current: Float32Array, bias: Float32Array): void {
  for (let row = 0; row < stream.length; row += bias.length) {
    for (let c = 0; c < bias.length; c++) stream[row + c] = (stream[row + c] as number) + (current[row + c] as number) + (bias[c] as number);
  }
}

const ignore: DenseWatch = () => undefined;

/** A pass over new tokens with nothing before them: logits of the last token or of all (rows, V), and the spikes attention may need later. */
export function densePrefill(dense: DenseStudent, ids: readonly number[], request: { logits: 'last' | 'all'; watch?: DenseWatch }): { logits: Float32Array; qkv: Float32Array[] } {
  const kept: Float32Array[] = [];
  const watch = request.watch ?? ignore;
  const stream = blocks(dense, embedLoop(dense.student, ids, 0), {
    attend: (layer, qkv) => {
      kept.push(qkv);
      return attendTogether(dense.student, layer, qkv);
    },
    watch,
  });
  const { hiddenSize: D, neuron: { timeSteps } } = dense.student.config;
  const wanted = request.logits === 'all' ? stream : stream.subarray(stream.length - timeSteps * D);
  return { logits: product(readoutLoop(dense.student, wanted), dense.head), qkv: kept };
}

/** Cached keys and values of a prompt, one per layer. */
export function denseCache(dense: DenseStudent, ids: readonly number[]): KeyValueCache[] {
  return densePrefill(dense, ids, { logits: 'last' }).qkv.map((qkv) => cacheSpikes(dense.student.config, qkv));
}

/** One token behind a cached prompt: its logits (V). The cache stays as it was. */
export function denseDecode(dense: DenseStudent, id: number, of: { cache: readonly KeyValueCache[]; watch?: DenseWatch }): Float32Array {
  const offset = of.cache[0]?.length ?? 0;
  const stream = blocks(dense, embedLoop(dense.student, [id], offset), {
    attend: (layer, qkv) => attendCached(dense.student, { layer, qkv, cache: of.cache[layer] as KeyValueCache }),
    watch: of.watch ?? ignore,
  });
  return product(readoutLoop(dense.student, stream), dense.head);
}
