import { UsageError } from '../errors.js';

/** Text that may be shown, cut before the first stop string. */
export interface StopFilter {
  /** Takes the next piece; returns what can no longer become part of a stop string. */ push(piece: string): string;
  /** Returns what was held back; nothing once a stop string was found. */ flush(): string;
  /** A stop string was found; everything after its beginning is dropped. */ readonly isStopped: boolean;
}

/** Beginning of the stop string that is completed first in `text`, the longest where several end together; −1 when there is none. */
function firstStop(text: string, stop: readonly string[]): number {
  let [begin, end] = [-1, Infinity];
  for (const word of stop) {
    const at = text.indexOf(word);
    if (at < 0) continue;
    const wordEnd = at + word.length;
    if (wordEnd < end || (wordEnd === end && at < begin)) [begin, end] = [at, wordEnd];
  }
  return begin;
}

/** Length of the longest end of `text` with which a stop string begins. */
function heldLength(text: string, stop: readonly string[]): number {
  let longest = 0;
  for (const word of stop) {
    for (let length = Math.min(word.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(word.slice(0, length))) longest = length;
    }
  }
  return longest;
}

/**
 * A filter that passes text on as early as it can be sure of it: an end that a stop string may continue is held back. The
 * result is the same however the text is cut into pieces, and never contains a stop string.
 * @throws UsageError on an empty stop string.
 */
export function createStopFilter(stop: readonly string[]): StopFilter {
  if (stop.includes('')) throw new UsageError('a stop string is empty', { suggestions: ["--stop '\\n\\n'"] });
  let held = '';
  let isStopped = false;
  return {
    get isStopped() { return isStopped; },
    push(piece) {
      if (isStopped) return '';
      const text = held + piece;
      const at = firstStop(text, stop);
      isStopped = at >= 0;
      const sure = isStopped ? at : text.length - heldLength(text, stop);
      held = isStopped ? '' : text.slice(sure);
      return text.slice(0, sure);
    },
    flush() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}
