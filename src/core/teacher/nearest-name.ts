/** The known name with the fewest edits to `name`, or null when none is within half its length. */
export function nearestName(name: string, known: readonly string[]): string | null {
  let best: { name: string; edits: number } | null = null;
  for (const candidate of known) {
    const edits = editDistance(name.slice(0, 64), candidate);
    if (edits <= Math.max(name.length, candidate.length) / 2 && edits < (best?.edits ?? Infinity)) best = { name: candidate, edits };
  }
  return best?.name ?? null;
}

/** Levenshtein distance: insertions, deletions and replacements that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
