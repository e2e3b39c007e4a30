import { expect } from 'chai';

import { FormatError, UsageError } from '../../../../src/core/errors.js';
import type { TaskItem } from '../../../../src/core/eval/tasks/items.js';
import type { RequestEncoder, RequestTokenizer } from '../../../../src/core/eval/tasks/token-windows.js';
import { requestEncoder, rollingWindows, tokenizeItem } from '../../../../src/core/eval/tasks/token-windows.js';
import { tinyTokenizer } from '../../../support/task-models.js';
import { withTempFolder } from '../../../support/temp-folder.js';

/** Byte b is the id 4 + b; `lo` 260, `low` 261, `er` 262, ` low` 263; `</s>`, 2, stands before every text. */
const SPACE = 4 + 32;
const byte = (character: string): number => 4 + character.charCodeAt(0);
const withEncoder = (body: (encoder: RequestEncoder) => void) => withTempFolder(async (folder) => body(requestEncoder(await tinyTokenizer(folder))));
const itemOf = (...requests: readonly (readonly [string, string])[]): TaskItem => ({
  docId: 0, row: {}, place: 'x:1', requests: requests.map(([context, continuation]) => ({ context, continuation })), choices: [], gold: null, target: '', counted: null, example: '',
});

describe('tokens of a request', () => {
  it('are those of the whole past those of the context', () => withEncoder(({ encodePair }) => {
    expect(encodePair({ context: 'a', continuation: ' low' })).to.deep.equal({ context: [2, byte('a')], continuation: [263] });
    // `a lo` is three tokens, `a lower` too (a, ` low`, er): the tail past them is empty; with more text it is what follows.
    expect(encodePair({ context: 'a lo', continuation: 'wer' })).to.deep.equal({ context: [2, byte('a'), SPACE, 260], continuation: [] });
    expect(encodePair({ context: 'a lo', continuation: 'wer low' }).continuation).to.deep.equal([263]);
  }));

  it('take the context\'s trailing white space, Python\'s', () => withEncoder(({ encodePair }) => {
    expect(encodePair({ context: 'a \x1c ', continuation: 'low' })).to.deep.equal({ context: [2, byte('a')], continuation: [SPACE, 4 + 0x1c, 263] });
    expect(encodePair({ context: 'a\ufeff', continuation: 'b' }).context).to.deep.equal([2, byte('a'), 4 + 0xef, 4 + 0xbb, 4 + 0xbf]);
  }));

  it('begin with the prefix token where the context is empty, once', () => withEncoder(({ encodePair }) => {
    expect(encodePair({ context: '', continuation: 'low' })).to.deep.equal({ context: [2], continuation: [261] });
    expect(encodePair({ context: '', continuation: '</s>low' })).to.deep.equal({ context: [2], continuation: [261] });
    expect(encodePair({ context: '</s>a', continuation: 'low' }).context).to.deep.equal([2, byte('a')]);
  }));

  it('need a BOS or EOS token for that', () => {
    const nameless: RequestTokenizer = { bosId: null, eosId: null, encode: (text) => [...text].map((c) => c.charCodeAt(0)), decode: () => '' };
    expect(() => requestEncoder(nameless).encodePair({ context: '', continuation: 'a' })).to.throw(UsageError, 'neither a BOS nor an EOS');
    expect(requestEncoder(nameless).encodePair({ context: 'a', continuation: 'b' })).to.deep.equal({ context: [97], continuation: [98] });
    expect(requestEncoder({ ...nameless, eosId: 7 }).prefixId()).to.equal(7);
  });
});

describe('windows of a request', () => {
  const tokenize = (encoder: RequestEncoder, maxLength: number, ...requests: readonly (readonly [string, string])[]) => tokenizeItem(itemOf(...requests), encoder, { isRolling: false, maxLength });

  it('keep the right end of a context that is too long', () => withEncoder((encoder) => {
    // </s> a b c | d e: the input is without the last token, at most 4 long.
    const fits = tokenize(encoder, 5, ['abc', 'de']);
    expect(fits).to.deep.equal({ requests: [[{ input: [2, ...'abcd'].map((c) => (c === 2 ? 2 : byte(String(c)))), targets: [byte('d'), byte('e')] }]], isTruncated: false, isOverlong: false });
    const cut = tokenize(encoder, 3, ['abc', 'de']);
    expect(cut.requests[0]).to.deep.equal([{ input: [byte('b'), byte('c'), byte('d')], targets: [byte('d'), byte('e')] }]);
    expect([cut.isTruncated, cut.isOverlong]).to.deep.equal([true, false]);
    expect(tokenize(encoder, 4, ['abc', 'd']).isTruncated).to.equal(false);
  }));

  it('of a continuation longer than the context roll over it from the context\'s last token', () => withEncoder((encoder) => {
    const { requests, isOverlong } = tokenize(encoder, 3, ['ab', 'cdefg'], ['ab', 'c']);
    const ids = (text: string): number[] => [...text].map(byte);
    expect(requests[0]).to.deep.equal([{ input: ids('bcd'), targets: ids('cde') }, { input: ids('def'), targets: ids('fg') }]);
    expect(requests[1]).to.deep.equal([{ input: [2, ...ids('ab')], targets: ids('c') }]);
    expect(isOverlong).to.equal(true);
  }));

  it('cannot be made of a continuation without tokens', () => withEncoder((encoder) => {
    expect(() => tokenize(encoder, 9, ['a', 'b'], ['a lo', 'wer'])).to.throw(FormatError, 'x:1: continuation 2 "wer" adds no token');
  }));
});

describe('rolling windows', () => {
  const windows = (count: number, maxLength: number) => rollingWindows(Array.from({ length: count }, (_, i) => 10 + i), 0, maxLength);

  it('of a text that fits are one', () => {
    expect(windows(0, 4)).to.deep.equal([]);
    expect(windows(1, 4)).to.deep.equal([{ input: [0], targets: [10] }]);
    expect(windows(4, 4)).to.deep.equal([{ input: [0, 10, 11, 12], targets: [10, 11, 12, 13] }]);
  });

  it('have one token of context each, and the last is filled from the left', () => {
    expect(windows(10, 4)).to.deep.equal([
      { input: [0, 10, 11, 12], targets: [10, 11, 12, 13] }, { input: [13, 14, 15, 16], targets: [14, 15, 16, 17] }, { input: [15, 16, 17, 18], targets: [18, 19] },
    ]);
  });
});
