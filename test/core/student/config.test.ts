import { expect } from 'chai';

import { FormatError } from '../../../src/core/errors.js';
import { entranceWidth, parseStudentConfig, studentConfigToJson } from '../../../src/core/student/config.js';
import { TINY_PAPER_STUDENT, TINY_STUDENT } from '../../support/tiny-models.js';

const parse = (change: Record<string, unknown>): ReturnType<typeof parseStudentConfig> =>
  parseStudentConfig(JSON.parse(JSON.stringify({ ...studentConfigToJson(TINY_STUDENT), ...change })), 'x/config.json');

describe('student configuration', () => {
  it('goes through JSON unchanged, and says what it is', () => {
    for (const config of [TINY_STUDENT, TINY_PAPER_STUDENT]) {
      const json = studentConfigToJson(config);
      expect(parseStudentConfig(JSON.parse(JSON.stringify(json)), 'f')).to.deep.equal(config);
      expect(json).to.include({ model_type: 'bispikclm', format_version: 1, hidden_size: 8, time_steps: 4, eos_token_id: 2, bos_token_id: null });
    }
  });

  it('has twice as many entrance neurons with the pair', () => {
    expect([entranceWidth(TINY_STUDENT), entranceWidth(TINY_PAPER_STUDENT)]).to.deep.equal([16, 8]);
  });

  it('keeps keys of later writers out', () => expect(parse({ note: 'hello' })).to.deep.equal(TINY_STUDENT));

  const refused: readonly (readonly [title: string, change: Record<string, unknown>, message: RegExp])[] = [
    ['another model', { model_type: 'opt' }, /model_type: .*"bispikclm"/],
    ['another version', { format_version: 2 }, /format_version: .*1/],
    ['a text where a number belongs', { ffn_dim: '16' }, /ffn_dim: .*expected number, received string/],
    ['a fraction where a count belongs', { time_steps: 2.5 }, /time_steps: .*int/],
    ['no layers', { num_hidden_layers: 0 }, /num_hidden_layers: .*>0/],
    ['a missing key', { decay: undefined }, /decay: .*expected number, received undefined/],
    ['a leak above 1', { decay: 1.5 }, /decay: .*<=1/],
    ['a threshold of 0', { threshold: 0 }, /threshold: .*>0/],
    ['an unknown reset', { reset: 'gentle' }, /reset: .*"soft"\|"soft-leaked"\|"hard"/],
    ['a number where a flag belongs', { on_off: 1 }, /on_off: .*expected boolean, received number/],
    ['heads that do not divide the width', { num_attention_heads: 3 }, /hidden_size 8 is not divisible by num_attention_heads 3/],
  ];
  for (const [title, change, message] of refused) {
    it(`refuses ${title}`, () => {
      expect(() => parse(change)).to.throw(FormatError, message).that.includes({ exitCode: 5 }).with.property('message').that.contains('x/config.json');
    });
  }

  it('refuses what is no object', () => {
    expect(() => parseStudentConfig(null, 'f')).to.throw(FormatError, /the document: .*expected object/).with.nested.property('suggestions[0]').that.contains('bispik distill');
  });
});
