import { expect } from 'chai';

import { UsageError } from '../../../../src/core/errors.js';
import { withExamples } from '../../../../src/core/eval/tasks/few-shot.js';
import { findTasks } from '../../../../src/core/eval/tasks/find-tasks.js';
import { buildItems } from '../../../../src/core/eval/tasks/items.js';

const itemsOf = async (name: string, rows: readonly Readonly<Record<string, unknown>>[]) => {
  const [task] = await findTasks([name], null);
  return { task: task!, items: buildItems(task!, rows.map((row, i) => ({ row, place: `${i}` })), 0) };
};
const openbook = (count: number, first = 0) => itemsOf('openbookqa', Array.from({ length: count }, (_, i) => ({ query: `q${first + i}`, choices: ['a', 'b'], gold: i % 2 })));
/** The numbers of the examples in a prompt. */
const drawn = (context: string): number[] => [...context.matchAll(/q(\d+) [ab]\n\n/g)].map(([, number]) => Number(number));

// random.Random(1234) of Python 3.11, one sample an item: sample(range(30), 3), and sample(range(30), 4) without the item itself, the first 3.
const FROM_TRAINING = [[24, 14, 3], [0, 2, 29], [25, 18, 1], [21, 22, 2], [3, 24, 11]];
const FROM_SCORED = [[24, 14, 3], [2, 29, 25], [1, 21, 22], [24, 11, 7], [0, 25, 11], [19, 15, 14], [2, 5, 22], [27, 0, 16], [28, 7, 2], [17, 29, 14], [19, 21, 2], [18, 1, 8]];

describe('few-shot examples', () => {
  it('are drawn from training items as the harness draws them', async () => {
    const [{ task, items }, { items: pool }] = [await openbook(5, 100), await openbook(30)];
    const prompts = withExamples(items, task, { shots: 3, pool, split: items }).map(({ requests }) => requests[1]!.context);
    expect(prompts.map(drawn)).to.deep.equal(FROM_TRAINING);
    expect(prompts[0]).to.equal('q24 a\n\nq14 a\n\nq3 b\n\nq100');
  });

  it('leave the item itself out where they come from the scored split, however few are scored', async () => {
    const { task, items } = await openbook(30);
    const prompts = withExamples(items.slice(0, 12), task, { shots: 3, pool: null, split: items });
    expect(prompts.map(({ requests }) => drawn(requests[0]!.context))).to.deep.equal(FROM_SCORED);
  });

  it('stand before both contexts of a gap, and leave answers alone', async () => {
    const { task, items } = await itemsOf('winograd_wsc', [{ context_options: ['A', 'B'], continuation: 'low', gold: 1 }, { context_options: ['C', 'D'], continuation: 'er', gold: 0 }]);
    expect(withExamples(items, task, { shots: 1, pool: null, split: items })[0]!.requests).to.deep.equal([
      { context: 'C er\n\nA', continuation: ' low' }, { context: 'C er\n\nB', continuation: ' low' }]);
  });

  it('need enough items, and a task that takes them', async () => {
    const { task, items } = await openbook(3);
    expect(() => withExamples(items, task, { shots: 3, pool: null, split: items })).to.throw(UsageError, 'openbookqa has 3 items to draw 3 examples from').with.deep.property('suggestions', ['--num-fewshot 2']);
    expect(withExamples(items, task, { shots: 0, pool: null, split: items })).to.equal(items);
    const wikitext = await itemsOf('wikitext', [{ page: 'a' }, { page: 'b' }]);
    expect(() => withExamples(wikitext.items, wikitext.task, { shots: 1, pool: null, split: wikitext.items })).to.throw(UsageError, 'take no examples');
  });
});
