import type { NgramBaselines } from '../corpus/ngram.js';
import type { TokenIds } from '../types.js';

/** How often each token followed one context. */
class Followers {
  private readonly counts = new Map<number, number>();
  private total = 0;

  observe(id: number): void {
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
    this.total += 1;
  }

  /** Witten-Bell: (c(id) + types · lowerOrder(id)) / (total + types); the lower order alone where nothing was seen. */
  probability(id: number, lowerOrder: number): number {
    if (this.total === 0) return lowerOrder;
    const types = this.counts.size;
    return ((this.counts.get(id) ?? 0) + types * lowerOrder) / (this.total + types);
  }
}

/**
 * Prequential n-gram losses: each target is predicted from counts of the targets before it in the same text and only then
 * counted, so the baselines need no training text and never see what they predict. The unigram interpolates with the uniform
 * distribution over V, the bigram with that unigram, both by Witten-Bell's rule; each prediction is a proper distribution.
 * Targets are every id but the first of each sequence; counts carry over from one sequence to the next.
 */
export function adaptiveNgramLosses(sequences: readonly TokenIds[], vocabSize: number): NgramBaselines {
  const unigram = new Followers();
  const bigram = new Map<number, Followers>();
  let [unigramSum, bigramSum, targets] = [0, 0, 0];
  for (const ids of sequences) {
    for (let i = 1; i < ids.length; i++) {
      const id = ids[i]!;
      let followers = bigram.get(ids[i - 1]!);
      if (followers === undefined) bigram.set(ids[i - 1]!, (followers = new Followers()));
      const byUnigram = unigram.probability(id, 1 / vocabSize);
      unigramSum -= Math.log(byUnigram);
      bigramSum -= Math.log(followers.probability(id, byUnigram));
      unigram.observe(id);
      followers.observe(id);
      targets += 1;
    }
  }
  return { unigramNll: unigramSum / targets, bigramNll: bigramSum / targets };
}
