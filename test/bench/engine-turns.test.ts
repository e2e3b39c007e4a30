import { expect } from 'chai';

import type { Turn } from '../../bench/support/engine-turns.js';
import { contestantOf, llamaContestant, ratioOf, speedOf, takeTurns } from '../../bench/support/engine-turns.js';
import type { Side } from '../../bench/support/side.js';

const turn = (wall: number, processor: number | null): Turn => ({ decode: { wall, processor } });

describe('turns of the engine benchmark', () => {
  it('speed is the median of the turns, its spread half their middle half', () => {
    const turns = [10, 14, 11, 30, 12].map((wall) => turn(wall, 2 * wall));
    expect(speedOf(turns, 'decode')).to.deep.equal({ tokensPerSecond: 12, spread: 1.5, perProcessorSecond: 24 });
    expect(speedOf(turns, 'prefill')).to.equal(null);
    expect(speedOf([turn(10, null)], 'decode')).to.deep.equal({ tokensPerSecond: 10, spread: 0, perProcessorSecond: null });
  });

  it('a ratio compares turns that belong together, by both clocks where both sides have both', () => {
    const ours = [turn(20, 40), turn(30, 30), turn(40, 80)];
    expect(ratioOf(ours, [turn(10, 10), turn(10, 10), turn(10, 10)], 'decode')).to.deep.equal({ wall: { min: 2, median: 3, max: 4 }, processor: { min: 3, median: 4, max: 8 } });
    expect(ratioOf(ours, [turn(10, null), turn(10, null), turn(10, null)], 'decode')?.processor).to.equal(null);
    expect(ratioOf(ours, ours, 'perplexity')).to.equal(null);
  });

  it('everybody has a turn before anybody has another, in tokens per second of the median token', async () => {
    const log: string[] = [];
    const side = (name: string): Side => ({
      implementation: name,
      decode: async (tokens) => { log.push(`${name} ${tokens}`); return { wallMs: [2, 4, 100], processorMs: [1, 2, 3] }; },
      prefill: async ({ tokens, logits }) => { log.push(`${name} ${tokens} ${logits}`); return { wallMs: [64], processorMs: null }; },
      close: () => undefined,
    });
    const sizes = { decode: 3, prefill: 128, hasPerplexity: true };
    const turns = await takeTurns([contestantOf('a', side('a'), sizes), contestantOf('b', side('b'), { ...sizes, hasPerplexity: false })], 2);
    const round = ['a 3', 'a 128 last', 'a 128 all', 'b 3', 'b 128 last'];
    expect(log).to.deep.equal([...round, ...round]);
    expect(turns.get('a')?.[0]).to.deep.equal({ decode: { wall: 250, processor: 500 }, prefill: { wall: 2000, processor: null }, perplexity: { wall: 2000, processor: null } });
    expect(turns.get('b')?.[1]).to.not.have.property('perplexity');
  });

  it('a turn of llama.cpp takes its own rates', async () => {
    const rates = { prefill: [300, 500], decode: [90], processor: { prefill: [600, 700], decode: [95] }, implementation: 'x' };
    const { turn: taken } = llamaContestant('q8_0', async () => rates, 'x');
    expect(await taken()).to.deep.equal({ decode: { wall: 90, processor: 95 }, prefill: { wall: 500, processor: 700 } });
  });
});
