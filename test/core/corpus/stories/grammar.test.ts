import { expect } from 'chai';
import { findAmbiguities } from '../../../../src/core/corpus/stories/ambiguity.js';
import { grammarEntropy } from '../../../../src/core/corpus/stories/entropy.js';
import { compileGrammar, oneOf, sentences, type Grammar, type Lists, type Phrase } from '../../../../src/core/corpus/stories/grammar.js';
import { parseText } from '../../../../src/core/corpus/stories/parse.js';
import { walkGrammar } from '../../../../src/core/corpus/stories/walk.js';

const lists: Lists = {
  names: [{ text: 'Ann', he: 'she' }, { text: 'Bob', he: 'he' }, { text: 'Cy', he: 'he' }],
  pets: [
    { text: 'cat', foods: [{ text: 'milk' }, { text: 'fish' }] },
    { text: 'dog', foods: [{ text: 'meat' }, { text: 'bones' }] },
  ],
  nested: [{ text: 'sea' }, { text: 'seaside' }],
};
const compile = (phrase: Phrase): Grammar => compileGrammar(phrase, lists);

/** Every text a grammar can write, with its probability, by going through all choice sequences as one counts. */
function enumerateTexts(grammar: Grammar): { text: string; probability: number; choices: number[] }[] {
  const found: { text: string; probability: number; choices: number[] }[] = [];
  let script: number[] | null = [];
  while (script !== null) {
    const planned: readonly number[] = script;
    const counts: number[] = [];
    const choices: number[] = [];
    let [text, probability] = ['', 1];
    walkGrammar(grammar, {
      decide(point) {
        const option = planned[counts.length] ?? 0;
        counts.push(point.count);
        choices.push(option);
        probability *= point.probability(option);
        return option;
      },
      write: (piece) => ((text += piece), true),
    });
    found.push({ text, probability, choices });
    const last = choices.findLastIndex((option, i) => option + 1 < (counts[i] as number));
    script = last < 0 ? null : [...choices.slice(0, last), (choices[last] as number) + 1];
  }
  return found;
}

// Four kinds of openness: a weighted choice, a pick, a pick that excludes, a pick from what was picked.
const reduced: Phrase = sentences(
  '{one=names} met {two=names!one}.',
  oneOf([3, '{one} has a {pet=pets} that {one.he} gives {food=pet.foods}.'], [1, '{two.he} {verb=names!one!two}.'], [1, 'The end.']),
);

describe('compileGrammar and walkGrammar', () => {
  it('writes each text of a small grammar, names and forms consistent', () => {
    const texts = enumerateTexts(compile('{one=names} and {two=names!one}: {two} is {two.he}')).map(({ text }) => text);
    expect(texts).to.deep.equal([
      'Ann and Bob: Bob is he', 'Ann and Cy: Cy is he', 'Bob and Ann: Ann is she', 'Bob and Cy: Cy is he', 'Cy and Ann: Ann is she', 'Cy and Bob: Bob is he',
    ]);
  });

  it('picks from the list of the item that was picked', () => {
    const texts = enumerateTexts(compile('{pet=pets} {food=pet.foods}')).map(({ text }) => text);
    expect(texts).to.deep.equal(['cat milk', 'cat fish', 'dog meat', 'dog bones']);
  });

  it('keeps what every option of a choice binds, and only that', () => {
    const choice = oneOf([1, 'a {x=names}'], [1, 'b {x=names} {y=pets}']);
    expect(enumerateTexts(compile([choice, ' {x}'])).length).to.equal(3 + 6);
    expect(() => compile([choice, ' {y}'])).to.throw('{y} is not bound on every way to it');
    expect(() => compile([oneOf([1, 'a {x=names}'], [1, 'b {x=pets}']), '{x}'])).to.throw('{x} is not bound');
  });

  const mistakes: readonly [string, Phrase, string][] = [
    ['an unbound variable', '{x}', '{x} is not bound'],
    ['a form an item lacks', '{x=pets} {x.he}', 'cat has no such form'],
    ['an unknown list', '{x=things}', 'there is no list things'],
    ['a variable bound twice', '{x=names} {x=pets}', 'bound twice'],
    ['an exclusion from another list', '{x=pets} {y=names!x}', 'x was not picked from there'],
    ['exclusions that may coincide', '{x=names} {y=names} {z=names!x!y}', 'may be the same item'],
    ['a list excluded to nothing', '{x=pets} {y=pets!x} {z=pets!x!y}', 'nothing left to pick'],
    ['a line break', 'a\nb', 'line break'],
    ['a brace', 'a { b', 'brace'],
    ['a weight of nothing', oneOf([0, 'a'], [1, 'b']), 'weight 0'],
    ['a list some items lack', '{x=names} {y=x.foods}', 'same length'],
  ];
  for (const [name, phrase, message] of mistakes) {
    it(`refuses ${name}`, () => {
      expect(() => compile(phrase)).to.throw(Error, message);
    });
  }
});

describe('grammarEntropy', () => {
  it('adds ln n for picks and the expectation over weighted choices', () => {
    // ln 3 + ln 2, then H(3/5, 1/5, 1/5) + 3/5 (ln 2 + ln 2) + 1/5 ln 1.
    const expected = Math.log(3) + Math.log(2) - 0.6 * Math.log(0.6) - 0.4 * Math.log(0.2) + 1.2 * Math.log(2);
    expect(grammarEntropy(compile(reduced))).to.be.closeTo(expected, 1e-12);
  });

  it('equals −Σ p ln p over every text of the reduced grammar', () => {
    const texts = enumerateTexts(compile(reduced));
    expect(texts.length).to.equal(6 * (4 + 1 + 1));
    expect(new Set(texts.map(({ text }) => text)).size).to.equal(36);
    expect(texts.reduce((sum, { probability }) => sum + probability, 0)).to.be.closeTo(1, 1e-12);
    expect(grammarEntropy(compile(reduced))).to.be.closeTo(texts.reduce((sum, { probability: p }) => sum - p * Math.log(p), 0), 1e-12);
  });
});

describe('parseText', () => {
  it('recovers choices and probability of every text of the reduced grammar', () => {
    const grammar = compile(reduced);
    for (const { text, probability, choices } of enumerateTexts(grammar)) {
      const derivation = parseText(grammar, text);
      expect(derivation?.choices, text).to.deep.equal(choices);
      expect(derivation?.nats).to.be.closeTo(-Math.log(probability), 1e-12);
    }
  });

  it('refuses what the grammar cannot write', () => {
    const grammar = compile(reduced);
    for (const text of ['', 'Ann met Bob.', 'Ann met Ann. The end.', 'Ann met Bob. The end. ', 'Ann met Bob. Ann has a cat that he gives milk.', 'Ann met Bob. Ann has a cat that she gives meat.']) {
      expect(parseText(grammar, text), text).to.equal(null);
    }
  });
});

describe('findAmbiguities', () => {
  const clear: readonly Phrase[] = [
    reduced, oneOf([1, 'a.'], [1, 'a!']), ['{x=names} {y=names!x} ', oneOf([1, '{x} ran'], [1, '{y} ran'])], ['{x=pets} ', oneOf([1, '{x}s'], [1, '{x} {y=x.foods}'])],
  ];
  clear.forEach((phrase, index) => {
    it(`finds nothing in clear grammar ${index + 1}`, () => {
      expect(findAmbiguities(compile(phrase))).to.deep.equal([]);
    });
  });

  const unclear: readonly [string, Phrase, string][] = [
    ['an option that begins another', oneOf([1, 'a'], [1, 'ab']), '"a" against "ab"'],
    ['an item that begins another', '{x=nested}', '"sea" begins "seaside"'],
    ['an option that begins with a pick', oneOf([1, '{x=names} ran'], [1, 'All ran']), '"" against "All ran"'],
    ['an empty option', oneOf([1, ''], [1, 'Really.']), '"" against'],
    ['two variables that may be the same', ['{x=names} {y=names} ', oneOf([1, '{x} ran'], [1, '{y} ran'])], '"Ann ran" against "Ann ran"'],
    ['a form two items share', ['{x=names} {y=names!x} ', oneOf([1, '{x.he} ran'], [1, '{y.he} ran'])], '"he ran" against "he ran"'],
    ['an unclear choice inside an option', oneOf([1, ['a ', oneOf([1, 'b'], [1, 'b c'])]], [1, 'd']), '"b" against "b c"'],
  ];
  for (const [name, phrase, message] of unclear) {
    it(`finds ${name}`, () => {
      expect(findAmbiguities(compile(phrase)).join('; ')).to.contain(message);
    });
  }
});
