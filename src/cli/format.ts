/** A number with as many digits as a person wants to read. */
export function formatNumber(value: number, digits = 3): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString('en-US');
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return value.toFixed(size >= 100 ? 1 : digits);
}

/** A count and its noun, `1 file` or `3 files`. */
export const formatCount = (count: number, noun: string): string => `${formatNumber(count)} ${noun}${count === 1 ? '' : 's'}`;

/** A progress value: words as they are. */
export const formatValue = (value: number | string): string => (typeof value === 'number' ? formatNumber(value) : value);

/** A ratio such as 0.0587 as `5.87 %`. */
export const formatPercent = (ratio: number): string => `${(100 * ratio).toFixed(2)} %`;

/** Bytes in the decimal unit that fits. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, index] = [bytes, 0];
  while (value >= 1000 && index < units.length - 1) [value, index] = [value / 1000, index + 1];
  return `${index === 0 ? value : value.toFixed(1)} ${units[index]}`;
}

/** Milliseconds as `850 ms`, `12.3 s` or `4 min 5 s`. */
export function formatDuration(elapsedMs: number): string {
  if (elapsedMs < 1000) return `${Math.round(elapsedMs)} ms`;
  if (elapsedMs < 60_000) return `${(elapsedMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(elapsedMs / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Columns padded to equal width: text to the left, numbers to the right. */
export function formatTable(rows: readonly (readonly string[])[], textColumns = 1): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => { widths[column] = Math.max(widths[column] ?? 0, cell.length); });
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column < textColumns ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ').trimEnd();
  return rows.map(line).join('\n');
}
