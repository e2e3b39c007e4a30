import type { EngineBuffers } from './buffers.js';
import { meetingCounter, rowCounterOffset, spikeCounter } from './counters.js';
import type { EngineKernels } from './kernels.js';
import { RESET_CODES } from './kernels.js';
import { headLimit, layerBytes, WORD_CHANNELS } from './layout.js';
import type { EngineMemory } from './memory.js';
import type { PackedLayer, PackedLinear, PackedNeurons, PackedWeights } from './weights.js';

/** What all threads compute with; the same for the life of an engine. */
export interface Machine {
  readonly kernels: EngineKernels;
  readonly memory: Pick<EngineMemory, 'floats' | 'doubles'>;
  readonly weights: PackedWeights;
  readonly buffers: EngineBuffers;
}

/** One pass: the blocks for `tokens` tokens (0: only a head), then the head for some of them. */
export interface Job {
  readonly tokens: number;
  /** Position of the first token. */ readonly start: number;
  /** First token of this pass whose logits are wanted. */ readonly headFirst: number;
  /** At most HEAD_TOKENS; 0: no logits. */ readonly headCount: number;
}

/** Which part of the work a thread does, and how it waits for the others. */
export interface Share {
  readonly part: number;
  readonly parts: number;
  readonly sync: () => void;
}

/** A thread at work on a job. */
interface Worker extends Machine {
  readonly job: Job;
  readonly share: Share;
  /** Of this part; see `counters.ts`. */ readonly counters: Float64Array;
  readonly scratch: number;
  /** Address of the two counters of the row kernels. */ readonly rowCounters: number;
}

/** `units` split as evenly as possible: where part `part` of `parts` begins and ends. */
export function partOf(units: number, { part, parts }: Pick<Share, 'part' | 'parts'>): [from: number, to: number] {
  return [Math.floor((units * part) / parts), Math.floor((units * (part + 1)) / parts)];
}

/**
 * One thread's share of a job, from the embedded stream to logits: reads top to bottom as the architecture. Columns of matrices
 * and heads are divided; a thread charges the neurons of the columns it has summed, so that it waits for the others only where
 * spikes meet a matrix or a head. Sums are whole numbers or in a fixed order, so the division changes no bit.
 */
export function runJob(machine: Machine, job: Job, share: Share): void {
  const { layers } = machine.weights;
  const { scratch, counters } = machine.buffers.parts[share.part]!;
  const offset = rowCounterOffset(layers.length);
  const worker: Worker = { ...machine, job, share, scratch, counters: machine.memory.doubles(counters, offset / 8), rowCounters: counters + offset };
  if (job.tokens > 0) {
    enter(worker, 0, 'attention_entry');
    for (let layer = 0; layer < layers.length; layer++) runBlock(worker, layer);
    share.sync();
  }
  if (job.headCount > 0) runHead(worker);
}

/** SFSA and SFFN of one block. Expects the entrance spikes of this thread's columns, leaves those of the next block. */
function runBlock(worker: Worker, layer: number): void {
  const { weights, buffers, share: { sync } } = worker;
  const packed = weights.layers[layer]!;
  sync();
  sumRows(worker, packed.qkv, buffers.entryBits);
  fireQueryKeyValue(worker, layer, packed);
  sync();
  attend(worker, layer, packed);
  sync();
  fireAttentionOut(worker, layer, packed.attentionOut);
  sync();
  sumRows(worker, packed.out, buffers.outBits);
  write(worker, layer, { linear: packed.out, neurons: packed.attentionWrite, site: 'attention_write' });
  enter(worker, layer, 'feed_forward_entry');
  sync();
  sumRows(worker, packed.fc1, buffers.entryBits);
  fireHidden(worker, layer, packed);
  sync();
  sumRows(worker, packed.fc2, buffers.hiddenBits);
  write(worker, layer, { linear: packed.fc2, neurons: packed.feedForwardWrite, site: 'feed_forward_write' });
  if (layer + 1 < weights.layers.length) enter(worker, layer + 1, 'attention_entry');
}

/** Synaptic sums of this thread's columns: adds the rows of the inputs that fired. */
function sumRows(worker: Worker, linear: PackedLinear, bits: number): void {
  const { kernels, weights, job, scratch, buffers: { acc }, rowCounters } = worker;
  const { inputs, outputs, bias } = linear;
  const [from, to] = columnsOf(worker, outputs);
  const words = inputs / WORD_CHANNELS;
  const vectors = job.tokens * weights.shape.timeSteps;
  if (from === to) return;
  switch (weights.precision) {
    case 'float32': return kernels.addRowsFloat(bits, words, vectors, linear.weights, bias, outputs, from, to, acc, scratch, rowCounters);
    case 'int8': return kernels.addRowsInt8(bits, words, vectors, linear.weights, outputs, from, to, acc, scratch, rowCounters);
    case 'int4': return kernels.addRowsInt4(bits, words, vectors, linear.weights, linear.scales!, bias, outputs, from, to, acc, scratch, rowCounters);
  }
}

function columnsOf(worker: Worker, outputs: number): [from: number, to: number] {
  const [from, to] = partOf(outputs / WORD_CHANNELS, worker.share);
  return [from * WORD_CHANNELS, to * WORD_CHANNELS];
}

/** Neurons on the sums of a matrix. */
interface SummedNeurons {
  readonly neurons: PackedNeurons;
  /** Columns per vector of the sums. */ readonly stride: number;
  readonly columns: readonly [from: number, to: number];
  readonly firstToken: number;
  readonly tokens: number;
  readonly bits: number;
}

/** Charges neurons with the sums in `acc`; returns the spikes. */
function fireSums(worker: Worker, { neurons, stride, columns: [from, to], firstToken, tokens, bits }: SummedNeurons): number {
  const { kernels, weights: { config: { neuron }, precision, shape: { timeSteps } }, buffers } = worker;
  if (from >= to) return 0;
  const words = stride / WORD_CHANNELS;
  const acc = buffers.acc + 4 * firstToken * timeSteps * stride;
  const into = bits + 8 * firstToken * timeSteps * words;
  const [decay, reset] = [neuron.decay, RESET_CODES[neuron.reset]];
  return precision === 'int8'
    ? kernels.fireInt(acc, stride, neurons.bias, neurons.threshold, from, to, tokens, timeSteps, decay, reset, into, words)
    : kernels.fireFloat(acc, stride, neurons.bias, neurons.threshold, 0, from, to, tokens, timeSteps, decay, reset, into, words);
}

const THIRDS = ['query', 'key', 'value'] as const;

/** Query, key and value neurons; every query spike meets the keys of its position and of all before it. */
function fireQueryKeyValue(worker: Worker, layer: number, { qkv, qkvNeurons }: PackedLayer): void {
  const { counters, job, buffers, weights: { shape: { paddedWidth } } } = worker;
  const [from, to] = columnsOf(worker, qkv.outputs);
  THIRDS.forEach((site, third) => {
    const columns = [Math.max(from, third * paddedWidth), Math.min(to, (third + 1) * paddedWidth)] as const;
    const site3 = { neurons: qkvNeurons, stride: qkv.outputs, columns, bits: buffers.qkvBits };
    if (site !== 'query') {
      counters[spikeCounter(layer, site)]! += fireSums(worker, { ...site3, firstToken: 0, tokens: job.tokens });
      return;
    }
    for (let n = 0; n < job.tokens; n++) {
      const spikes = fireSums(worker, { ...site3, firstToken: n, tokens: 1 });
      counters[spikeCounter(layer, site)]! += spikes;
      counters[meetingCounter(layer)]! += spikes * (job.start + n + 1);
    }
  });
}

/** Stores the new keys and values of this thread's heads and attends with their queries. */
function attend(worker: Worker, layer: number, { attention, qkv }: PackedLayer): void {
  const { kernels, buffers, job, counters, scratch, weights: { shape, config: { neuron } } } = worker;
  const [headFrom, headTo] = partOf(shape.heads, worker.share);
  const [words, dWords] = [qkv.outputs / WORD_CHANNELS, shape.paddedWidth / WORD_CHANNELS];
  const layerOffset = layer * layerBytes(shape);
  kernels.storeHeads(
    buffers.qkvBits, words, job.tokens, shape.timeSteps, job.start, headFrom, headTo, shape.heads, shape.headWidth, dWords, buffers.pageTable, layerOffset,
  );
  counters[spikeCounter(layer, 'attention')]! += kernels.attend(
    buffers.qkvBits, words, job.tokens, shape.timeSteps, job.start, headFrom, headTo, shape.heads, shape.headWidth, dWords, buffers.pageTable, layerOffset,
    attention.reversed, attention.biasStride, shape.contextLength, attention.thresholds, neuron.decay, RESET_CODES[neuron.reset], buffers.sums, scratch,
  );
}

/** SN_AttnOut on the attended values. */
function fireAttentionOut(worker: Worker, layer: number, neurons: PackedNeurons): void {
  const { kernels, buffers, job, counters, weights: { shape, config: { neuron } } } = worker;
  const [from, to] = columnsOf(worker, shape.paddedWidth);
  if (from === to) return;
  counters[spikeCounter(layer, 'attention_out')]! += kernels.fireInt(
    buffers.sums, shape.paddedWidth, neurons.bias, neurons.threshold, from, to, job.tokens, shape.timeSteps,
    neuron.decay, RESET_CODES[neuron.reset], buffers.outBits, shape.paddedWidth / WORD_CHANNELS,
  );
}

function fireHidden(worker: Worker, layer: number, { fc1, hiddenNeurons }: PackedLayer): void {
  const { buffers, job, counters } = worker;
  counters[spikeCounter(layer, 'hidden')]! += fireSums(worker, {
    neurons: hiddenNeurons, stride: fc1.outputs, columns: columnsOf(worker, fc1.outputs), firstToken: 0, tokens: job.tokens, bits: buffers.hiddenBits,
  });
}

/** Entrance neurons of a sub-layer: this thread's columns of the stream, and again negated where they come in pairs. */
function enter(worker: Worker, layer: number, site: 'attention_entry' | 'feed_forward_entry'): void {
  const { kernels, buffers, job, counters, weights: { layers, shape, config: { neuron } } } = worker;
  const packed = layers[layer]!;
  const { bias, threshold } = site === 'attention_entry' ? packed.attentionEntry : packed.feedForwardEntry;
  const [from, to] = columnsOf(worker, shape.paddedWidth);
  if (from === to) return;
  const [width, words] = [shape.paddedWidth, shape.entranceWidth / WORD_CHANNELS];
  for (let half = 0; half < (shape.isOnOff ? 2 : 1); half++) {
    counters[spikeCounter(layer, site)]! += kernels.fireFloat(
      buffers.stream, width, bias + 4 * half * width, threshold + 4 * half * width, half, from, to, job.tokens, shape.timeSteps,
      neuron.decay, RESET_CODES[neuron.reset], buffers.entryBits + (half * width) / 8, words,
    );
  }
}

/** A matrix whose sums go to the residual stream: as currents, or through neurons as spikes. */
interface Write {
  readonly linear: PackedLinear;
  readonly neurons: PackedNeurons | null;
  readonly site: 'attention_write' | 'feed_forward_write';
}

function write(worker: Worker, layer: number, { linear, neurons, site }: Write): void {
  const { kernels, buffers, job, counters, weights: { precision, shape } } = worker;
  const [from, to] = columnsOf(worker, linear.outputs);
  if (from === to) return;
  const vectors = job.tokens * shape.timeSteps;
  if (neurons !== null) {
    const target = { neurons, stride: linear.outputs, columns: [from, to] as const, firstToken: 0, tokens: job.tokens, bits: buffers.writeBits };
    counters[spikeCounter(layer, site)]! += fireSums(worker, target);
    kernels.addSpikes(buffers.writeBits, linear.outputs / WORD_CHANNELS, buffers.stream, linear.outputs, from, to, vectors);
  } else if (precision === 'int8') {
    kernels.addCurrentInt(buffers.acc, linear.scales!, linear.bias, buffers.stream, linear.outputs, from, to, vectors);
  } else {
    kernels.addCurrentFloat(buffers.acc, buffers.stream, linear.outputs, from, to, vectors);
  }
}

/** Time mean, final norm and tied head (A.6); the only real-valued product. Logits of token `headFirst + n` become row n. */
function runHead(worker: Worker): void {
  const { kernels, memory, buffers, job, share, weights: { config, shape, embedding, finalNorm, precision } } = worker;
  const width = shape.paddedWidth;
  const scales = memory.floats(buffers.quantisedScales, job.headCount);
  for (let n = share.part; n < job.headCount; n += share.parts) {
    const stream = buffers.stream + 4 * (job.headFirst + n) * shape.timeSteps * width;
    const normalised = buffers.normalised + 4 * n * width;
    kernels.readout(stream, shape.timeSteps, shape.width, width, finalNorm.weight, finalNorm.bias, config.layerNormEps, normalised);
    if (precision !== 'float32') scales[n] = kernels.quantise(normalised, width, headLimit(width), buffers.quantised + 2 * n * width);
  }
  share.sync();
  const [from, to] = partOf(shape.vocabSize, share);
  if (precision === 'float32') {
    kernels.headFloat(buffers.normalised, job.headCount, embedding.weights, from, to, buffers.logits, width, shape.vocabSize);
  } else {
    kernels.headInt8(
      buffers.quantised, buffers.quantisedScales, job.headCount, embedding.weights, embedding.scales!, from, to, buffers.logits, width, shape.vocabSize,
    );
  }
  share.sync();
}
