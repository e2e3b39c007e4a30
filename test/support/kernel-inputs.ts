import { createRandom } from '../../src/core/corpus/random.js';

/** How extreme weights are: the whole range, all the highest, all the lowest, or a random one of the two. */
export type WeightStyle = 'range' | 'highest' | 'lowest' | 'signs';

/** Values on a coarse grid (ties, equal to thresholds), over a few magnitudes, or so large that float32 cannot hold the integers. */
export type ValueStyle = 'grid' | 'mixed' | 'large';

/** Seeded inputs of engine kernels. */
export interface KernelInputs {
  /** Uniform over 0 … bound − 1. */
  below(bound: number): number;
  /** Spike words of `count` 64-bit words, each bit set with the given probability. */
  bits(count: number, rate: number): Uint8Array;
  floats(count: number, style: ValueStyle): Float32Array;
  /** Positive, a fifth of them +Infinity. */
  thresholds(count: number, style: ValueStyle): Float32Array;
  ints(count: number, style: ValueStyle): Int32Array;
  /** int8 from −limit to limit. */
  int8(count: number, style: WeightStyle): Int8Array;
  /** int8 weights as `addRowsInt8` reads them: unsigned q + 128 in even bytes, signed q in odd ones. */
  packedInt8(bytes: number, style: WeightStyle): Uint8Array;
  /** Two nibbles of q + 8, q = −7 … 7, a byte. */
  packedInt4(bytes: number, style: WeightStyle): Uint8Array;
}

const SPECIAL = [0, -0, 1, -1];

export function kernelInputs(seed: number): KernelInputs {
  const random = createRandom(seed);
  const below = (bound: number): number => random.integer(bound);
  const signed = (limit: number): number => below(2 * limit + 1) - limit;
  const float = (style: ValueStyle): number => {
    if (style === 'grid') return signed(12) / 4;
    if (style === 'large') return signed(1 << 26);
    return below(16) === 0 ? (SPECIAL[below(4)] ?? 0) : (2 * random.next() - 1) * 2 ** (below(7) - 3);
  };
  const integer = (style: ValueStyle): number => signed({ grid: 3, mixed: 400, large: 1 << 26 }[style]);
  const weight = (style: WeightStyle, limit: number): number => {
    if (style === 'range') return signed(limit);
    return style === 'highest' || (style === 'signs' && below(2) === 1) ? limit : -limit;
  };
  return {
    below,
    bits: (count, rate) => Uint8Array.from({ length: 8 * count }, () =>
      Array.from({ length: 8 }, (_, bit) => (random.next() < rate ? 1 << bit : 0)).reduce((byte, bit) => byte | bit)),
    floats: (count, style) => Float32Array.from({ length: count }, () => float(style)),
    thresholds: (count, style) => Float32Array.from({ length: count }, () => (below(5) === 0 ? Infinity : Math.abs(float(style)) + 0.25)),
    ints: (count, style) => Int32Array.from({ length: count }, () => integer(style)),
    int8: (count, style) => Int8Array.from({ length: count }, () => weight(style, 127)),
    packedInt8: (bytes, style) => Uint8Array.from({ length: bytes }, (_, i) => weight(style, 127) + (i % 2 === 0 ? 128 : 0)),
    packedInt4: (bytes, style) => Uint8Array.from({ length: bytes }, () => (weight(style, 7) + 8) * 16 + weight(style, 7) + 8),
  };
}
