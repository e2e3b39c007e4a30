import { createRandom } from '../../corpus/random.js';

/** 95 % interval: its bounds; null: without bound on that side. */
export interface Interval {
  readonly low: number | null;
  readonly high: number | null;
}

/** How much of what the teacher can do beyond guessing the student kept. */
export interface SkillReport {
  /** (student − chance) / (teacher − chance); null where the teacher is not distinguishable from chance. */ readonly retained: number | null;
  readonly retainedInterval: Interval | null;
  /** Accuracy above chance, and its interval. */ readonly teacherAboveChance: number;
  readonly teacherInterval: Interval;
  readonly studentAboveChance: number;
  readonly studentInterval: Interval;
  /** In words. */ readonly verdict: string;
  readonly resamples: number;
  readonly seed: number;
}

/** Per item, in the same order: what each got. */
export interface PairedOutcomes {
  readonly student: readonly number[];
  readonly teacher: readonly number[];
  readonly chance: readonly number[];
}

export const SKILL_RESAMPLES = 2000;
export const SKILL_SEED = 1234;

const sum = (values: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
};

/** Bounds between which the middle 95 % of the resamples lie. */
function middle(values: Float64Array): Interval {
  const sorted = values.toSorted();
  const at = (share: number): number | null => {
    const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))]!;
    return Number.isFinite(value) ? value : null;
  };
  return { low: at(0.025), high: at(0.975) };
}

/** The ratio of two sums above chance. Where a resample's teacher is at or below chance, the ratio has no bound on the student's side. */
const ratio = (student: number, teacher: number): number => (teacher > 0 ? student / teacher : student > 0 ? Infinity : -Infinity);

/**
 * Above-chance skill retained, with intervals by a paired bootstrap: the same items are drawn for student, teacher and chance, so that what is hard for both
 * does not widen the interval. Seeded: equal outcomes give equal intervals.
 */
export function skillRetained({ student, teacher, chance }: PairedOutcomes): SkillReport {
  const n = chance.length;
  const ofStudent = student.map((value, i) => value - chance[i]!);
  const ofTeacher = teacher.map((value, i) => value - chance[i]!);
  const random = createRandom(SKILL_SEED);
  const resampled = { student: new Float64Array(SKILL_RESAMPLES), teacher: new Float64Array(SKILL_RESAMPLES), ratio: new Float64Array(SKILL_RESAMPLES) };
  for (let r = 0; r < SKILL_RESAMPLES; r++) {
    let [s, t] = [0, 0];
    for (let i = 0; i < n; i++) {
      const drawn = random.integer(n);
      s += ofStudent[drawn]!;
      t += ofTeacher[drawn]!;
    }
    resampled.student[r] = s / n;
    resampled.teacher[r] = t / n;
    resampled.ratio[r] = ratio(s, t);
  }
  const [teacherInterval, studentInterval] = [middle(resampled.teacher), middle(resampled.student)];
  const [teacherAboveChance, studentAboveChance] = [sum(ofTeacher) / n, sum(ofStudent) / n];
  const isTeacherAbove = teacherInterval.low! > 0;
  return {
    retained: isTeacherAbove ? studentAboveChance / teacherAboveChance : null, retainedInterval: isTeacherAbove ? middle(resampled.ratio) : null,
    teacherAboveChance, teacherInterval, studentAboveChance, studentInterval,
    verdict: verdictOf(teacherInterval, studentInterval), resamples: SKILL_RESAMPLES, seed: SKILL_SEED,
  };
}

function verdictOf(teacher: Interval, student: Interval): string {
  if (teacher.high! < 0) return 'the teacher is below chance: a share of its skill says nothing';
  if (!(teacher.low! > 0)) return 'the teacher is not distinguishable from chance: a share of its skill says nothing';
  if (!(student.low! > 0)) return 'the teacher is above chance, the student is not distinguishable from it';
  return 'both are above chance';
}
