import type { ChoicePart, Grammar, Item, Part, PickPart } from './grammar.js';

/** What is bound so far in one story. */
export type Bindings = Map<string, Item>;

/** A point where the grammar leaves something open. */
export interface ChoicePoint {
  readonly count: number;
  probability(option: number): number;
  /** What taking an option is certain to write first: its text up to its own next open point, or to its end. */
  lead(option: number): string;
}

/** How a walk meets the world: it decides open points and takes the text; either may stop the walk. */
export interface Walker {
  /** Which option to take; −1 stops the walk. */ decide(point: ChoicePoint): number;
  /** Takes the next piece of the story; false stops the walk. */ write(text: string): boolean;
}

/** Goes through a grammar once from left to right. @returns false when the walker stopped it. */
export function walkGrammar(grammar: Grammar, walker: Walker): boolean {
  return walkParts(grammar.parts, new Map(), walker);
}

function walkParts(parts: readonly Part[], bindings: Bindings, walker: Walker): boolean {
  return parts.every((part) => {
    if (part.kind === 'pick') return walkPick(part, bindings, walker);
    if (part.kind === 'choice') return walkChoice(part, bindings, walker);
    return walker.write(part.kind === 'text' ? part.text : showItem(bindings, part));
  });
}

function walkChoice(part: ChoicePart, bindings: Bindings, walker: Walker): boolean {
  const taken = part.options[walker.decide({
    count: part.options.length,
    probability: (option) => part.options[option]?.probability ?? 0,
    lead: (option) => leadOf(part.options[option]?.parts ?? [], bindings),
  })];
  return taken !== undefined && walkParts(taken.parts, bindings, walker);
}

function walkPick(part: PickPart, bindings: Bindings, walker: Walker): boolean {
  const excluded = part.excluded.map((name) => bindings.get(name));
  const items = itemsOf(part, bindings).filter((item) => !excluded.includes(item));
  const item = items[walker.decide({
    count: items.length,
    probability: () => 1 / items.length,
    lead: (option) => items[option]?.text ?? '',
  })];
  if (item === undefined) return false;
  bindings.set(part.variable, item);
  return walker.write(item.text);
}

function itemsOf(part: PickPart, bindings: Bindings): readonly Item[] {
  if (part.owner === null) return part.items ?? [];
  const list = bindings.get(part.owner.variable)?.[part.owner.attribute];
  return list === undefined || typeof list === 'string' ? [] : list;
}

/** The written form of a bound item. The compiler has seen that it is bound and has the form. */
function showItem(bindings: Bindings, part: { readonly variable: string; readonly attribute: string }): string {
  return bindings.get(part.variable)?.[part.attribute] as string;
}

/** Text that parts are certain to write before anything is left open. */
export function leadOf(parts: readonly Part[], bindings: Bindings): string {
  let lead = '';
  for (const part of parts) {
    if (part.kind === 'pick' || part.kind === 'choice') break;
    lead += part.kind === 'text' ? part.text : showItem(bindings, part);
  }
  return lead;
}
