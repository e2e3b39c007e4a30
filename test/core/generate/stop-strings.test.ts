import { expect } from 'chai';
import fc from 'fast-check';

import { UsageError } from '../../../src/core/errors.js';
import { createStopFilter } from '../../../src/core/generate/stop-strings.js';

function filterAll(pieces: readonly string[], stop: readonly string[]): { shown: string[]; text: string; isStopped: boolean } {
  const filter = createStopFilter(stop);
  const shown = pieces.map((piece) => filter.push(piece));
  return { shown, text: shown.join('') + filter.flush(), isStopped: filter.isStopped };
}

describe('stop strings', () => {
  it('cut before the stop string, across pieces', () => {
    expect(filterAll(['one', ' EN', 'D two'], ['END'])).to.deep.equal({ shown: ['one', ' ', ''], text: 'one ', isStopped: true });
  });

  it('hold back only what may still match, and give it back when it does not', () => {
    expect(filterAll(['a\n', '\nb', '\n'], ['\n\n\n'])).to.deep.equal({ shown: ['a', '\n\nb', ''], text: 'a\n\nb\n', isStopped: false });
  });

  it('find a match that begins inside a failed one', () => {
    expect(filterAll(['aa', 'ab', 'c'], ['aab'])).to.deep.equal({ shown: ['', 'a', ''], text: 'a', isStopped: true });
  });

  it('end at the one completed first; the longer where two end together', () => {
    expect(filterAll(['xabcd'], ['abcd', 'bc']).text).to.equal('xa');
    expect(filterAll(['xabc'], ['bc', 'abc']).text).to.equal('x');
  });

  it('pass everything without stop strings', () => {
    expect(filterAll(['a', '', 'b'], [])).to.deep.equal({ shown: ['a', '', 'b'], text: 'ab', isStopped: false });
  });

  it('drop what comes after', () => {
    const filter = createStopFilter(['.']);
    expect([filter.push('a.b'), filter.push('c'), filter.flush()]).to.deep.equal(['a', '', '']);
  });

  it('do not depend on how the text is cut, and never let a stop string through', () => {
    const word = (maxLength: number) => fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength }).map((letters) => letters.join(''));
    fc.assert(fc.property(fc.array(word(4), { maxLength: 8 }), fc.array(word(4), { maxLength: 3 }), (pieces, stop) => {
      const cut = filterAll(pieces, stop);
      expect(filterAll([...pieces.join('')], stop).text, 'letter by letter').to.equal(cut.text);
      for (const s of stop) expect(cut.text).not.to.contain(s);
      expect(pieces.join('').startsWith(cut.text)).to.equal(true);
      expect(cut.isStopped).to.equal(stop.some((s) => pieces.join('').includes(s)));
    }), { numRuns: 500 });
  });

  it('refuse to be empty', () => {
    expect(() => createStopFilter(['a', ''])).to.throw(UsageError, 'stop string is empty').with.property('exitCode', 2);
  });
});
