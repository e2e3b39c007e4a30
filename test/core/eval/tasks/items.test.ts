import { readdir } from 'node:fs/promises';

import { expect } from 'chai';

import { FormatError } from '../../../../src/core/errors.js';
import { findTasks, shippedTasksFolder } from '../../../../src/core/eval/tasks/find-tasks.js';
import { buildItems } from '../../../../src/core/eval/tasks/items.js';
import type { Row } from '../../../../src/core/eval/tasks/documents.js';
import { TASK_CASES } from '../../../support/task-rows.js';

const build = async (name: string, ...rows: readonly Row[]) => buildItems((await findTasks([name], null))[0]!, rows.map((row, i) => ({ row, place: `x.jsonl:${i + 1}` })), 0);

async function refusal(name: string, ...rows: readonly Row[]): Promise<FormatError> {
  const error: unknown = await build(name, ...rows).catch((thrown: unknown) => thrown);
  expect(error).to.be.instanceOf(FormatError);
  return error as FormatError;
}

describe('items of the tasks that ship', () => {
  TASK_CASES.forEach(({ task, row, requests, gold }, i) => {
    it(`${task}, case ${i + 1}`, async () => {
      const [item] = await build(task, row);
      expect(item!.requests.map(({ context, continuation }) => [context, continuation])).to.deep.equal(requests);
      expect(item!.gold).to.equal(gold);
    });
  });

  it('are tried for every task there is', async () => {
    expect([...new Set(TASK_CASES.map(({ task }) => `${task}.yaml`))].sort()).to.deep.equal((await readdir(shippedTasksFolder())).sort());
  });

  it('become examples with their answer and the delimiters', async () => {
    const exampleOf = async (task: string): Promise<string> => (await build(task, TASK_CASES.find((one) => one.task === task)!.row))[0]!.example;
    expect(await exampleOf('arc_easy')).to.equal('Question: Why?\nAnswer: 😀\n\n');
    expect(await exampleOf('winogrande')).to.equal('Sam saw Al, so Al ran low.\n\n');
    // The target has a space of its own there, and the delimiter another.
    expect(await exampleOf('lambada_openai')).to.equal('It was  so very\nlow and  lower\n\n');
  });
});

describe('items that cannot be scored', () => {
  const arc = { question: 'Why?', choices: { text: ['a', 'b'], label: ['A', 'B'] } };

  it('lack the field of the right answer, which is named with the place', async () => {
    const error = await refusal('arc_easy', { ...arc, answerKey: 'A' }, arc);
    expect(error.exitCode).to.equal(5);
    expect(error.message).to.equal('x.jsonl:2 has no field answerKey; its fields are question, choices');
    expect(error.suggestions[0]).to.contain('Add answerKey');
    expect((await refusal('arc_easy', arc)).message).to.contain('x.jsonl:1 has no field answerKey');
    expect((await refusal('piqa', { goal: 'g', sol1: 'a', sol2: 'b', label: null })).message).to.contain('null as field label');
  });

  it('name an answer that is no choice', async () => {
    expect((await refusal('arc_easy', { ...arc, answerKey: 'E' })).message).to.contain('x.jsonl:1').and.to.contain('"E"').and.to.contain('["A","B"]');
    for (const label of [2, -1, '7']) expect((await refusal('piqa', { goal: 'g', sol1: 'a', sol2: 'b', label })).message).to.contain(`number ${label}`).and.to.contain('outside 0 to 1');
    expect((await refusal('piqa', { goal: 'g', sol1: 'a', sol2: 'b', label: 'x' })).message).to.contain('whole number');
    expect((await refusal('piqa', { goal: 'g', sol1: 'a', sol2: 'b', label: 0.5 })).message).to.contain('0.5');
  });

  it('hold other things than text', async () => {
    expect((await refusal('piqa', { goal: 3.5, sol1: 'a', sol2: ['b'], label: 0 })).message).to.contain('sol2');
    expect((await refusal('arc_easy', { ...arc, choices: { text: ['a', 7], label: ['A', 'B'] }, answerKey: 'A' })).message).to.contain('member 2').and.to.contain('number 7');
    expect((await refusal('arc_easy', { ...arc, choices: { text: ['a'], label: ['A'] }, answerKey: 'A' })).message).to.contain('at least 2');
    expect((await refusal('arc_easy', { ...arc, choices: { text: ['a', ''], label: ['A', 'B'] }, answerKey: 'A' })).message).to.contain('choice 2 is empty');
    expect((await refusal('winogrande', { sentence: 'no gap', option1: 'a', option2: 'b', answer: '1' })).message).to.contain('no gap "_"');
    expect((await refusal('copa', { premise: 'p.', choice1: 'a', choice2: 'b', question: 'why', label: 0 })).message).to.contain('cause or effect').and.to.contain('"why"');
  });

  it('cannot reach a prototype', async () => {
    expect((await refusal('lambada_openai', JSON.parse('{"__proto__":{"text":"a b"}}') as Row)).message).to.contain('no field');
  });
});
