import { expect } from 'chai';
import { entropyPerStory, storyGrammar, storyNats, trueNllPerToken, writeStories } from '../../../src/core/corpus/stories.js';
import { findAmbiguities } from '../../../src/core/corpus/stories/ambiguity.js';
import { parseText } from '../../../src/core/corpus/stories/parse.js';
import { FormatError } from '../../../src/core/errors.js';

describe('stories', () => {
  const corpus = writeStories({ seed: 1, count: 4000 });

  it('have an unambiguous grammar, so the entropy of the text is the entropy of the choices', () => {
    expect(findAmbiguities(storyGrammar())).to.deep.equal([]);
  });

  it('have the entropy that docs/stories.md states', () => {
    expect(entropyPerStory()).to.be.closeTo(27.8825, 5e-5);
  });

  it('can be read back: each text has one derivation, of the probability it was written with', () => {
    for (const { text, nats } of corpus.stories) expect(storyNats(text), text).to.be.closeTo(nats, 1e-9);
  });

  it('have, on average, the exact entropy: within five standard errors', () => {
    const mean = corpus.choicesNats / 4000;
    const variance = corpus.stories.reduce((sum, { nats }) => sum + (nats - mean) ** 2, 0) / 3999;
    expect(mean).to.be.closeTo(entropyPerStory(), 5 * Math.sqrt(variance / 4000));
  });

  it('have every opening and every plot', () => {
    const openings = new Set(corpus.stories.map(({ text }) => parseText(storyGrammar(), text)?.choices.slice(0, 1).join()));
    expect(openings.size).to.equal(4);
    for (const sign of ['lost a', 'was sad because', 'They found a', 'had a red', 'carried', 'broke a', 'wanted to make', 'was afraid of']) {
      expect(corpus.stories.some(({ text }) => text.includes(sign)), sign).to.equal(true);
    }
  });

  it('are one line of English each: no wrong article, no double space, every sentence closed', () => {
    for (const { text } of corpus.stories) expect(text).to.match(/^[A-Z][A-Za-z ,.!?"]+\.$/).and.not.match(/\ba [aeiou]|\ban [^aeiou]|  | [.,!?]/);
    expect(corpus.text).to.equal(corpus.stories.map(({ text }) => `${text}\n`).join(''));
  });

  it('have a few hundred different words and a length a small context holds', () => {
    const words = new Set(corpus.text.toLowerCase().match(/[a-z]+/g));
    expect(words.size).to.be.within(350, 500);
    expect(Math.max(...corpus.stories.map(({ text }) => text.length))).to.be.lessThan(450);
  });

  it('keep things straight: what is traded changes hands, and one less is left of what is shared', () => {
    const trades = corpus.text.matchAll(/had a (\w+ \w+), and (\w+) had a (\w+ \w+)\. [^.?]*[.?]"?(?: said \w+\.)? Now (\w+) had the (\w+ \w+) and (\w+) had the (\w+ \w+)\./g);
    let count = 0;
    for (const [, mine, friend, theirs, , nowMine, nowFriend, nowTheirs] of trades) {
      expect([nowMine, nowFriend, nowTheirs]).to.deep.equal([theirs, friend, mine]);
      count++;
    }
    expect(count).to.be.greaterThan(300);
    const numbers = ['two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
    for (const [, before = '', fruit, after = '', left] of corpus.text.matchAll(/carried (\w+) (\w+)[^\n]*?Now there were (\w+) (\w+)/g)) {
      expect([numbers.indexOf(after), left]).to.deep.equal([numbers.indexOf(before) - 1, fruit]);
    }
  });

  it('depend on the seed alone, and a longer corpus begins with a shorter one', () => {
    const three = writeStories({ seed: 5, count: 3 });
    expect(writeStories({ seed: 5, count: 4 }).text.startsWith(three.text)).to.equal(true);
    expect(writeStories({ seed: 6, count: 3 }).text).not.to.equal(three.text);
    expect(writeStories({ seed: 5, count: 0 })).to.deep.equal({ stories: [], text: '', choicesNats: 0 });
  });
});

describe('storyNats', () => {
  it('is the sum over the choices of one story, counted by hand', () => {
    const text = 'Once upon a time, Tom was a kind boy who loved the park. There he met Anna. Tom was afraid of the dark. '
      + '"You need a candle," said Anna. With a candle, Tom was glad and not afraid of the dark. From that day on, Tom and Anna were best friends.';
    // Opening 4/10, 24 children, 8 traits, 8 places; meeting 3/7, 23 others; fear 2 of 22; 6 fears; saying 1/3; 2 helps; 4 moods; ending 2/9.
    const probability = (4 / 10 / 24 / 8 / 8) * (3 / 7 / 23) * (2 / 22 / 6) * (1 / 3 / 2) * (1 / 4) * (2 / 9);
    expect(storyNats(text)).to.be.closeTo(-Math.log(probability), 1e-9);
  });

  it('is null for a text with anything wrong in it', () => {
    const { text } = writeStories({ seed: 2, count: 1 }).stories[0] as { text: string };
    for (const wrong of ['', text.slice(0, -1), `${text} `, text.replace(' a ', ' the '), text.toLowerCase()]) expect(storyNats(wrong), wrong).to.equal(null);
  });
});

describe('trueNllPerToken', () => {
  it('divides −ln p of the text by its tokens', () => {
    const corpus = writeStories({ seed: 3, count: 20 });
    expect(trueNllPerToken(corpus.text, 1000)).to.be.closeTo(corpus.choicesNats / 1000, 1e-12);
  });

  it('refuses a text that is not whole stories, naming the line', () => {
    const { text } = writeStories({ seed: 3, count: 2 });
    expect(() => trueNllPerToken(`${text}The end.\n`, 10)).to.throw(FormatError, 'line 3 is not a story').with.property('exitCode', 5);
    expect(() => trueNllPerToken(text.slice(0, -1), 10)).to.throw(FormatError, 'line break');
  });
});
