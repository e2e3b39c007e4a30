import type * as tf from '@tensorflow/tfjs-core';

import { ConfigError } from '../errors.js';
import type { StudentConfig } from '../student/config.js';
import { studentConfigToJson } from '../student/config.js';
import { readStudent } from '../student/folder.js';
import { readRecordedHash, readStudentConfig } from '../student/stored.js';
import { loadTokenizer } from '../tokenizer/load.js';

/** What may differ between a student and the earlier one it goes on from: its neuron. */
const MAY_DIFFER = new Set(['time_steps', 'decay', 'threshold', 'reset', 'surrogate', 'surrogate_alpha', 'detach_reset']);

/**
 * Checks that a student can go on from the one in `folder`; returns the recorded hash of that one's weights, if it has one.
 * @throws ConfigError naming every key that differs, or the tokenizers; FormatError when the folder holds no student.
 */
export async function checkEarlierStudent(folder: string, wanted: StudentConfig, tokenizerHash: string): Promise<string | null> {
  const [found, expected] = [studentConfigToJson(await readStudentConfig(folder)), studentConfigToJson(wanted)];
  const differences = Object.keys(expected).filter((key) => !MAY_DIFFER.has(key) && JSON.stringify(found[key]) !== JSON.stringify(expected[key]));
  if (differences.length > 0) {
    const list = differences.map((key) => `${key} ${JSON.stringify(found[key])} where this run has ${JSON.stringify(expected[key])}`).join(', ');
    throw new ConfigError(`student.from: ${folder}/config.json has ${list}`, { suggestions: ['Set the student keys as that student has them, or student.from to null'] });
  }
  if ((await loadTokenizer(folder)).hash !== tokenizerHash) {
    throw new ConfigError(`student.from: the tokenizer of ${folder} is not the teacher's`, { suggestions: ['Set teacher to that student\'s teacher, or student.from to null'] });
  }
  return readRecordedHash(folder);
}

/** The weights of a checked earlier student. @throws FormatError, ShapeError, NumericError on damaged weights. */
export async function earlierWeights(folder: string): Promise<Map<string, tf.Tensor>> {
  return new Map((await readStudent(folder)).parameters);
}
