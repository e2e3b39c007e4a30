import { expect } from 'chai';

import { ShapeError } from '../../../src/core/errors.js';
import { logSumExp, scoreToken } from '../../../src/core/serve/token-scores.js';
import { byteTokenizer } from '../../support/byte-tokenizer.js';

/** Logits of bytes; all others far below. */
function logits(values: Readonly<Record<string, number>>): Float32Array {
  const all = new Float32Array(257).fill(-1000);
  for (const [character, z] of Object.entries(values)) all[character.charCodeAt(0)] = z;
  return all;
}

describe('scores of tokens', () => {
  it('log-probabilities by hand: e^2, e^1 and e^0 of their sum', () => {
    const norm = Math.log(Math.exp(2) + Math.exp(1) + 1);
    const score = scoreToken(byteTokenizer, logits({ a: 1, b: 2, c: 0 }), { id: 97, count: 2 });
    expect(score.token).to.equal('a');
    expect(score.logprob).to.be.closeTo(1 - norm, 1e-12);
    expect(Object.keys(score.top ?? {})).to.have.members(['a', 'b']);
    expect(score.top?.['b']).to.be.closeTo(2 - norm, 1e-12);
  });

  it('the chosen token is in the list even when it is not among the most probable; the lowest id wins a tie', () => {
    const score = scoreToken(byteTokenizer, logits({ a: 3, b: 3, c: 0 }), { id: 99, count: 1 });
    expect(Object.keys(score.top ?? {})).to.deep.equal(['c', 'a']);
    expect(Object.keys(scoreToken(byteTokenizer, logits({ a: 3 }), { id: 97, count: 0 }).top ?? {})).to.deep.equal(['a']);
  });

  it('bytes that are no character are named by their ids, so that no two entries fall together', () => {
    const all = new Float32Array(257).fill(-50);
    all[0xc3] = 2;
    all[0xe2] = 1;
    const score = scoreToken(byteTokenizer, all, { id: 0xc3, count: 2 });
    expect(score.token).to.equal('token_id:195');
    expect(Object.keys(score.top ?? {})).to.deep.equal(['token_id:195', 'token_id:226']);
  });

  it('large logits do not overflow; an id outside is an error', () => {
    expect(logSumExp(Float32Array.of(1000, 1000))).to.be.closeTo(1000 + Math.log(2), 1e-9);
    expect(() => scoreToken(byteTokenizer, new Float32Array(3), { id: 3, count: 0 })).to.throw(ShapeError, /outside the vocabulary of 3/);
  });
});
