import type { Grammar, Part } from './grammar.js';

/**
 * Entropy of one walk through a grammar, in nats, exactly: H(sequence) = Σ H(part); H(choice) = Σ p·(−ln p + H(option)); H(pick of n) = ln n.
 * The sum holds because no probability depends on what was chosen before (grammar.ts). It is the entropy of the text too where the grammar is
 * unambiguous (ambiguity.ts).
 */
export function grammarEntropy(grammar: Grammar): number {
  return partsEntropy(grammar.parts);
}

function partsEntropy(parts: readonly Part[]): number {
  return parts.reduce((nats, part) => {
    if (part.kind === 'pick') return nats + Math.log(part.count);
    if (part.kind === 'choice') return nats + part.options.reduce((sum, { probability, parts: inside }) => sum + probability * (partsEntropy(inside) - Math.log(probability)), 0);
    return nats;
  }, 0);
}
