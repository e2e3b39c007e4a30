/** How long a sleeping thread trusts the others before it looks whether one of them has failed, in nanoseconds. */
const PATIENCE: i64 = 200_000_000;

/**
 * Barrier of a fixed group of threads; three i32 at `at`: threads still expected, round, and whether a thread has failed. The
 * last one to arrive opens the next round. A thread that has spun `spins` times without success sleeps, so that it does not
 * hold the core that another one needs. Traps when a thread has failed, since it will never arrive.
 */
export function barrier(at: usize, threads: i32, spins: i32): void {
  const round = atomic.load<i32>(at + 4);
  if (atomic.sub<i32>(at, 1) == 1) {
    atomic.store<i32>(at, threads);
    atomic.store<i32>(at + 4, round + 1);
    atomic.notify(at + 4, threads);
    return;
  }
  for (let spin = 0; spin < spins; spin++) {
    if (atomic.load<i32>(at + 4) != round) return;
  }
  while (atomic.load<i32>(at + 4) == round) {
    if (atomic.load<i32>(at + 8) != 0) unreachable();
    atomic.wait<i32>(at + 4, round, PATIENCE);
  }
}
