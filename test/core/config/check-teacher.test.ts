import { expect } from 'chai';

import { checkAgainstTeacher, resolveStudentShape } from '../../../src/core/config/check-teacher.js';
import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { ConfigError } from '../../../src/core/errors.js';

const TEACHER = { vocabSize: 300, hiddenSize: 64, layers: 3, heads: 2, feedForwardSize: 256, contextLength: 64 };
const config = (groups: Record<string, unknown>) => distillConfigSchema.parse({ run: 'r', teacher: 't', ...groups });

describe('configuration against the teacher', () => {
  it('takes the teacher\'s size where the student has none of its own', () => {
    const { student } = config({ student: { layers: 2, feedForwardSize: 128 } });
    expect(resolveStudentShape(student, TEACHER)).to.deep.equal({ ...TEACHER, layers: 2, feedForwardSize: 128 });
  });

  it('accepts equal shapes, and other widths with a random start', () => {
    checkAgainstTeacher(config({}), TEACHER);
    checkAgainstTeacher(config({ student: { hiddenSize: 64 } }), TEACHER);
    checkAgainstTeacher(config({ student: { hiddenSize: 32, init: 'random', embeddings: 'random' } }), TEACHER);
    checkAgainstTeacher(config({ distill: { layerMap: [0, 1, 2], headMap: [1, 0] } }), TEACHER);
  });

  const refused: readonly [string, Record<string, unknown>, readonly string[]][] = [
    ['a context over the teacher\'s', { train: { context: 65 } }, ['train.context (65)', '64']],
    ['ridge over another width', { student: { hiddenSize: 32, embeddings: 'random' } }, ['student.init ridge', 'student.hiddenSize is 32']],
    ['copied embeddings of another width', { student: { hiddenSize: 32, init: 'random' } }, ['student.embeddings teacher', 'student.hiddenSize is 32']],
    ['ridge over another feed-forward size', { student: { feedForwardSize: 32 } }, ['student.init ridge', 'feedForwardSize 256', 'is 32']],
    ['copied weights of another depth', { student: { layers: 2, init: 'copy' } }, ['student.init copy', 'layers 3', 'is 2']],
    ['heads that do not divide the teacher\'s width', { student: { heads: 3 } }, ['student.heads (3)', 'student.hiddenSize (64)']],
    ['a layer map of another length', { distill: { layerMap: [0, 1] } }, ['distill.layerMap has 2 entries', '3 layers']],
    ['a layer the teacher does not have', { distill: { layerMap: [0, 1, 3] } }, ['distill.layerMap names teacher layer 3', 'has 3']],
    ['a head the teacher does not have', { distill: { headMap: [0, 5] } }, ['distill.headMap names teacher head 5', 'has 2']],
  ];
  for (const [title, groups, parts] of refused) {
    it(`refuses ${title}`, () => {
      try {
        checkAgainstTeacher(config(groups), TEACHER);
      } catch (error) {
        expect(error).to.be.instanceOf(ConfigError);
        for (const part of parts) expect((error as ConfigError).message).to.contain(part);
        expect((error as ConfigError).suggestions).to.have.length(1);
        return;
      }
      expect.fail('nothing was thrown');
    });
  }
});
