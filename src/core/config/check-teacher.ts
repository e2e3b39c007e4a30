import type { CrossProblem } from './cross-checks.js';
import { problemsError } from './problems.js';
import type { DistillConfig, StudentSettings } from './schema.js';
import type { ModelShape } from '../types.js';

/** The student's size: its own settings, and the teacher's where they are null. */
export function resolveStudentShape(student: StudentSettings, teacher: ModelShape): ModelShape {
  return {
    vocabSize: teacher.vocabSize,
    contextLength: teacher.contextLength,
    hiddenSize: student.hiddenSize ?? teacher.hiddenSize,
    layers: student.layers ?? teacher.layers,
    heads: student.heads ?? teacher.heads,
    feedForwardSize: student.feedForwardSize ?? teacher.feedForwardSize,
  };
}

type Finding = CrossProblem | null;

function widthFindings(config: DistillConfig, teacher: ModelShape): Finding[] {
  const { student } = config;
  if (student.hiddenSize === null || student.hiddenSize === teacher.hiddenSize) return [];
  const differs = `needs the teacher's width ${teacher.hiddenSize}, but student.hiddenSize is ${student.hiddenSize}`;
  return [
    student.init === 'random' ? null : {
      keys: ['student.init', 'student.hiddenSize'], message: `student.init ${student.init} ${differs}`, suggestion: 'Set student.init to random, or student.hiddenSize to null' },
    student.embeddings === 'random' ? null : {
      keys: ['student.embeddings', 'student.hiddenSize'], message: `student.embeddings teacher ${differs}`, suggestion: 'Set student.embeddings to random, or student.hiddenSize to null' },
  ];
}

function copyFindings(config: DistillConfig, teacher: ModelShape): Finding[] {
  const { init, feedForwardSize, layers } = config.student;
  const key = feedForwardSize !== null && feedForwardSize !== teacher.feedForwardSize ? 'feedForwardSize'
    : layers !== null && layers !== teacher.layers ? 'layers' : null;
  if (init === 'random' || key === null) return [];
  if (init === 'ridge' && key === 'layers') return [];
  return [{ keys: ['student.init', `student.${key}`],
    message: `student.init ${init} needs the teacher's ${key} ${teacher[key]}, but student.${key} is ${config.student[key]}`,
    suggestion: `Set student.init to random, or student.${key} to null` }];
}

function mapFindings(config: DistillConfig, shapes: { student: ModelShape; teacher: ModelShape }): Finding[] {
  return (['layer', 'head'] as const).flatMap((unit): Finding[] => {
    const map = config.distill[`${unit}Map`];
    const counted = `${unit}s` as const;
    if (map === null) return [];
    const key = `distill.${unit}Map`;
    const highest = Math.max(...map);
    return [
      map.length === shapes.student[counted] ? null : {
        keys: [key, `student.${counted}`], message: `${key} has ${map.length} entries, but the student has ${shapes.student[counted]} ${counted}`,
        suggestion: `Give ${key} ${shapes.student[counted]} entries, or null` },
      highest < shapes.teacher[counted] ? null : {
        keys: [key, 'teacher'], message: `${key} names teacher ${unit} ${highest}, but the teacher has ${shapes.teacher[counted]}, counted from 0`,
        suggestion: `Use 0 to ${shapes.teacher[counted] - 1}` },
    ];
  });
}

/** Checks a run against the teacher it names. @throws ConfigError naming both keys of every contradiction. */
export function checkAgainstTeacher(config: DistillConfig, teacher: ModelShape): void {
  const student = resolveStudentShape(config.student, teacher);
  const findings: Finding[] = [
    config.train.context <= teacher.contextLength ? null : {
      keys: ['train.context', 'teacher'], message: `train.context (${config.train.context}) is longer than the teacher's context (${teacher.contextLength})`,
      suggestion: `Set train.context to ${teacher.contextLength}` },
    student.hiddenSize % student.heads === 0 ? null : {
      keys: ['student.heads', 'student.hiddenSize'], message: `student.heads (${student.heads}) must divide student.hiddenSize (${student.hiddenSize}); null stands for the teacher's`,
      suggestion: 'Set student.heads to a divisor of student.hiddenSize' },
    ...widthFindings(config, teacher), ...copyFindings(config, teacher), ...mapFindings(config, { student, teacher }),
  ];
  const problems = findings.filter((finding) => finding !== null);
  if (problems.length > 0) throw problemsError(problems.map(({ message, suggestion }) => ({ message, suggestion })));
}
