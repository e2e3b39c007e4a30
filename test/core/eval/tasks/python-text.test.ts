import { expect } from 'chai';

import { countCodePoints, countWords, pythonCapitalize, pythonLstrip, pythonRstrip, pythonStrip } from '../../../../src/core/eval/tasks/python-text.js';

// Expected values are what Python 3.11 answers.
describe('Python\'s text operations', () => {
  for (const [text, expected] of [
    ['tHE Lady', 'The lady'], ['', ''], ['ß', 'Ss'], ['ǆungla', 'ǅungla'], ['\u1f80Σ', '\u1f88ς'], ['\u1fb7', '\u0391\u0342\u0345'], ['აბ', 'აბ'], ['ΑΣ', 'Ας'],
    ['\u0149', '\u02bcN'], ['ﬁN', 'Fin'], ['𐐨𐐀', '𐐀𐐨'], ['3D', '3d'],
  ] as const) {
    it(`capitalize(${JSON.stringify(text)}) is ${JSON.stringify(expected)}`, () => expect(pythonCapitalize(text)).to.equal(expected));
  }

  it('takes U+001C to U+001F and U+0085 for white space, and U+FEFF not', () => {
    expect(pythonStrip('\x1c\x85 a \x1f\u3000')).to.equal('a');
    expect(pythonStrip('\ufeffa\ufeff')).to.equal('\ufeffa\ufeff');
    expect(pythonLstrip(' \n a ')).to.equal('a ');
    expect(pythonRstrip(' a\x1d\n')).to.equal(' a');
    expect([pythonStrip(' \t '), pythonRstrip('')]).to.deep.equal(['', '']);
  });

  it('counts words as re.split(r"\\s+") does, edges included', () => {
    expect(countWords('')).to.equal(1);
    expect(countWords(' ')).to.equal(2);
    expect(countWords(' a  b\n')).to.equal(4);
    expect(countWords('a\x1cb\x85c\ufeffd')).to.equal(3);
  });

  it('counts code points, not UTF-16 units', () => {
    expect(countCodePoints('a😀𝔘é')).to.equal(4);
    expect(countCodePoints('\ud83d')).to.equal(1);
  });
});
