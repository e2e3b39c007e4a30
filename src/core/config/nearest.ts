/** Edits (insert, delete, substitute, swap neighbours) that turn one word into the other. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = (last[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(substituted, (last[j] as number) + 1, (row[j - 1] as number) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforeLast[j - 2] as number) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] as number;
}

const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_\s]/g, '');
const leafOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
const groupOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('.')));

/** The candidate (a word or a dotted path) closest to what was typed; a right leaf in the wrong group counts half an edit. */
export function nearestOf(typed: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const moved = groupOf(candidate) === groupOf(typed) ? 0 : 0.5;
    const distance = Math.min(
      editDistance(plain(typed), plain(candidate)),
      editDistance(plain(leafOf(typed)), plain(leafOf(candidate))) + moved,
    );
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}
