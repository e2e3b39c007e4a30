import { expect } from 'chai';
import { windowsOf } from '../../../src/core/corpus/batches.js';
import { bigramNll, ngramBaselines, unigramNll } from '../../../src/core/corpus/ngram.js';
import { ConfigError, ShapeError } from '../../../src/core/errors.js';

// Train on a b a b a c with V = 4 (a 0, b 1, c 2, d 3): counts a 3, b 2, c 1, d 0; unigram (c + 1) / (6 + 4): .4, .3, .2, .1.
// Bigrams: ab 2, ba 2, ac 1. As histories: a 3 with 2 followers, b 2 with 1 follower, c and d none.
const train = Int32Array.from([0, 1, 0, 1, 0, 2]);
const options = { train, vocabSize: 4 };

describe('unigramNll', () => {
  it('adds one to every count', () => {
    // Targets of the window a b d: b and d.
    const expected = -(Math.log(0.3) + Math.log(0.1)) / 2;
    expect(unigramNll({ ...options, windows: [Int32Array.from([0, 1, 3])] })).to.be.closeTo(expected, 1e-12);
  });

  it('is ln V without any training token', () => {
    expect(unigramNll({ train: new Int32Array(0), vocabSize: 5, windows: [Int32Array.from([0, 4])] })).to.be.closeTo(Math.log(5), 1e-12);
  });
});

describe('bigramNll', () => {
  const cases: readonly [string, number, number, number][] = [
    ['a→b: (2 + 2·.3) / (3 + 2)', 0, 1, 2.6 / 5],
    ['a→c: (1 + 2·.2) / (3 + 2)', 0, 2, 1.4 / 5],
    ['a→d, never seen: 2·.1 / (3 + 2)', 0, 3, 0.2 / 5],
    ['b→a: (2 + 1·.4) / (2 + 1)', 1, 0, 2.4 / 3],
    ['b→c: 1·.2 / (2 + 1)', 1, 2, 0.2 / 3],
    ['c→a, history never followed: .4', 2, 0, 0.4],
    ['d→b, history never seen: .3', 3, 1, 0.3],
  ];
  for (const [name, history, target, probability] of cases) {
    it(name, () => {
      expect(bigramNll({ ...options, windows: [Int32Array.from([history, target])] })).to.be.closeTo(-Math.log(probability), 1e-12);
    });
  }

  it('sums to one over the vocabulary for every history', () => {
    for (let history = 0; history < 4; history++) {
      const total = [0, 1, 2, 3].reduce((sum, target) => sum + Math.exp(-bigramNll({ ...options, windows: [Int32Array.from([history, target])] })), 0);
      expect(total).to.be.closeTo(1, 1e-12);
    }
  });

  it('scores exactly the targets of the validation windows', () => {
    const valid = Int32Array.from([0, 1, 0, 2, 3, 3]);
    const windows = windowsOf(valid, 2); // targets b, a, c, d; the last token fills no window
    const expected = -(Math.log(2.6 / 5) + Math.log(2.4 / 3) + Math.log(1.4 / 5) + Math.log(0.1)) / 4;
    expect(ngramBaselines({ ...options, windows }).bigramNll).to.be.closeTo(expected, 1e-12);
    expect(ngramBaselines({ ...options, windows }).unigramNll).to.be.closeTo(-(Math.log(0.3) + Math.log(0.4) + Math.log(0.2) + Math.log(0.1)) / 4, 1e-12);
  });

  it('refuses foreign tokens and windows without targets', () => {
    expect(() => bigramNll({ ...options, windows: [Int32Array.from([0, 4])] })).to.throw(ShapeError, 'token 4 lies outside a vocabulary of 4').with.property('exitCode', 5);
    expect(() => unigramNll({ train: Int32Array.from([-1]), vocabSize: 4, windows: [] })).to.throw(ShapeError, 'token -1');
    expect(() => unigramNll({ ...options, windows: [] })).to.throw(ConfigError, 'no validation targets').with.property('exitCode', 3);
  });
});
