import type { Crew } from './crew.js';
import type { Job } from './step.js';

/** Decides who runs a job. */
export interface Pace {
  run(crew: Crew, job: Job): void;
}

/** All threads, or the first alone. */
export type Who = 'all' | 'alone';

/**
 * Jobs of a trial: the first two warm up what has slept or is not yet compiled, and of the rest the slowest does not count, so that
 * one interruption does not decide. A job of LONG_MS is a trial by itself.
 */
const [WARM_UP_JOBS, COUNTED_JOBS] = [2, 6];
const LONG_MS = 20;
/** A trial ends when a job, once warm, takes this many times as long as usual. */
const HOPELESS = 1.5;
/** Jobs from one trial to the next: fewest, and most, when one trial after the other has changed nothing. */
const [FEWEST_BETWEEN, MOST_BETWEEN] = [24, 1536];

/** What is known about jobs of one size. */
interface Known {
  /** The way in use. */ way: Who;
  /** Latest times, at most COUNTED_JOBS each. */ readonly times: Readonly<Record<Who, number[]>>;
  /** Jobs of the other way that are left of a trial. */ trial: number;
  untilTrial: number;
  between: number;
}

/**
 * Uses the threads only while they help: where another program takes a core, several threads wait for each other and one is
 * faster. Both ways give the same bits, so it may change its mind at any job. For each job size one way is in use, at first
 * `first`; the other is tried now and then, the more rarely the longer it has been slower, and whenever its last times were better
 * than what the way in use takes now. `now` tells milliseconds.
 */
export function createPace(now: () => number, first: Who): Pace {
  const sizes = new Map<string, Known>();
  return {
    run: (crew, job) => {
      if (crew.threads === 1) return crew.run(job, 'alone');
      const size = `${job.tokens} ${job.headCount}`;
      const known = sizes.get(size) ?? { way: first, times: { all: [], alone: [] }, trial: 0, untilTrial: COUNTED_JOBS, between: FEWEST_BETWEEN / 2 };
      sizes.set(size, known);
      const isTrial = known.trial > 0;
      const who = isTrial ? otherThan(known.way) : known.way;
      const begin = now();
      crew.run(job, who);
      const took = now() - begin;
      const times = known.times[who];
      times.push(took);
      if (times.length > COUNTED_JOBS) times.shift();
      if (isTrial) goOnWithTrial(known, took);
      else planTrial(known, took);
    },
  };
}

function goOnWithTrial(known: Known, took: number): void {
  const { way, times } = known;
  known.trial--;
  const isWarm = times[otherThan(way)].length > WARM_UP_JOBS;
  if (took >= LONG_MS || (isWarm && took > HOPELESS * usual(times[way]))) known.trial = 0;
  if (known.trial > 0) return;
  const hasWon = usual(times[otherThan(way)]) < usual(times[way]);
  if (hasWon) known.way = otherThan(way);
  known.between = hasWon ? FEWEST_BETWEEN : Math.min(2 * known.between, MOST_BETWEEN);
  known.untilTrial = known.between;
}

function planTrial(known: Known, took: number): void {
  const { way, times } = known;
  known.untilTrial = took >= LONG_MS && times[otherThan(way)].length === 0 ? 0 : known.untilTrial - 1;
  const other = times[otherThan(way)];
  if (known.untilTrial > 0 && !(other.length > 0 && usual(other) < usual(times[way]))) return;
  other.length = 0;
  known.trial = WARM_UP_JOBS + COUNTED_JOBS;
}

function otherThan(way: Who): Who {
  return way === 'all' ? 'alone' : 'all';
}

/** Mean of all but the slowest; Infinity of nothing. Not a median: waiting for a core that is taken makes some jobs slow, not all. */
function usual(times: readonly number[]): number {
  if (times.length < 2) return times[0] ?? Infinity;
  return (times.reduce((sum, time) => sum + time, 0) - Math.max(...times)) / (times.length - 1);
}
