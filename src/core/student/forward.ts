import type * as tf from '@tensorflow/tfjs-core';

import type { AlignmentTarget } from '../ops/attention-alignment.js';
import { alignedAttention, attentionValues, targetTensors, withTensors } from '../ops/attention-alignment.js';
import { embedTokens } from '../ops/embedding.js';
import { scale } from '../ops/reduce.js';
import { layerNorm } from '../ops/layer-norm.js';
import type { SpikeTensor } from '../ops/lif.js';
import type { Readout } from '../ops/readout.js';
import type { SegmentRunner } from '../ops/recompute.js';
import { runHeld } from '../ops/recompute.js';
import { reshape } from '../ops/reshape.js';
import type { SpikeSite } from '../types.js';
import { layerAttention } from './attention.js';
import type { RateObserver, SpikeEvent, SpikeObserver } from './block.js';
import { blockAndMean } from './block.js';
import type { StudentConfig } from './config.js';
import type { StudentParameters } from './parameters.js';
import { layerName, parameter } from './parameters.js';

/** What a student computed; field names are those of the teacher's trace. */
export interface StudentTrace {
  /** Of the B·L tokens: what the logits are made of. */ readonly readout: Readout;
  /** (B, L, D): token + position embedding, before any gain. */ readonly embedding: tf.Tensor3D;
  /** Per block (B, L, D): the residual stream after it, mean over time. */ readonly hidden: readonly tf.Tensor3D[];
  /** Per block: the loss of its attention spikes against the target asked for; empty when none was. */ readonly alignment: readonly tf.Scalar[];
}

/** A student ready to run: its configuration and its parameters on the active backend. */
export interface Student {
  readonly config: StudentConfig;
  readonly parameters: StudentParameters;
}

/** What a forward pass does beside the logits. */
export interface ForwardOptions {
  readonly observe: SpikeObserver;
  /** What a layer's attention is aligned with; null for no loss. */ readonly alignTo: ((layer: number) => AlignmentTarget) | null;
}

/** How a pass through the blocks is run. */
export interface PassOptions extends ForwardOptions {
  /** How a block is run, and so what of it stays in memory. */ readonly run: SegmentRunner;
  /** Sees every block's spikes once; what it makes of them is not differentiable and must be kept to outlive the block. */ readonly observe: SpikeObserver;
  /** Sees the firing rates, which are differentiable and the caller's. */ readonly observeRates: RateObserver;
}

/** Forward pass with all its values, those of every block included: `studentPass` in the caller's tidy. */
export function studentForward(student: Student, ids: tf.Tensor2D, options: ForwardOptions): StudentTrace {
  return studentPass(student, ids, { ...options, run: runHeld, observeRates: () => undefined });
}

/**
 * Full forward pass. The residual stream is (T, B·L, D); it starts as the same embedding current at every time step (A.2), each
 * block adds to it, and the logits are head(LN(mean over T)) with the head tied to the token embedding (A.6).
 * @param ids (B, L) int32, L ≤ contextLength. @returns tensors owned by the caller's tidy.
 */
export function studentPass(student: Student, ids: tf.Tensor2D, options: PassOptions): StudentTrace {
  const { config } = student;
  const [batch, length] = ids.shape;
  const embedding = embed(student, ids, 0);
  let stream = reshape<tf.Rank.R3>(config.embeddingGain === 1 ? embedding : scale(embedding, config.embeddingGain), [1, batch * length, config.hiddenSize]);
  const hidden: tf.Tensor3D[] = [];
  const alignment: tf.Scalar[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const passed = passBlock(stream, { student, options, layer, batch });
    stream = passed.stream;
    hidden.push(passed.hidden);
    if (passed.loss !== undefined) alignment.push(passed.loss);
  }
  const last = reshape<tf.Rank.R2>(hidden.at(-1) as tf.Tensor3D, [batch * length, config.hiddenSize]);
  return { readout: readout(student, last), embedding, hidden, alignment };
}

interface BlockPlace {
  readonly student: Student;
  readonly options: PassOptions;
  readonly layer: number;
  /** B */ readonly batch: number;
}

/** What is needed of a block once it has run. */
interface PassedBlock {
  readonly stream: tf.Tensor3D;
  readonly hidden: tf.Tensor3D;
  readonly loss: tf.Scalar | undefined;
}

/** One block as a segment: a function of its stream and of what it is aligned with. */
function passBlock(stream: tf.Tensor3D, { student, options, layer, batch }: BlockPlace): PassedBlock {
  const target = options.alignTo?.(layer) ?? null;
  const parameters = Array.from(student.parameters).filter(([name]) => name.startsWith(layerName(layer, ''))).map(([, tensor]) => tensor);
  const sites: SpikeSite[] = [];
  const segment = { inputs: [stream], constants: target === null ? [] : targetTensors(target), parameters };
  const outputs = options.run(segment, ([x, ...constants], isFirst) => {
    const rates: tf.Tensor[] = [];
    const observe = (event: SpikeEvent): void => {
      rates.push(event.rates as tf.Tensor);
      if (!isFirst) return;
      sites.push(event.site);
      options.observe(event);
    };
    const aligned = target === null ? null : withTensors(target, constants);
    const { out, mean, losses } = runBlock(x as tf.Tensor3D, { student, layer, batch, observe, aligned });
    return [out, reshape(mean, [batch, out.shape[1] / batch, student.config.hiddenSize]), ...rates, ...losses];
  });
  sites.forEach((site, i) => options.observeRates({ layer, site, rates: outputs[2 + i] as tf.Tensor1D }));
  return { stream: outputs[0] as tf.Tensor3D, hidden: outputs[1] as tf.Tensor3D, loss: outputs[2 + sites.length] as tf.Scalar | undefined };
}

interface BlockRun {
  readonly student: Student;
  readonly layer: number;
  /** B */ readonly batch: number;
  readonly observe: SpikeObserver;
  readonly aligned: AlignmentTarget | null;
}

function runBlock(stream: tf.Tensor3D, { student, layer, batch, observe, aligned }: BlockRun): { out: tf.Tensor3D; mean: tf.Tensor2D; losses: tf.Scalar[] } {
  const { config, parameters } = student;
  const losses: tf.Scalar[] = [];
  const attend = (of: number, qkv: SpikeTensor<tf.Rank.R3>): tf.Tensor3D => {
    const [timeSteps, rows, width] = qkv.shape;
    const input = layerAttention(reshape(qkv, [timeSteps, batch, rows / batch, width]), of, student);
    const { values, counts, density, loss } = aligned === null ? { ...attentionValues(input, config.neuron), loss: null } : alignedAttention(input, config.neuron, aligned);
    if (loss !== null) losses.push(loss);
    observe({ layer, site: 'attention', spikes: counts, rates: density });
    return reshape(values, [timeSteps, rows, width / 3]);
  };
  const { stream: out, mean } = blockAndMean(stream, { parameters, config, layer, attend, observe });
  return { out, mean, losses };
}

/** Token + position embedding of ids (B, L) whose first token stands at `offset`: (B, L, D). */
export function embed(student: Student, ids: tf.Tensor2D, offset: number): tf.Tensor3D {
  const [tokens, positions] = ['embed_tokens.weight', 'embed_positions.weight'].map((name) => parameter<tf.Rank.R2>(student.parameters, name)) as [tf.Tensor2D, tf.Tensor2D];
  return embedTokens({ tokens, positions }, ids, offset);
}

/** Readout of a stream's mean over time (N, D): LayerNorm, and the tied head; the product of the two is the only real-valued one of the model. */
export function readout(student: Student, mean: tf.Tensor2D): Readout {
  const { config, parameters } = student;
  const states = layerNorm(mean, {
    weight: parameter<tf.Rank.R1>(parameters, 'final_norm.weight'),
    bias: parameter<tf.Rank.R1>(parameters, 'final_norm.bias'),
    epsilon: config.layerNormEps,
  });
  return { states, head: parameter<tf.Rank.R2>(parameters, 'embed_tokens.weight') };
}
