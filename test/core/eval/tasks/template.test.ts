import { expect } from 'chai';

import { ConfigError, FormatError } from '../../../../src/core/errors.js';
import { compileTemplate } from '../../../../src/core/eval/tasks/template.js';
import type { Row } from '../../../../src/core/eval/tasks/documents.js';

const fill = (source: string, row: Row): unknown => compileTemplate(source).evaluate({ row, place: 'x:1' });

function refusal(source: string): ConfigError {
  try {
    compileTemplate(source);
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError);
    return error as ConfigError;
  }
  throw new Error(`${source} was read`);
}

describe('templates', () => {
  const row = { a: ' b ', n: 3, list: ['x', 'y'], deep: { er: { c: 'd' } }, people: [{ name: 'Ann' }, { name: 'Bo' }], key: 'y', big: 'ab cd  ef' };

  for (const [source, expected] of [
    ['plain', 'plain'], ['', ''], ['{{a}}', ' b '], ['<{{a | strip}}>{{n}}', '<b>3'], ['{{deep.er.c}}', 'd'], ['{{list}}', ['x', 'y']], ['{{list.1}}', 'y'],
    ['{{[a, key, \'z|z\']}}', [' b ', 'y', 'z|z']], ['{{people | each(name)}}', ['Ann', 'Bo']], ['{{list | index_of(key)}}', 1], ['{{list | index_of(\'x\')}}', 0],
    ['{{n | minus(1)}}', 2], ['{{\'4\' | number}}', 4], ['{{3}}', 3], ['{{big | before_last_word}}|{{big | last_word}}', 'ab cd |ef'], ['{{a | lstrip}}{{a | rstrip}}', 'b  b'],
    ['{{key | capitalize}}{{\'ÉA\' | lower_first}}{{\'ab😀\' | drop_last}}', 'YéAab'], ['{{list | index_of(\'q y\' | last_word)}}', 1],
  ] as const) it(`${JSON.stringify(source)} gives ${JSON.stringify(expected)}`, () => expect(fill(source, row)).to.deep.equal(expected));

  it('never read what a field holds as a template', () => expect(fill('{{a}}!', { a: '{{b}}', b: 'x' })).to.equal('{{b}}!'));

  it('name the fields they need', () => {
    expect(compileTemplate('{{a.b}} {{[c, d] | index_of(e | strip)}}').fields).to.deep.equal([['a', 'b'], ['c'], ['d'], ['e']]);
  });

  it('refuse what they cannot read, with the nearest filter', () => {
    expect(refusal('{{a | stirp}}').suggestions[0]).to.equal('Did you mean strip?');
    expect(refusal('{{a | strip(1)}}').message).to.contain('strip takes no argument');
    expect(refusal('{{a | minus}}').message).to.contain('minus takes one argument');
    for (const source of ['{{a', 'a}}', '{% if a %}', '{{}}', '{{a b}}', '{{constructor()}}', '{{[a}}', '{{a | constructor}}']) expect(refusal(source).exitCode, source).to.equal(3);
  });

  it('say which field of which item is missing or of another kind', () => {
    const message = (source: string): string => {
      try {
        fill(source, row);
      } catch (error) {
        expect(error).to.be.instanceOf(FormatError);
        return (error as FormatError).message;
      }
      throw new Error('no error');
    };
    expect(message('{{deep.x}}')).to.contain('x:1 has no field deep.x');
    expect(message('{{toString}}')).to.contain('no field toString');
    expect(message('{{a | number}}')).to.contain('{{a | number}} must be a whole number');
    expect(message('{{a | each(b)}}')).to.contain('must be a list');
    expect(message('{{people | each(age)}}')).to.contain('member 1 has no age');
    expect(message('{{list}} and')).to.contain('must be text').and.to.contain('a list of 2');
    expect(message('{{list | index_of(a)}}')).to.contain('" b "').and.to.contain('["x","y"]');
  });
});
