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
  /** The teacher's accuracy above that of the unigram model, in the same way. */ readonly teacherAboveUnigram: number;
  readonly unigramInterval: Interval;
  /** In words. */ readonly verdict: string;
  readonly resamples: number;
  readonly seed: number;
}

/** Per item, in the same order: what each got. */
export interface PairedOutcomes {
  readonly student: readonly number[];
  readonly teacher: readonly number[];
  readonly chance: readonly number[];
  /** What token frequencies alone give. */ readonly unigram: readonly number[];
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

/** Resamples of outcomes that are all 0 (or all 1) tell nothing about the next item: 3/n is the 95 % bound then (the rule of three). */
function widenedIfConstant({ low, high }: Interval, outcomes: readonly number[]): Interval {
  if (outcomes.some((value) => value !== outcomes[0])) return { low, high };
  const slack = 3 / outcomes.length;
  return outcomes[0] === 0 ? { low, high: high! + slack } : { low: low! - slack, high };
}

/** The ratio of two sums above chance. Where a resample's teacher is at or below chance, the ratio has no bound on the student's side. */
const ratio = (student: number, teacher: number): number => (teacher > 0 ? student / teacher : student > 0 ? Infinity : -Infinity);

/**
 * Above-chance skill retained, with intervals by a paired bootstrap: the same items are drawn for student, teacher and chance, so that what is hard for both
 * does not widen the interval. Seeded: equal outcomes give equal intervals.
 */
export function skillRetained({ student, teacher, chance, unigram }: PairedOutcomes): SkillReport {
  const n = chance.length;
  const above = { student: differences(student, chance), teacher: differences(teacher, chance), unigram: differences(teacher, unigram) };
  const random = createRandom(SKILL_SEED);
  const drawn = { student: new Float64Array(SKILL_RESAMPLES), teacher: new Float64Array(SKILL_RESAMPLES), unigram: new Float64Array(SKILL_RESAMPLES), ratio: new Float64Array(SKILL_RESAMPLES) };
  for (let r = 0; r < SKILL_RESAMPLES; r++) {
    let [ofStudent, ofTeacher, ofUnigram] = [0, 0, 0];
    for (let draw = 0; draw < n; draw++) {
      const i = random.integer(n);
      ofStudent += above.student[i]!;
      ofTeacher += above.teacher[i]!;
      ofUnigram += above.unigram[i]!;
    }
    drawn.student[r] = ofStudent / n;
    drawn.teacher[r] = ofTeacher / n;
    drawn.unigram[r] = ofUnigram / n;
    drawn.ratio[r] = ratio(ofStudent, ofTeacher);
  }
  const teacherInterval = widenedIfConstant(middle(drawn.teacher), teacher);
  const studentInterval = widenedIfConstant(middle(drawn.student), student);
  const unigramInterval = middle(drawn.unigram);
  const [teacherAboveChance, studentAboveChance, teacherAboveUnigram] = [sum(above.teacher) / n, sum(above.student) / n, sum(above.unigram) / n];
  const isTeacherAbove = teacherInterval.low! > 0;
  return {
    retained: isTeacherAbove ? studentAboveChance / teacherAboveChance : null, retainedInterval: isTeacherAbove ? middle(drawn.ratio) : null,
    teacherAboveChance, teacherInterval, studentAboveChance, studentInterval, teacherAboveUnigram, unigramInterval,
    verdict: verdictOf(teacherInterval, studentInterval, unigramInterval), resamples: SKILL_RESAMPLES, seed: SKILL_SEED,
  };
}

const differences = (values: readonly number[], from: readonly number[]): Float64Array => Float64Array.from(values, (value, i) => value - from[i]!);

function verdictOf(teacher: Interval, student: Interval, unigram: Interval): string {
  if (teacher.high! < 0) return 'the teacher is below chance: a share of its skill says nothing';
  if (!(teacher.low! > 0)) return 'the teacher is not distinguishable from chance: a share of its skill says nothing';
  if (!(unigram.low! > 0)) return 'the teacher is above chance, but not distinguishable from token frequencies alone: the share says little';
  if (!(student.low! > 0)) return 'the teacher is above chance, the student is not distinguishable from it';
  return 'both are above chance';
}
