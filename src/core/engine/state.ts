import { PAGE_POSITIONS } from './layout.js';
import type { PagePool } from './pages.js';

/**
 * What a sequence leaves behind for its next token: the key and value spikes of its positions, and nothing else, since no
 * membrane crosses tokens. A state is cheap to fork: whole pages are shared, only the last, growing one is copied.
 */
export interface SequenceState {
  /** Tokens whose keys and values are stored. */ length: number;
  /** Page p holds positions 64p … 64p + 63. */ readonly pages: number[];
}

export function createState(): SequenceState {
  return { length: 0, pages: [] };
}

/** Makes room for positions up to `length`. */
export function reserve(state: SequenceState, length: number, pool: PagePool): void {
  while (state.pages.length * PAGE_POSITIONS < length) state.pages.push(pool.acquire());
}

/** A state that shares nothing that still changes. */
export function forkState(state: SequenceState, pool: PagePool): SequenceState {
  const full = Math.floor(state.length / PAGE_POSITIONS);
  const pages = state.pages.slice(0, full);
  for (const page of pages) pool.retain(page);
  const growing = state.pages[full];
  if (growing !== undefined && state.length % PAGE_POSITIONS > 0) pages.push(pool.copy(growing));
  return { length: state.length, pages };
}

/** Gives the pages back; the state is empty afterwards. */
export function clearState(state: SequenceState, pool: PagePool): void {
  for (const page of state.pages) pool.release(page);
  state.pages.length = 0;
  state.length = 0;
}
