import { PassThrough } from 'node:stream';

import { expect } from 'chai';

import { createProgressBars } from '../../src/cli/progress-bars.js';
import { createTextStream } from '../../src/cli/text-stream.js';

const sink = (isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } => {
  const pipe = new PassThrough();
  let text = '';
  pipe.on('data', (piece: Buffer) => { text += piece.toString(); });
  return { stream: Object.assign(pipe, { isTTY, columns: 100 }) as unknown as NodeJS.WriteStream, text: () => text };
};

describe('progress', () => {
  it('where stderr is no terminal: first and last line of a phase, values, notices', () => {
    const { stream, text } = sink(false);
    const bars = createProgressBars(stream);
    for (const done of [1, 2, 3]) bars.progress({ phase: 'distil', done, total: 3, unit: 'steps', values: { loss: 3.61234, backend: 'wasm' } });
    bars.progress({ phase: 'download x', done: 1_500_000, total: null, unit: 'bytes' });
    bars.notice('dead site');
    bars.stop();
    expect(text()).to.equal('distil: 1 of 3 steps  loss 3.612 | backend wasm\ndistil: 3 of 3 steps  loss 3.612 | backend wasm\ndownload x: 1.5 MB\ndead site\n');
  });

  it('on a terminal draws one bar a phase and ends it on a notice', () => {
    const { stream, text } = sink(true);
    const bars = createProgressBars(stream);
    bars.progress({ phase: 'distil', done: 1, total: 4, unit: 'steps', values: { loss: 2 } });
    bars.notice('saved');
    bars.progress({ phase: 'eval', done: 4, total: 4, unit: 'tokens' });
    bars.stop();
    expect(text()).to.contain('distil').and.to.contain('1 of 4 steps').and.to.contain('saved\n').and.to.contain('eval');
  });
});

describe('generated text', () => {
  const generation = { text: 'ab', tokens: 2, tokenIds: [1, 2], promptTokens: 1, finishReason: 'length' as const, seed: 3, tokensPerSecond: 10, acsPerToken: 5 };

  it('goes to stdout as it is made, what it cost to stderr; nothing under --json', () => {
    for (const isSilent of [false, true]) {
      const [out, aside] = [sink(false), sink(false)];
      const { write } = createTextStream({ out: out.stream, aside: aside.stream, isSilent });
      write({ type: 'text', sample: 0, text: 'a' });
      write({ type: 'text', sample: 0, text: 'b' });
      write({ type: 'end', sample: 0, generation });
      expect([out.text(), aside.text()]).to.deep.equal(isSilent ? ['', ''] : ['ab\n', '2 tokens, ended by length, seed 3, 10 tokens/s, 5 accumulates/token\n']);
    }
  });
});
