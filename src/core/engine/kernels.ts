import type { ResetKind } from '../ops/lif.js';

/** Byte address in the engine's memory, aligned to the type that lies there (words of spikes: 8; scratch: 16). */
export type Address = number;

/** How the kernels are told the reset of a neuron. */
export const RESET_CODES: Readonly<Record<ResetKind, number>> = { soft: 0, 'soft-leaked': 1, hard: 2 };

/**
 * What the engine computes with: pure functions over byte addresses in one memory. There are two implementations, equal bit for
 * bit: WebAssembly SIMD and plain TypeScript (`referenceKernels`). Every float32 operation is rounded once, in the order given.
 *
 * Spikes are words of 64 bits, little-endian: channel c is bit c & 63 of word c >> 6; vector v of a set lies at
 * `bits + v·words·8`. A pass has N tokens × T time steps; vector v = n·T + t. I = 64·words inputs, O = `outputs` columns
 * (multiple of 64), V vectors. `from` and `to` (multiples of 64) are the columns of this call: no other column is written, so
 * calls on disjoint columns may run at once, each with a scratch of its own. Arrays are float32 and addresses unless said.
 */
export interface EngineKernels {
  /** Bytes of scratch that the three `addRows…` need for these shapes; 0 is possible. */
  addRowsScratchBytes(words: number, vectors: number): number;

  /** Bytes of scratch that `attend` needs for these shapes; 0 is possible. */
  attendScratchBytes(timeSteps: number, headWidth: number, heads: number): number;

  /**
   * Sums of the int8 weight rows that spikes select: acc[v][c] = Σ over fired inputs i of q[i][c], exact.
   * @param weights int8 [I][O]. Of every 16 columns, byte 2k is column k as unsigned q + 128 and byte 2k + 1 is column 8 + k as
   *   signed q.
   * @param acc int32 [V][O]; overwritten. @param counts two float64, added to: additions (spikes × columns of this call) and
   *   bytes of weights read (inputs that fired in at least one vector × columns × 1).
   */
  addRowsInt8(bits: Address, words: number, vectors: number, weights: Address, outputs: number, from: number, to: number,
    acc: Address, scratch: Address, counts: Address): void;

  /**
   * Bias plus the float32 weight rows that spikes select: acc[v][c] = bias[c], then += w[i][c] for fired i ascending.
   * @param weights [I][O]. @param bias [O]. @param acc [V][O]; overwritten. @param counts as in `addRowsInt8`, 4 bytes a weight.
   */
  addRowsFloat(bits: Address, words: number, vectors: number, weights: Address, bias: Address, outputs: number,
    from: number, to: number, acc: Address, scratch: Address, counts: Address): void;

  /**
   * Bias plus the int4 weight rows that spikes select: acc[v][c] = bias[c], then for each group g of 128 inputs, ascending, in
   * which something fired in vector v: += (Σ over fired inputs of the group of q[i][c])·scales[g][c].
   * @param weights nibbles of q + 8, [I][O/2] bytes. Of every 32 columns, byte k holds column k in its low nibble and column
   *   16 + k in its high one. @param scales [ceil(I/128)][O]. @param bias [O].
   * @param acc [V][O]; overwritten. @param counts as in `addRowsInt8`, half a byte a weight.
   */
  addRowsInt4(bits: Address, words: number, vectors: number, weights: Address, scales: Address, bias: Address, outputs: number,
    from: number, to: number, acc: Address, scratch: Address, counts: Address): void;

  /**
   * LIF neurons (paper Eq. 1 and its variants) on integer sums: I[t] = acc[v][c] + bias[c]; u[0] = I[0], u[t] = I[t] + carried;
   * s = [u ≥ threshold[c]]. Carried, by `reset`: 0 soft decay·u − threshold·s; 1 soft-leaked (u − threshold·s)·decay;
   * 2 hard decay·u, or 0 after a spike.
   * @param acc int32 [N·T][stride]. @param bias (stride). @param threshold (stride), may be +Infinity. @param decay a value.
   * @param bits word of column 0 of vector 0, [N·T][words]; columns from … to − 1 of every vector are overwritten.
   * @returns how many spikes.
   */
  fireInt(acc: Address, stride: number, bias: Address, threshold: Address, from: number, to: number,
    tokens: number, timeSteps: number, decay: number, reset: number, bits: Address, words: number): number;

  /**
   * LIF neurons like `fireInt`, on float32 currents I[t] = x[v][c] + bias[c] or, when `negate` is not 0, bias[c] − x[v][c].
   * @param x [N·T][stride]. @returns how many spikes.
   */
  fireFloat(x: Address, stride: number, bias: Address, threshold: Address, negate: number, from: number, to: number,
    tokens: number, timeSteps: number, decay: number, reset: number, bits: Address, words: number): number;

  /**
   * Copies the keys and values of new tokens, positions start … start + N − 1, into the cache, for heads headFrom … headTo − 1.
   * Head h owns channels h·K … h·K + K − 1 of each third of a vector; in a page its bits start at bit 0 and the rest is 0.
   * @param bits [N·T][words], queries at word 0, keys at dWords, values at 2·dWords. @param headWidth K.
   * @param pageTable uint32 addresses; page p holds positions 64p … 64p + 63.
   * @param layerOffset bytes from the start of a page to the layer's words [key, value][heads][T][ceil(K/64)][64 positions].
   */
  storeHeads(bits: Address, words: number, tokens: number, timeSteps: number, start: number, headFrom: number, headTo: number,
    heads: number, headWidth: number, dWords: number, pageTable: Address, layerOffset: number): void;

  /**
   * Causal spiking attention without softmax. For token n at position i = start + n and key j = 0 … i of the cache:
   * I[t] = popcount(q[t] AND k_j[t]) + reversed[h][contextLength − 1 − i + j]; a[t] from LIF neurons as in `fireInt`, each (n, h, j)
   * its own; sums[v][h·K + c] = Σ_j a[t]·v_j[t][c].
   * @param bits queries, as in `storeHeads`, which must have stored these tokens. @param reversed [heads][biasStride].
   * @param thresholds (heads). @param decay a value. @param sums int32 [N·T][64·dWords]; the channels of heads
   *   headFrom … headTo − 1 are overwritten, no others (nor the padding).
   * @returns how many attention spikes a = 1.
   */
  attend(bits: Address, words: number, tokens: number, timeSteps: number, start: number, headFrom: number, headTo: number,
    heads: number, headWidth: number, dWords: number, pageTable: Address, layerOffset: number, reversed: Address, biasStride: number,
    contextLength: number, thresholds: Address, decay: number, reset: number, sums: Address, scratch: Address): number;

  /** Adds integer sums to the residual stream: stream[v][c] += acc[v][c]·scale[c] + bias[c]. acc int32 [V][O], scale (O), bias (O), stream [V][O]. */
  addCurrentInt(acc: Address, scale: Address, bias: Address, stream: Address, outputs: number, from: number, to: number, vectors: number): void;

  /** Adds the sums of another thread: into[v][c] += sums[v][c], int32 [V][O] both; no element of `sums` is written meanwhile. */
  addSums(sums: Address, into: Address, outputs: number, from: number, to: number, vectors: number): void;

  /** Adds currents to the residual stream: stream[v][c] += acc[v][c]. acc [V][O], stream [V][O]. */
  addCurrentFloat(acc: Address, stream: Address, outputs: number, from: number, to: number, vectors: number): void;

  /** Adds spikes to the residual stream: stream[v][c] += 1 where channel c fired. bits [V][words], stream [V][O]. */
  addSpikes(bits: Address, words: number, stream: Address, outputs: number, from: number, to: number, vectors: number): void;

  /**
   * Starts the stream of one token: ((row·scale) + position)·gain, the same for all T time steps.
   * @param row int8 (width). @param scale a value. @param position (width). @param gain a value. @param stream [T][width]; overwritten.
   */
  embedInt8(row: Address, scale: number, position: Address, gain: number, stream: Address, width: number, timeSteps: number): void;

  /** Like `embedInt8` with a float32 row: (row + position)·gain. */
  embedFloat(row: Address, position: Address, gain: number, stream: Address, width: number, timeSteps: number): void;

  /**
   * Mean over time and LayerNorm of one token (A.6): m = Σ_t stream[t] / T; out = (m − mean)/√(variance + epsilon)·weight + bias,
   * mean and biased variance in float64 over the first `channels`, ascending.
   * @param stream [T][stride]. @param weight (channels). @param bias (channels). @param epsilon a float64 value.
   * @param out (stride); overwritten, channels from `channels` on with 0.
   */
  readout(stream: Address, timeSteps: number, channels: number, stride: number, weight: Address, bias: Address,
    epsilon: number, out: Address): void;

  /**
   * Rounds a vector to integers of at most `limit` (≤ 32767): out = nearest-even(x·(limit/m)), m = max |x|; all 0 when m is 0.
   * @param x (width), finite; m must not be so small that limit/m overflows. @param out int16 (width); overwritten.
   * @returns m/limit, the float32 value of one unit (0 when m is 0).
   */
  quantise(x: Address, width: number, limit: number, out: Address): number;

  /**
   * Logits from integers: logits[n][r] = (Σ_c x[n][c]·weights[r][c])·(xScales[n]·scales[r]) for vocabulary rows r = from … to − 1
   * (any numbers). The sum must fit 32 bits.
   * @param x int16 [N][width]. @param xScales (N). @param weights int8 [vocabSize][width]. @param scales (vocabSize).
   * @param logits [N][vocabSize]; rows from … to − 1 are overwritten.
   */
  headInt8(x: Address, xScales: Address, tokens: number, weights: Address, scales: Address, from: number, to: number,
    logits: Address, width: number, vocabSize: number): void;

  /**
   * Logits from float32: Σ_c x[n][c]·weights[r][c] in four sums that start from 0, sum l over channels
   * l, l + 4, … ascending, joined as (0+2)+(1+3).
   * @param x [N][width]. @param weights [vocabSize][width]. @param logits as in `headInt8`.
   */
  headFloat(x: Address, tokens: number, weights: Address, from: number, to: number, logits: Address, width: number, vocabSize: number): void;
}

export type KernelName = keyof EngineKernels;

// A record, so that the compiler sees every kernel listed and nothing else.
const NAMES: Readonly<Record<KernelName, true>> = {
  addRowsScratchBytes: true, attendScratchBytes: true,
  addRowsInt8: true, addRowsFloat: true, addRowsInt4: true,
  fireInt: true, fireFloat: true,
  storeHeads: true, attend: true,
  addSums: true, addCurrentInt: true, addCurrentFloat: true, addSpikes: true,
  embedInt8: true, embedFloat: true,
  readout: true, quantise: true, headInt8: true, headFloat: true,
};

/** Every method of `EngineKernels`, which is also the list of what the WebAssembly binary must export. */
export const KERNEL_NAMES = Object.keys(NAMES) as readonly KernelName[];
