import { expect } from 'chai';

import { slidingSession } from '../../../src/core/generate/sliding-session.js';
import { fakeLanguageModel } from '../../support/fake-language-model.js';

/** Says how many tokens it was given and which came first and last: its three logits. */
function witness(contextLength: number) {
  return fakeLanguageModel({ shape: { vocabSize: 3, contextLength }, next: (prefix) => [prefix.length, prefix[0]!, prefix.at(-1)!] });
}

describe('sliding session', () => {
  it('reads the newer half again, rounded up, when the context is full', async () => {
    const session = slidingSession(witness(5));
    expect([...(await session.append([10, 11, 12, 13])).logits]).to.deep.equal([4, 10, 13]);
    expect([...(await session.append([14])).logits]).to.deep.equal([5, 10, 14]);
    // Full: of 10 … 15 the last three remain.
    expect([...(await session.append([15])).logits]).to.deep.equal([3, 13, 15]);
    expect([...(await session.append([16])).logits]).to.deep.equal([4, 13, 16]);
    expect(session.length).to.equal(4);
  });

  it('holds one session of the model at a time, and none in the end', async () => {
    const model = witness(4);
    const session = slidingSession(model);
    for (let id = 0; id < 50; id++) await session.append([id]);
    expect(model.openSessions()).to.equal(1);
    session.dispose();
    expect(model.openSessions()).to.equal(0);
  });

  it('forks with the window it remembers', async () => {
    const session = slidingSession(witness(4));
    await session.append([1, 2, 3]);
    const fork = session.fork();
    await session.append([4]);
    await fork.append([7]);
    expect([...(await fork.append([8])).logits]).to.deep.equal([2, 7, 8]);
    expect([...(await session.append([5])).logits]).to.deep.equal([2, 4, 5]);
  });
});
