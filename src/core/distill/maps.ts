import { ConfigError } from '../errors.js';

/**
 * Which teacher layer (or head) each student layer (or head) learns from: round(i·(N_T − 1)/(N_S − 1)), the identity for equal
 * depth; or the given list. @throws ConfigError naming the key when the list does not fit.
 */
export function alignmentMap(key: string, given: readonly number[] | null, counts: { student: number; teacher: number }): readonly number[] {
  const { student, teacher } = counts;
  if (given === null) {
    return Array.from({ length: student }, (_, i) => (student === 1 ? teacher - 1 : Math.round((i * (teacher - 1)) / (student - 1))));
  }
  if (given.length !== student) throw new ConfigError(`${key} has ${given.length} entries, expected ${student}: one per student layer or head`);
  const wrong = given.findIndex((index) => !Number.isInteger(index) || index < 0 || index >= teacher);
  if (wrong >= 0) throw new ConfigError(`${key}[${wrong}] is ${given[wrong]}, expected an integer from 0 to ${teacher - 1}: the teacher has ${teacher}`);
  return given;
}
