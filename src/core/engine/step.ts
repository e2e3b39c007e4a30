import type { EngineBuffers, SpikeBuffers } from './buffers.js';
import { DIRECT_VECTORS } from './buffers.js';
import { meetingCounter, rowCounterOffset, spikeCounter } from './counters.js';
import type { Division, Part, Range } from './division.js';
import { divide } from './division.js';
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

const NO_JOB: Job = { tokens: 0, start: 0, headFirst: 0, headCount: 0 };

/** Which part of the work a thread does, and how it waits for the others. */
export interface Share extends Part {
  readonly sync: () => void;
}

/** A thread at work on a job. */
interface Worker extends Machine {
  readonly share: Share;
  readonly division: Division;
  readonly scratch: number;
  /** Address of the two counters of the row kernels. */ readonly rowCounters: number;
  job: Job;
  /** Of this part; see `counters.ts`. Fetched for each job, since a memory that has grown leaves its old views empty. */ counters: Float64Array;
  /** Spikes that meet a matrix. */ spikes: SpikeBuffers;
  /** Whether threads divide the inputs of matrices among them instead of the columns. */ isByInputs: boolean;
}

/**
 * A thread's way through a job, from the embedded stream to logits; reads top to bottom as the architecture. Channels and heads
 * are divided among the threads. Sums are whole numbers or in a fixed order, so the division changes no bit.
 */
export function createWorker(machine: Machine, share: Share): (job: Job) => void {
  const { weights: { layers, shape, precision }, buffers } = machine;
  const { scratch, counters, spikes } = buffers.parts[share.part]!;
  const offset = rowCounterOffset(layers.length);
  const fetchCounters = (): Float64Array => machine.memory.doubles(counters, offset / 8);
  const worker: Worker = {
    ...machine, share, division: divide(shape, share), scratch, rowCounters: counters + offset,
    job: NO_JOB, counters: fetchCounters(), spikes: buffers.spikes, isByInputs: false,
  };
  return (job) => {
    worker.job = job;
    worker.counters = fetchCounters();
    worker.isByInputs = share.parts > 1 && precision === 'int8' && job.tokens * shape.timeSteps <= DIRECT_VECTORS;
    worker.spikes = worker.isByInputs ? spikes : buffers.spikes;
    runJob(worker);
  };
}

function runJob(worker: Worker): void {
  const { job, weights: { layers }, share } = worker;
  if (job.tokens > 0) {
    enter(worker, 0, 'attention_entry');
    for (let layer = 0; layer < layers.length; layer++) runBlock(worker, layer);
    share.sync();
  }
  if (job.headCount > 0) runHead(worker);
}

/** SFSA and SFFN of one block. Expects the entrance spikes of this thread's channels, leaves those of the next block. */
function runBlock(worker: Worker, layer: number): void {
  const { weights, division: { channels, hidden, qkv }, spikes } = worker;
  const packed = weights.layers[layer]!;
  const charged = sumRows(worker, { linear: packed.qkv, bits: spikes.entry, columns: qkv });
  fireQueryKeyValue(worker, layer, { packed, acc: charged });
  attend(worker, layer, packed);
  fireAttentionOut(worker, layer, packed.attentionOut);
  const attended = sumRows(worker, { linear: packed.out, bits: spikes.out, columns: [channels] });
  write(worker, layer, { linear: packed.out, neurons: packed.attentionWrite, site: 'attention_write', acc: attended });
  enter(worker, layer, 'feed_forward_entry');
  const expanded = sumRows(worker, { linear: packed.fc1, bits: spikes.entry, columns: [hidden] });
  fireHidden(worker, layer, { packed, acc: expanded });
  const contracted = sumRows(worker, { linear: packed.fc2, bits: spikes.hidden, columns: [channels] });
  write(worker, layer, { linear: packed.fc2, neurons: packed.feedForwardWrite, site: 'feed_forward_write', acc: contracted });
  if (layer + 1 < weights.layers.length) enter(worker, layer + 1, 'attention_entry');
}

/** A matrix and the spikes that meet it. */
interface Product {
  readonly linear: PackedLinear;
  readonly bits: number;
  /** Those whose sums this thread needs. */ readonly columns: readonly Range[];
}

/**
 * Synaptic sums of this thread's columns: adds the rows of the inputs that fired. Returns where they are. Threads wait for each
 * other once: before, for all spikes; or, where few vectors are summed and every sum is a whole number, after each has added the
 * whole rows of the spikes that it has itself, for the sums of the others. Whole rows are what the prefetcher can follow.
 */
function sumRows(worker: Worker, { linear, bits, columns }: Product): number {
  const { kernels, weights: { shape }, job, share, buffers } = worker;
  if (!worker.isByInputs) {
    share.sync();
    for (const range of columns) addRows(worker, linear, { bits, range, acc: buffers.acc });
    return buffers.acc;
  }
  const { outputs } = linear;
  const own = partialSums(buffers, share.part, linear);
  addRows(worker, linear, { bits, range: [0, outputs], acc: own });
  share.sync();
  for (let part = 0; part < share.parts; part++) {
    if (part === share.part) continue;
    const sums = partialSums(buffers, part, linear);
    for (const [from, to] of columns) kernels.addSums(sums, own, outputs, from, to, job.tokens * shape.timeSteps);
  }
  return own;
}

/** Matrices that follow each other have sums of their own: a thread may still read those of the one before. */
function partialSums(buffers: EngineBuffers, part: number, { isWrite }: PackedLinear): number {
  const { write, charge } = buffers.parts[part]!.sums;
  return isWrite ? write : charge;
}

function addRows(worker: Worker, linear: PackedLinear, { bits, range: [from, to], acc }: { readonly bits: number; readonly range: Range; readonly acc: number }): void {
  const { kernels, weights, job, scratch, rowCounters } = worker;
  const { inputs, outputs, bias } = linear;
  const words = inputs / WORD_CHANNELS;
  const vectors = job.tokens * weights.shape.timeSteps;
  if (from === to) return;
  switch (weights.precision) {
    case 'float32': return kernels.addRowsFloat(bits, words, vectors, linear.weights, bias, outputs, from, to, acc, scratch, rowCounters);
    case 'int8': return kernels.addRowsInt8(bits, words, vectors, linear.weights, outputs, from, to, acc, scratch, rowCounters);
    case 'int4': return kernels.addRowsInt4(bits, words, vectors, linear.weights, linear.scales!, bias, outputs, from, to, acc, scratch, rowCounters);
  }
}

/** Neurons on the sums of a matrix. */
interface SummedNeurons {
  readonly neurons: PackedNeurons;
  readonly acc: number;
  /** Columns per vector of the sums. */ readonly stride: number;
  readonly columns: Range;
  readonly firstToken: number;
  readonly tokens: number;
  readonly bits: number;
}

/** Charges neurons with the sums in `acc`; returns the spikes. */
function fireSums(worker: Worker, { neurons, acc: all, stride, columns: [from, to], firstToken, tokens, bits }: SummedNeurons): number {
  const { kernels, weights: { config: { neuron }, precision, shape: { timeSteps } } } = worker;
  if (from >= to) return 0;
  const words = stride / WORD_CHANNELS;
  const acc = all + 4 * firstToken * timeSteps * stride;
  const into = bits + 8 * firstToken * timeSteps * words;
  const [decay, reset] = [neuron.decay, RESET_CODES[neuron.reset]];
  return precision === 'int8'
    ? kernels.fireInt(acc, stride, neurons.bias, neurons.threshold, from, to, tokens, timeSteps, decay, reset, into, words)
    : kernels.fireFloat(acc, stride, neurons.bias, neurons.threshold, 0, from, to, tokens, timeSteps, decay, reset, into, words);
}

/** A block and the sums that charge its neurons. */
interface Charge {
  readonly packed: PackedLayer;
  readonly acc: number;
}

/** Query, key and value neurons of this thread's heads; every query spike meets the keys of its position and of all before it. */
function fireQueryKeyValue(worker: Worker, layer: number, { packed: { qkv, qkvNeurons }, acc }: Charge): void {
  const { counters, job, buffers, division: { channels: [from, to] }, weights: { shape: { paddedWidth } } } = worker;
  const fire = (third: number, firstToken: number, tokens: number): number => fireSums(worker, {
    neurons: qkvNeurons, acc, stride: qkv.outputs, columns: [third * paddedWidth + from, third * paddedWidth + to], firstToken, tokens, bits: buffers.qkvBits,
  });
  for (let n = 0; n < job.tokens; n++) {
    const spikes = fire(0, n, 1);
    counters[spikeCounter(layer, 'query')]! += spikes;
    counters[meetingCounter(layer)]! += spikes * (job.start + n + 1);
  }
  counters[spikeCounter(layer, 'key')]! += fire(1, 0, job.tokens);
  counters[spikeCounter(layer, 'value')]! += fire(2, 0, job.tokens);
}

/** Stores the new keys and values of this thread's heads and attends with their queries. */
function attend(worker: Worker, layer: number, { attention, qkv }: PackedLayer): void {
  const { kernels, buffers, job, counters, scratch, division: { heads: [headFrom, headTo] }, weights: { shape, config: { neuron } } } = worker;
  if (headFrom === headTo) return;
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
  const { kernels, buffers, spikes, job, counters, division: { channels: [from, to] }, weights: { shape, config: { neuron } } } = worker;
  if (from === to) return;
  counters[spikeCounter(layer, 'attention_out')]! += kernels.fireInt(
    buffers.sums, shape.paddedWidth, neurons.bias, neurons.threshold, from, to, job.tokens, shape.timeSteps,
    neuron.decay, RESET_CODES[neuron.reset], spikes.out, shape.paddedWidth / WORD_CHANNELS,
  );
}

function fireHidden(worker: Worker, layer: number, { packed: { fc1, hiddenNeurons }, acc }: Charge): void {
  const { spikes, division, job, counters } = worker;
  counters[spikeCounter(layer, 'hidden')]! += fireSums(worker, {
    neurons: hiddenNeurons, acc, stride: fc1.outputs, columns: division.hidden, firstToken: 0, tokens: job.tokens, bits: spikes.hidden,
  });
}

/** Entrance neurons of a sub-layer: this thread's channels of the stream, and again negated where they come in pairs. */
function enter(worker: Worker, layer: number, site: 'attention_entry' | 'feed_forward_entry'): void {
  const { kernels, buffers, spikes, job, counters, division: { channels: [from, to] }, weights: { layers, shape, config: { neuron } } } = worker;
  const packed = layers[layer]!;
  const { bias, threshold } = site === 'attention_entry' ? packed.attentionEntry : packed.feedForwardEntry;
  if (from === to) return;
  const [width, words] = [shape.paddedWidth, shape.entranceWidth / WORD_CHANNELS];
  for (let half = 0; half < (shape.isOnOff ? 2 : 1); half++) {
    counters[spikeCounter(layer, site)]! += kernels.fireFloat(
      buffers.stream, width, bias + 4 * half * width, threshold + 4 * half * width, half, from, to, job.tokens, shape.timeSteps,
      neuron.decay, RESET_CODES[neuron.reset], spikes.entry + (half * width) / 8, words,
    );
  }
}

/** A matrix whose sums go to the residual stream: as currents, or through neurons as spikes. */
interface Write {
  readonly linear: PackedLinear;
  readonly neurons: PackedNeurons | null;
  readonly site: 'attention_write' | 'feed_forward_write';
  readonly acc: number;
}

function write(worker: Worker, layer: number, { linear, neurons, site, acc }: Write): void {
  const { kernels, buffers, job, counters, division: { channels: [from, to] }, weights: { precision, shape } } = worker;
  if (from === to) return;
  const vectors = job.tokens * shape.timeSteps;
  if (neurons !== null) {
    const target = { neurons, acc, stride: linear.outputs, columns: [from, to] as const, firstToken: 0, tokens: job.tokens, bits: buffers.writeBits };
    counters[spikeCounter(layer, site)]! += fireSums(worker, target);
    kernels.addSpikes(buffers.writeBits, linear.outputs / WORD_CHANNELS, buffers.stream, linear.outputs, from, to, vectors);
  } else if (precision === 'int8') {
    kernels.addCurrentInt(acc, linear.scales!, linear.bias, buffers.stream, linear.outputs, from, to, vectors);
  } else {
    kernels.addCurrentFloat(acc, buffers.stream, linear.outputs, from, to, vectors);
  }
}

/** Time mean, final norm and tied head (A.6); the only real-valued product. Logits of token `headFirst + n` become row n. */
function runHead(worker: Worker): void {
  const { kernels, memory, buffers, job, share, division: { vocabulary: [from, to] }, weights: { config, shape, embedding, finalNorm, precision } } = worker;
  const width = shape.paddedWidth;
  const scales = memory.floats(buffers.quantisedScales, job.headCount);
  for (let n = share.part; n < job.headCount; n += share.parts) {
    const stream = buffers.stream + 4 * (job.headFirst + n) * shape.timeSteps * width;
    const normalised = buffers.normalised + 4 * n * width;
    kernels.readout(stream, shape.timeSteps, shape.width, width, finalNorm.weight, finalNorm.bias, config.layerNormEps, normalised);
    if (precision !== 'float32') scales[n] = kernels.quantise(normalised, width, headLimit(width), buffers.quantised + 2 * n * width);
  }
  share.sync();
  if (precision === 'float32') {
    kernels.headFloat(buffers.normalised, job.headCount, embedding.weights, from, to, buffers.logits, width, shape.vocabSize);
  } else {
    kernels.headInt8(
      buffers.quantised, buffers.quantisedScales, job.headCount, embedding.weights, embedding.scales!, from, to, buffers.logits, width, shape.vocabSize,
    );
  }
  share.sync();
}
