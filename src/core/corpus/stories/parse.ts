import type { Grammar } from './grammar.js';
import { walkGrammar } from './walk.js';

/** The choices behind one text. */
export interface Derivation {
  /** Which option was taken at each open point, in order. */ readonly choices: readonly number[];
  /** −ln of the text's probability under the grammar: the sum of −ln p over its choices. */ readonly nats: number;
}

/** Recovers the choices that wrote a text, or null when the grammar cannot write it. The grammar must be unambiguous (ambiguity.ts). */
export function parseText(grammar: Grammar, text: string): Derivation | null {
  const choices: number[] = [];
  let nats = 0;
  let at = 0;
  const isWhole = walkGrammar(grammar, {
    decide(point) {
      for (let option = 0; option < point.count; option++) {
        if (!text.startsWith(point.lead(option), at)) continue;
        choices.push(option);
        nats -= Math.log(point.probability(option));
        return option;
      }
      return -1;
    },
    write(piece) {
      const isNext = text.startsWith(piece, at);
      at += piece.length;
      return isNext;
    },
  });
  return isWhole && at === text.length ? { choices, nats } : null;
}
