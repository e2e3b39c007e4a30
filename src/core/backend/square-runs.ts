/** Runs of adjacent numbers whose squares are added up together, so that sums over the runs remain to be made. */
export interface SquareRuns {
  /** Numbers of a run; the last may be shorter. A multiple of 64. */ readonly each: number;
  readonly runs: number;
}

/** Least numbers of a run, and the most runs of a tensor. */
const [SHORTEST, MOST] = [4096, 256];

/** How `BispikSquareRuns` cuts a tensor of `size` numbers. */
export function squareRuns(size: number): SquareRuns {
  const each = Math.max(SHORTEST, 64 * Math.ceil(size / MOST / 64));
  return { each, runs: Math.ceil(size / each) };
}
