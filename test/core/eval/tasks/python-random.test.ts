import { expect } from 'chai';

import { PythonRandom } from '../../../../src/core/eval/tasks/python-random.js';

// random.Random(seed) of Python 3.11.
const BITS: Readonly<Record<number, readonly number[]>> = {
  0: [3626764237, 1654615998, 3255389356, 3823568514, 1806341205, 1, 8, 30],
  1234: [4150886329, 3342196574, 1892932127, 501869158, 32175636, 2, 29, 30],
  4294967295: [2728839433, 2661025012, 872737089, 924893097, 2608619700, 16, 9, 19],
};
/** Seed, size of the population range(size), members drawn, and three draws in a row. */
const SAMPLES: readonly (readonly [number, number, number, readonly (readonly number[])[]])[] = [
  [3, 10, 2, [[3, 8], [2, 5], [9, 7]]],
  [1234, 100, 5, [[99, 56, 14, 0, 11], [74, 4, 85, 88, 10], [12, 98, 45, 30, 2]]],
  [1234, 20, 5, [[14, 3, 0, 2, 1], [2, 3, 11, 7, 0], [0, 19, 11, 15, 14]]],
  [1234, 21, 3, [[14, 3, 0], [2, 18, 1], [2, 3, 11]]],
  [1234, 22, 3, [[14, 3, 0], [2, 18, 1], [21, 2, 3]]],
  [1234, 60, 6, [[49, 28, 7, 0, 5, 51], [37, 2, 42, 44, 5, 6], [49, 22, 15, 1, 56, 50]]],
  [1234, 85, 6, [[56, 14, 0, 11, 74, 4], [10, 12, 45, 30, 2, 3], [2, 44, 82, 79, 61, 78]]],
  [1234, 86, 6, [[56, 14, 0, 11, 74, 4], [85, 10, 12, 45, 30, 2], [3, 2, 44, 82, 79, 61]]],
  [7, 2000, 26, [[663, 1941, 308, 808, 1333, 98, 148, 1681, 1097, 192, 748, 1193, 118, 1863, 1039, 439, 76, 176, 888, 856, 143, 492, 185, 1128, 869, 121], [1693, 1158, 253, 1940, 457, 1291, 1284, 1193, 126, 1181, 1199, 812, 101, 1999, 452, 95, 1140, 1758, 272, 593, 858, 295, 1107, 241, 1169, 631], [1147, 1671, 1396, 370, 211, 1191, 1169, 1308, 384, 762, 199, 1121, 1458, 128, 1155, 122, 1267, 421, 1016, 1393, 1088, 875, 1591, 643, 953, 1199]]],
  [7, 5, 5, [[2, 1, 3, 0, 4], [4, 0, 1, 3, 2], [0, 4, 1, 2, 3]]],
  [1, 1, 1, [[0], [0], [0]]],
  [42, 300, 25, [[57, 12, 140, 125, 114, 71, 52, 279, 44, 216, 16, 15, 47, 111, 119, 258, 13, 287, 101, 214, 112, 229, 142, 3, 81], [216, 174, 142, 79, 110, 172, 52, 47, 194, 49, 183, 176, 135, 22, 235, 274, 63, 193, 40, 282, 150, 185, 295, 98, 35], [23, 116, 148, 40, 119, 51, 194, 142, 232, 186, 83, 189, 181, 107, 136, 36, 87, 273, 125, 236, 138, 285, 112, 166, 28]]],
];

describe('Python\'s random numbers', () => {
  for (const [seed, expected] of Object.entries(BITS)) {
    it(`seed ${seed}: five times getrandbits(32), three times getrandbits(5)`, () => {
      const random = new PythonRandom(Number(seed));
      expect([32, 32, 32, 32, 32, 5, 5, 5].map((bits) => random.bits(bits))).to.deep.equal(expected);
    });
  }

  for (const [seed, size, count, expected] of SAMPLES) {
    it(`seed ${seed}: three times sample(range(${size}), ${count})`, () => {
      const random = new PythonRandom(seed);
      const population = Array.from({ length: size }, (_, i) => i);
      expect([0, 1, 2].map(() => random.sample(population, count))).to.deep.equal(expected);
    });
  }

  it('goes on beyond its 624 words of state', () => {
    const random = new PythonRandom(1234);
    for (let i = 0; i < 1999; i++) random.bits(32);
    expect(random.bits(32)).to.equal(881902874);
  });

  it('refuses a sample larger than its population, and seeds of more than 32 bits', () => {
    expect(() => new PythonRandom(1).sample([1, 2], 3)).to.throw(RangeError, '3 members');
    expect(() => new PythonRandom(2 ** 32)).to.throw(RangeError, 'seed');
  });
});

