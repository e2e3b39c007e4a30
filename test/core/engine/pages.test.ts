import { expect } from 'chai';

import { createMemory } from '../../../src/core/engine/memory.js';
import { createPagePool } from '../../../src/core/engine/pages.js';
import { clearState, createState, forkState, reserve } from '../../../src/core/engine/state.js';

const PAGE = 128;

function makePool() {
  const memory = createMemory(false);
  return { memory, pool: createPagePool(memory, PAGE) };
}

describe('pages of the cache', () => {
  it('are reused once nobody holds them', () => {
    const { memory, pool } = makePool();
    const [a, b] = [pool.acquire(), pool.acquire()];
    expect(b).to.not.equal(a);
    pool.retain(a);
    pool.release(a);
    const used = memory.usedBytes;
    expect(pool.acquire(), 'still held once').to.not.equal(a);
    pool.release(a);
    expect(pool.acquire()).to.equal(a);
    expect(memory.usedBytes).to.equal(used + PAGE);
  });

  it('are copied with their contents', () => {
    const { memory, pool } = makePool();
    const page = pool.acquire();
    memory.bytes(page, PAGE).fill(7);
    const copied = pool.copy(page);
    memory.bytes(page, PAGE).fill(1);
    expect([...memory.bytes(copied, PAGE)]).to.deep.equal(new Array(PAGE).fill(7));
  });

  it('cannot be given back twice', () => {
    const { pool } = makePool();
    const page = pool.acquire();
    pool.release(page);
    expect(() => pool.release(page)).to.throw('is not in use');
  });
});

describe('state of a sequence', () => {
  it('has a page for every 64 positions and never moves one', () => {
    const { pool } = makePool();
    const state = createState();
    reserve(state, 64, pool);
    const [first] = state.pages;
    reserve(state, 65, pool);
    expect(state.pages).to.have.lengthOf(2);
    expect(state.pages[0]).to.equal(first);
  });

  for (const [length, copied] of [[64, 0], [65, 1], [127, 1], [128, 0]] as const) {
    it(`shares full pages with its fork and copies ${copied} after ${length} positions`, () => {
      const { memory, pool } = makePool();
      const state = createState();
      reserve(state, length, pool);
      state.length = length;
      const before = memory.usedBytes;
      const fork = forkState(state, pool);
      const full = Math.floor(length / 64);
      expect(memory.usedBytes).to.equal(before + copied * PAGE);
      expect(fork.pages.slice(0, full)).to.deep.equal(state.pages.slice(0, full));
      if (copied === 1) expect(fork.pages[full]).to.not.equal(state.pages[full]);
    });
  }

  it('leaves a fork what both share', () => {
    const { memory, pool } = makePool();
    const state = createState();
    reserve(state, 64, pool);
    state.length = 64;
    memory.bytes(state.pages[0]!, PAGE).fill(9);
    const fork = forkState(state, pool);
    clearState(state, pool);
    expect(state).to.deep.equal({ length: 0, pages: [] });
    memory.bytes(pool.acquire(), PAGE).fill(0);
    expect(memory.bytes(fork.pages[0]!, PAGE)[0]).to.equal(9);
  });
});
