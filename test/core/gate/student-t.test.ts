import { expect } from 'chai';

import { fairCoinTail, incompleteBeta, upperQuantile, upperTail } from '../../../src/core/gate/student-t.js';

describe('Student\'s distribution', () => {
  it('quantiles as in printed tables', () => {
    // One-sided .05, .01, .001.
    const table: ReadonlyArray<readonly [freedom: number, tail: number, t: number]> = [
      [1, 0.05, 6.314], [1, 0.01, 31.82], [2, 0.01, 6.965], [4, 0.05, 2.132], [9, 0.05, 1.833], [9, 0.01, 2.821], [9, 0.001, 4.297], [30, 0.001, 3.385], [120, 0.05, 1.658],
    ];
    for (const [freedom, tail, t] of table) expect(upperQuantile(tail, freedom), `${freedom} degrees, ${tail}`).to.be.closeTo(t, t * 4e-4);
  });

  it('closed forms: one degree of freedom is Cauchy\'s, two have a square root', () => {
    for (const t of [0, 0.3, 1, 2.5, 40]) {
      expect(upperTail(t, 1)).to.be.closeTo(0.5 - Math.atan(t) / Math.PI, 1e-13);
      expect(upperTail(t, 2)).to.be.closeTo(0.5 * (1 - t / Math.sqrt(2 + t * t)), 1e-13);
    }
  });

  it('many degrees of freedom approach the normal distribution', () => {
    expect(upperQuantile(0.025, 1e6)).to.be.closeTo(1.959964, 1e-4);
  });

  it('incomplete beta: symmetric, and x for a = b = 1', () => {
    expect(incompleteBeta(0.3, 1, 1)).to.be.closeTo(0.3, 1e-14);
    expect(incompleteBeta(0.3, 2.5, 4) + incompleteBeta(0.7, 4, 2.5)).to.be.closeTo(1, 1e-13);
  });
});

describe('a fair coin', () => {
  it('tails by counting', () => {
    const choose = (n: number, k: number): number => Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1);
    for (const n of [1, 5, 12]) {
      for (let k = 0; k <= n + 1; k++) {
        let expected = 0;
        for (let j = k; j <= n; j++) expected += choose(n, j) / 2 ** n;
        expect(fairCoinTail(k, n), `${k} of ${n}`).to.be.closeTo(expected, 1e-12);
      }
    }
    expect(fairCoinTail(0, 0)).to.equal(1);
  });
});
