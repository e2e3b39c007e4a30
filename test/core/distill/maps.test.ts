import { expect } from 'chai';

import { alignmentMap } from '../../../src/core/distill/maps.js';
import { ConfigError } from '../../../src/core/errors.js';

const spread = (student: number, teacher: number): readonly number[] => alignmentMap('distill.layerMap', null, { student, teacher });

describe('which teacher layer a student layer follows', () => {
  it('is its own where the depths agree, else spread from first to last', () => {
    expect(spread(4, 4)).to.deep.equal([0, 1, 2, 3]);
    expect(spread(2, 6)).to.deep.equal([0, 5]);
    expect(spread(3, 6)).to.deep.equal([0, 3, 5]); // 0, 2.5, 5
    expect(spread(4, 2)).to.deep.equal([0, 0, 1, 1]); // 0, 1/3, 2/3, 1
    expect(spread(3, 1)).to.deep.equal([0, 0, 0]);
  });

  it('is the last for a student of one layer', () => expect(spread(1, 6)).to.deep.equal([5]));

  it('is what the configuration says', () => expect(alignmentMap('distill.layerMap', [1, 1, 0], { student: 3, teacher: 2 })).to.deep.equal([1, 1, 0]));

  const refused: readonly (readonly [given: readonly number[], message: string])[] = [
    [[0], 'distill.headMap has 1 entries, expected 2: one per student layer or head'],
    [[0, 3], 'distill.headMap[1] is 3, expected an integer from 0 to 2: the teacher has 3'],
    [[-1, 0], 'distill.headMap[0] is -1'],
    [[0, 0.5], 'distill.headMap[1] is 0.5'],
  ];
  for (const [given, message] of refused) {
    it(`refuses [${given.join(', ')}]`, () => {
      expect(() => alignmentMap('distill.headMap', given, { student: 2, teacher: 3 })).to.throw(ConfigError, message).with.property('exitCode', 3);
    });
  }
});
