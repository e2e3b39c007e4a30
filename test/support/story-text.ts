import { writeStories } from '../../src/core/corpus/stories.js';

/** Stories that no built-in model was trained on: those were written with seed 1. */
export function unseenStories(seed: number, count: number): string {
  return writeStories({ seed: 1000 + seed, count }).text;
}
