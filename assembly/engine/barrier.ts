/**
 * Barrier of a fixed group of threads: two i32 at `at`, threads still expected and round. The last one to arrive opens the next
 * round. A thread that has spun `spins` times without success sleeps, so that it does not hold the core that another one needs.
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
  while (atomic.load<i32>(at + 4) == round) atomic.wait<i32>(at + 4, round, -1);
}
