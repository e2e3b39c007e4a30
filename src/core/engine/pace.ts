import type { Crew } from './crew.js';
import type { Job } from './step.js';

/** Decides who runs a job. */
export interface Pace {
  run(crew: Crew, job: Job): void;
}

/** Jobs between two trials of the slower way. */
const TRIAL_EVERY = 64;
/** Weight of the newest time in the running average. */
const NEWEST = 0.25;

/**
 * Uses the threads only while they help: where another program takes a core, several threads wait for each other and one is
 * faster. Both ways give the same bits, so it may change its mind at any job. Times are per job size, the ways compared by
 * their running averages, and the slower one is tried again now and then.
 */
export function createPace(now: () => number): Pace {
  const averages = new Map<string, { all: number; alone: number; jobs: number }>();
  return {
    run: (crew, job) => {
      if (crew.threads === 1) return crew.run(job, 'alone');
      const key = `${job.tokens} ${job.headCount}`;
      const known = averages.get(key) ?? { all: 0, alone: 0, jobs: 0 };
      averages.set(key, known);
      const faster = known.alone > 0 && known.alone < known.all ? 'alone' : 'all';
      const isTrial = known.jobs % TRIAL_EVERY === 1 || known.jobs % TRIAL_EVERY === 2;
      const who = isTrial ? (faster === 'all' ? 'alone' : 'all') : faster;
      const begin = now();
      crew.run(job, who);
      const elapsed = now() - begin;
      known[who] = known[who] === 0 ? elapsed : known[who] + NEWEST * (elapsed - known[who]);
      known.jobs++;
    },
  };
}
