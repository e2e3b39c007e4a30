import type { Crew } from './crew.js';
import type { Job } from './step.js';

/** Decides who runs a job. */
export interface Pace {
  run(crew: Crew, job: Job): void;
}

type Who = 'all' | 'alone';

/** Jobs from one trial of the slower way to the next, and jobs of a trial: enough that one interruption does not decide. */
const TRIAL_EVERY = 96;
const TRIAL_JOBS = 4;

/** Latest times of jobs of one size, at most TRIAL_JOBS for each way. */
interface Times extends Record<Who, number[]> {
  jobs: number;
}

/**
 * Uses the threads only while they help: where another program takes a core, several threads wait for each other and one is
 * faster. Both ways give the same bits, so it may change its mind at any job. Times are kept per job size; the ways are compared
 * by the medians of their latest jobs, and the slower one is tried again now and then.
 */
export function createPace(now: () => number): Pace {
  const known = new Map<string, Times>();
  return {
    run: (crew, job) => {
      if (crew.threads === 1) return crew.run(job, 'alone');
      const key = `${job.tokens} ${job.headCount}`;
      const times = known.get(key) ?? { all: [], alone: [], jobs: 0 };
      known.set(key, times);
      const who = choose(times);
      const begin = now();
      crew.run(job, who);
      times[who].push(now() - begin);
      if (times[who].length > TRIAL_JOBS) times[who].shift();
      times.jobs++;
    },
  };
}

/** First both ways in turn, then the faster, with trials of the other. */
function choose({ all, alone, jobs }: Times): Who {
  if (jobs < TRIAL_JOBS) return 'all';
  if (jobs < 2 * TRIAL_JOBS) return 'alone';
  const faster: Who = median(alone) < median(all) ? 'alone' : 'all';
  const isTrial = jobs % TRIAL_EVERY >= TRIAL_EVERY - TRIAL_JOBS;
  return isTrial === (faster === 'all') ? 'alone' : 'all';
}

/** The lower median. */
function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor((times.length - 1) / 2)] ?? Infinity;
}
