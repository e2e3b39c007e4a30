import { FormatError } from '../errors.js';
import { createRandom, type Random } from './random.js';
import { grammarEntropy } from './stories/entropy.js';
import { compileGrammar, type Grammar } from './stories/grammar.js';
import { STORY_LISTS } from './stories/lexicon.js';
import { parseText } from './stories/parse.js';
import { STORY } from './stories/plots.js';
import { walkGrammar } from './stories/walk.js';

/** One story: a single line of text. */
export interface Story {
  /** Without the line break that ends it in a corpus. */ readonly text: string;
  /** −ln of its probability under the grammar. */ readonly nats: number;
}

/** A run of independent stories. */
export interface StoryCorpus {
  readonly stories: readonly Story[];
  /** The stories in order, each ended by one line break. */ readonly text: string;
  /** −ln of the probability of this very text under the grammar: the sum over its stories. */ readonly choicesNats: number;
}

let compiled: Grammar | null = null;

/** The compiled story grammar; compiled at the first call. */
export function storyGrammar(): Grammar {
  compiled ??= compileGrammar(STORY, STORY_LISTS);
  return compiled;
}

/** Entropy of one story in nats, exactly: the expectation of `Story.nats`. */
export function entropyPerStory(): number {
  return grammarEntropy(storyGrammar());
}

/** Writes one story, drawing every choice from the generator. */
export function writeStory(random: Random): Story {
  let text = '';
  let nats = 0;
  walkGrammar(storyGrammar(), {
    decide(point) {
      const drawn = random.next();
      let option = 0;
      for (let below = point.probability(0); drawn >= below && option < point.count - 1; below += point.probability(option)) option++;
      nats -= Math.log(point.probability(option));
      return option;
    },
    write(piece) {
      text += piece;
      return true;
    },
  });
  return { text, nats };
}

/** Joins stories into a corpus. */
export function joinStories(stories: readonly Story[]): StoryCorpus {
  return { stories, text: stories.map((story) => `${story.text}\n`).join(''), choicesNats: stories.reduce((sum, story) => sum + story.nats, 0) };
}

/** Writes `count` independent stories; equal seeds give equal text, and a larger count begins with the same stories. */
export function writeStories(options: { readonly seed: number; readonly count: number }): StoryCorpus {
  const random = createRandom(options.seed);
  return joinStories(Array.from({ length: options.count }, () => writeStory(random)));
}

/** −ln of the probability of one story's text (without its line break) under the grammar, or null when the grammar cannot write it. */
export function storyNats(text: string): number | null {
  return parseText(storyGrammar(), text)?.nats ?? null;
}

/**
 * The floor for a language model on a story text, in nats per token: −ln p(text) / tokens, p being the distribution the text was drawn from.
 *
 * For any model q and any tokenizer, E[−ln q(tokens)] ≥ E[−ln p(text)] (Gibbs' inequality: tokens determine the text, so q gives the text at most the
 * mass it should, and p is the truth), and −ln p(text) is known exactly because the grammar is unambiguous. The bound is on the expectation: on one
 * finite text a model may come out lower by chance, of the order of 1/√stories. It supposes that the model sees each story from its start; where
 * windows cut stories, the first tokens after a cut cost every model more, so the floor stays a floor and is not reached.
 * @param text whole stories, each ended by a line break. @param tokens how many tokens the text is. @throws FormatError when a line is no story.
 */
export function trueNllPerToken(text: string, tokens: number): number {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new FormatError('a story corpus must end with a line break: its last story was cut off');
  const nats = lines.reduce((sum, line, index) => {
    const own = storyNats(line);
    if (own === null) throw new FormatError(`line ${index + 1} is not a story of the built-in grammar: "${line.slice(0, 60)}"`);
    return sum + own;
  }, 0);
  return nats / tokens;
}
