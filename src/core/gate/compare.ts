import { FormatError } from '../errors.js';
import type { Baseline } from './baseline.js';
import { differences } from './baseline.js';
import type { Measure, Measured } from './measures.js';
import { fairCoinTail, upperQuantile } from './student-t.js';

/** Chance that a run like its baseline fails the gate, all measures together. */
const FALSE_ALARMS = 0.005;
/** The repeatability limit that is usual for one measurement against another (ISO 5725), in deviations: the gate is never narrower. */
const REPEATABILITY = 2.8;
/** What the same computation may differ by on another processor, relative. */
const ROUNDING = 1e-6;

/** `worse` and `missing` fail the gate; `new` is measured but not in the baseline. */
export type Verdict = 'same' | 'better' | 'worse' | 'new' | 'missing';

/** One measure beside its baseline. */
export interface Comparison {
  readonly name: string;
  readonly better: Measure['better'];
  /** Mean of the repeats; null where there are none. */ readonly baseline: number | null;
  readonly repeats: number;
  /** Deviation of the repeats; null where one repeat shows none. */ readonly deviation: number | null;
  /** Null where it is missing. */ readonly value: number | null;
  /** By how much it may be worse; null where items were compared one by one. */ readonly tolerance: number | null;
  /** Chance of so many items lost beside those won, were nothing changed; null where a tolerance decides. */ readonly chance: number | null;
  readonly verdict: Verdict;
}

export interface GateReport {
  readonly passed: boolean;
  readonly comparisons: readonly Comparison[];
  /** What to know when reading it, e.g. that no noise is known yet. */ readonly notes: readonly string[];
}

/**
 * Compares a run with its baseline. A number may be worse than the mean of the baseline's n repeats by max(2.8·s, t·s·√(1 + 1/n)), s their deviation and t the
 * quantile of Student's distribution with which all m measures together raise a false alarm in half a percent of the cases (.5 %/m each): a prediction interval for one more run.
 * Accuracies are compared item by item: the sign test on items that changed. One repeat shows no noise: then only rounding is allowed.
 * @throws FormatError when the baseline is of another model, text, task version or setting.
 */
export function compareWithBaseline(baseline: Baseline, run: Measured): GateReport {
  const apart = differences(baseline, run);
  if (apart.length > 0) throw new FormatError(`the baseline is of something else: ${apart.join('; ')}`, { suggestions: ['Name the baseline of this model and data', '--bless (replaces it by this run)'] });
  const tail = FALSE_ALARMS / Math.max(1, baseline.measures.length);
  const found = new Map(run.measures.map((measure) => [measure.name, measure]));
  const comparisons = baseline.measures.map((before) => compareOne(before, found.get(before.name) ?? null, tail));
  const known = new Set(baseline.measures.map(({ name }) => name));
  const added = run.measures.filter(({ name }) => !known.has(name)).map(({ name, better, value }): Comparison =>
    ({ name, better, baseline: null, repeats: 0, deviation: null, value, tolerance: null, chance: null, verdict: 'new' }));
  const all = [...comparisons, ...added];
  const isUnknown = comparisons.some(({ deviation, chance }) => deviation === null && chance === null);
  const notes = isUnknown ? ['The baseline has one repeat only, so its noise is not known and nothing may get worse: bless runs with other seeds, three or more, to measure it.'] : [];
  return { passed: all.every(({ verdict }) => verdict !== 'worse' && verdict !== 'missing'), comparisons: all, notes };
}

type Stored = Baseline['measures'][number];

function compareOne(before: Stored, now: Measure | null, tail: number): Comparison {
  const { name, better, values } = before;
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const deviation = n < 2 ? null : Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  const about = { name, better, baseline: mean, repeats: n, deviation };
  if (now === null) return { ...about, value: null, tolerance: null, chance: null, verdict: 'missing' };
  const isPaired = before.outcomes !== null && now.outcomes !== null && before.outcomes.length === now.outcomes.length;
  if (isPaired) return { ...about, value: now.value, tolerance: null, ...signTest(before.outcomes as readonly number[], now.outcomes as readonly number[], tail) };
  const tolerance = toleranceOf({ n, mean, deviation, tail });
  const worse = better === 'lower' ? now.value - mean : mean - now.value;
  const verdict = !(worse <= tolerance) ? 'worse' : worse < -tolerance ? 'better' : 'same';
  return { ...about, value: now.value, tolerance, chance: null, verdict };
}

function toleranceOf({ n, mean, deviation, tail }: { readonly n: number; readonly mean: number; readonly deviation: number | null; readonly tail: number }): number {
  const rounding = ROUNDING * Math.abs(mean);
  if (deviation === null) return rounding;
  return Math.max(rounding, REPEATABILITY * deviation, upperQuantile(tail, n - 1) * deviation * Math.sqrt(1 + 1 / n));
}

/** McNemar's exact test, one-sided each way: of the items that changed, are too many lost (won) for a fair coin? */
function signTest(before: readonly number[], now: readonly number[], tail: number): Pick<Comparison, 'chance' | 'verdict'> {
  const lost = before.filter((hit, i) => hit === 1 && now[i] === 0).length;
  const won = before.filter((hit, i) => hit === 0 && now[i] === 1).length;
  const chance = fairCoinTail(lost, lost + won);
  return { chance, verdict: chance < tail ? 'worse' : fairCoinTail(won, lost + won) < tail ? 'better' : 'same' };
}
