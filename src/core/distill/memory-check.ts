import type { MemoryLimits } from '../backend/memory-limits.js';
import { BackendError } from '../errors.js';
import type { StepSizes } from './memory-estimate.js';
import { estimateMemory } from './memory-estimate.js';
import type { MemoryEstimate } from './moments.js';
import { estimateStart } from './start-memory.js';
import type { TeacherSizes } from './teacher-memory.js';
import { estimateTeacherMemory } from './teacher-memory.js';

/** Sizes of a run of any kind. */
export type RunSizes = StepSizes | TeacherSizes;

/** Parts that a message names. */
const NAMED_PARTS = 4;

const gigabytes = (bytes: number): string => (bytes < 0.95e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

const fits = ({ peakBytes, largest }: MemoryEstimate, { totalBytes, tensorBytes }: MemoryLimits): boolean =>
  (totalBytes === null || peakBytes <= totalBytes) && (tensorBytes === null || largest.bytes <= tensorBytes);

function estimate(sizes: RunSizes): MemoryEstimate {
  return sizes.trains === 'student' ? estimateMemory(sizes) : estimateTeacherMemory(sizes);
}

/** The estimate in one line: total, moment and the largest parts. */
export function describeEstimate({ peakBytes, moment, parts }: MemoryEstimate): string {
  const named = parts.slice(0, NAMED_PARTS).map(({ name, bytes }) => `${name} ${gigabytes(bytes)}`);
  return `about ${gigabytes(peakBytes)} at its peak (${moment}): ${named.join(', ')}`;
}

/**
 * Checks before anything is loaded that a run fits. `mode` `auto` recomputes blocks only where they do not fit otherwise.
 * @returns how to run, and its estimate. @throws BackendError naming estimate, limit, largest parts, and the keys with values that would fit.
 */
export function checkMemory(sizes: RunSizes, mode: 'auto' | RunSizes['recompute'], limits: MemoryLimits): { recompute: RunSizes['recompute']; estimate: MemoryEstimate } {
  const modes: readonly RunSizes['recompute'][] = mode === 'auto' ? ['none', 'blocks'] : [mode];
  for (const recompute of modes) {
    const found = estimate({ ...sizes, recompute });
    if (fits(found, limits)) return { recompute, estimate: found };
  }
  const last = { ...sizes, recompute: modes.at(-1) as RunSizes['recompute'] };
  const wanted = estimate(last);
  const { largest } = wanted;
  const isTooLarge = limits.tensorBytes !== null && largest.bytes > limits.tensorBytes;
  const found = isTooLarge
    ? `${largest.name} would take ${gigabytes(largest.bytes)}, more than the ${gigabytes(limits.tensorBytes)} of a buffer of ${limits.source}`
    : `this run would take ${describeEstimate(wanted)}; ${limits.source} is ${gigabytes(limits.totalBytes ?? 0)}`;
  throw new BackendError(`${found}`, { suggestions: remedies(last, limits) });
}

/** Changes that would fit, smallest first, as something to type. Every value is computed, so following one of them is enough. */
export function remedies(sizes: RunSizes, limits: MemoryLimits): string[] {
  const found: string[] = [];
  const start = smallerStart(sizes, limits);
  const offer = (changed: RunSizes, keys: readonly string[]): boolean => {
    const changedTo = estimate(changed);
    if (keys.length === 0 || !fits(changedTo, limits)) return false;
    found.push(`${keys.map((key) => `--set ${key}`).join(' ')} (${gigabytes(changedTo.peakBytes)})`);
    return true;
  };
  offer(start.sizes, start.keys);
  const again = { ...start.sizes, recompute: 'blocks' as const };
  const recomputed = sizes.recompute === 'blocks' ? start.keys : [...start.keys, 'train.recompute=blocks'];
  if (sizes.recompute !== 'blocks') offer(again, recomputed);
  for (let batch = sizes.batch - 1; batch >= 1; batch--) {
    const accumulate = Math.ceil((sizes.batch * sizes.accumulate) / batch);
    if (offer({ ...again, batch, accumulate }, [...recomputed, `train.batch=${batch}`, `train.accumulate=${accumulate}`])) break;
  }
  for (let context = Math.floor(sizes.context / 2); context >= 16; context = Math.floor(context / 2)) {
    if (offer({ ...again, context }, [...recomputed, `train.context=${context}`])) break;
  }
  return found.length > 0 ? found : [sizes.trains === 'student' ? 'a smaller student (student.layers, student.hiddenSize) or teacher' : 'a smaller teacher (model.layers, model.hiddenSize)', 'another backend (--backend)'];
}

/** The run with so few calibration windows that its start fits, and the key that says so; unchanged where it fits as it is, or cannot. */
function smallerStart(sizes: RunSizes, limits: MemoryLimits): { sizes: RunSizes; keys: readonly string[] } {
  const same = { sizes, keys: [] };
  if (sizes.trains === 'teacher' || sizes.start === null) return same;
  const { start } = sizes;
  const startFits = (sequences: number): boolean => limits.totalBytes === null || estimateStart(sizes, { ...start, sequences }).peakBytes <= limits.totalBytes;
  if (startFits(start.sequences)) return same;
  for (let sequences = Math.floor(start.sequences / 2); sequences >= 1; sequences = Math.floor(sequences / 2)) {
    if (startFits(sequences)) return { sizes: { ...sizes, start: { ...start, sequences } }, keys: [`calibration.sequences=${sequences}`] };
  }
  return same;
}

/** What to say when memory ran out all the same. @param cause as thrown. */
export function outOfMemoryError(cause: Error, sizes: RunSizes): BackendError {
  const predicted = estimate(sizes);
  // Whatever the limits were thought to be, this much was too much.
  const limits: MemoryLimits = { totalBytes: Math.floor(predicted.peakBytes * 0.8), tensorBytes: null, source: 'what did not fit' };
  const said = cause.message.startsWith('out of memory') ? cause.message : `out of memory: ${cause.message.split('\n')[0]}`;
  return new BackendError(`${said}; this run was estimated at ${describeEstimate(predicted)}`, { cause, suggestions: remedies(sizes, limits) });
}
