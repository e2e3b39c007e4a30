const WORDS = 624;
const MIDDLE = 397;

/** Python's `random.Random(seed)` as far as few-shot sampling needs it: MT19937 (Matsumoto and Nishimura 1998) and `sample`. */
export class PythonRandom {
  private readonly state = new Uint32Array(WORDS);
  private index = WORDS;

  /** @throws RangeError unless the seed is a whole number in 0 … 2³² − 1 (larger ones take more than one key word). */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) throw new RangeError(`a seed is a whole number from 0 to 2^32 - 1, not ${seed}`);
    this.seedByArray([seed]);
  }

  /** `getrandbits(bits)`, 1 ≤ bits ≤ 32. */
  bits(bits: number): number {
    return this.word() >>> (32 - bits);
  }

  /** `randrange(bound)`: draws of as many bits as the bound has until one is below it. */
  below(bound: number): number {
    const bits = 32 - Math.clz32(bound);
    let drawn = this.bits(bits);
    while (drawn >= bound) drawn = this.bits(bits);
    return drawn;
  }

  /** `sample(population, count)`. @throws RangeError when the population is too small. */
  sample<Member>(population: readonly Member[], count: number): Member[] {
    const size = population.length;
    if (count > size) throw new RangeError(`${count} members cannot be drawn from ${size}`);
    // Python keeps a pool or a set of the drawn, whichever is smaller; the draws differ.
    const setSize = count > 5 ? 21 + 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 21;
    return size <= setSize ? this.sampleFromPool(population, count) : this.sampleDistinct(population, count);
  }

  private sampleFromPool<Member>(population: readonly Member[], count: number): Member[] {
    const pool = [...population];
    return Array.from({ length: count }, (_, i) => {
      const drawn = this.below(pool.length - i);
      const member = pool[drawn] as Member;
      pool[drawn] = pool[pool.length - i - 1] as Member;
      return member;
    });
  }

  private sampleDistinct<Member>(population: readonly Member[], count: number): Member[] {
    const taken = new Set<number>();
    while (taken.size < count) taken.add(this.below(population.length));
    return Array.from(taken, (index) => population[index] as Member);
  }

  private seedPlainly(seed: number): void {
    this.state[0] = seed;
    for (let i = 1; i < WORDS; i++) {
      const last = this.state[i - 1]!;
      this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
  }

  private seedByArray(key: readonly number[]): void {
    const { state } = this;
    this.seedPlainly(19650218);
    let [i, j] = [1, 0];
    const advance = (): void => {
      if (++i < WORDS) return;
      state[0] = state[WORDS - 1]!;
      i = 1;
    };
    const mixed = (factor: number): number => state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), factor);
    for (let step = Math.max(WORDS, key.length); step > 0; step--) {
      state[i] = mixed(1664525) + key[j]! + j;
      advance();
      j = (j + 1) % key.length;
    }
    for (let step = WORDS - 1; step > 0; step--) {
      state[i] = mixed(1566083941) - i;
      advance();
    }
    state[0] = 0x8000_0000;
  }

  private word(): number {
    if (this.index === WORDS) this.refill();
    let y = this.state[this.index++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private refill(): void {
    const { state } = this;
    for (let i = 0; i < WORDS; i++) {
      const y = (state[i]! & 0x8000_0000) | (state[(i + 1) % WORDS]! & 0x7fff_ffff);
      state[i] = state[(i + MIDDLE) % WORDS]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.index = 0;
  }
}
