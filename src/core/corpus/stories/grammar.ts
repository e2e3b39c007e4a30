/**
 * A probabilistic grammar with bindings, as plain data. A phrase is text, a sequence, or a weighted choice; in its text
 *   {x=list}        picks an item of a list uniformly, binds it to x and writes its text,
 *   {x=y.attribute} picks from a list that belongs to the item bound to y,
 *   {x=list!y!z}    picks none of the items bound to y and z (which come from the same list and differ from each other),
 *   {x}, {x.attr}   write the text, or another attribute, of the item bound to x.
 * Names, pronouns and things therefore stay consistent through a story, and no probability depends on an earlier choice: every pick from one
 * place of the grammar has the same number of items. That makes the entropy exactly computable (entropy.ts).
 */

/** Something a story can speak of. `text` is how it is written; other attributes are its forms, or lists that belong to it. */
export interface Item {
  readonly text: string;
  readonly [attribute: string]: string | readonly Item[];
}
export type Lists = Readonly<Record<string, readonly Item[]>>;

export interface Choice {
  readonly oneOf: readonly (readonly [weight: number, phrase: Phrase])[];
}
export type Phrase = string | readonly Phrase[] | Choice;

/** What is known of a bound variable wherever the story has got to. */
export interface Domain {
  /** Where its item was picked: a list, or `variable.attribute`. */ readonly source: string;
  /** Every item it can be bound to. */ readonly items: readonly Item[];
  /** Variables it is certain to differ from. */ readonly differsFrom: ReadonlySet<string>;
}
export type Scope = ReadonlyMap<string, Domain>;

export interface TextPart { readonly kind: 'text'; readonly text: string }
export interface ShowPart { readonly kind: 'show'; readonly variable: string; readonly attribute: string }
export interface PickPart {
  readonly kind: 'pick';
  readonly variable: string;
  /** The list, where it is a global one. */ readonly items: readonly Item[] | null;
  /** Whose list it is, where it is not. */ readonly owner: { readonly variable: string; readonly attribute: string } | null;
  /** Every list the pick can be from: the global one, or that of each possible owner. */ readonly lists: readonly (readonly Item[])[];
  readonly excluded: readonly string[];
  /** Items there are to pick from, exclusions taken off. */ readonly count: number;
}
export interface ChoicePart {
  readonly kind: 'choice';
  readonly options: readonly { readonly probability: number; readonly parts: readonly Part[] }[];
  /** What is bound where the choice is made. */ readonly scope: Scope;
}
export type Part = TextPart | ShowPart | PickPart | ChoicePart;

/** A compiled grammar: what a story is made of, in order. */
export interface Grammar {
  readonly parts: readonly Part[];
}

/** A choice between phrases with the given weights. */
export function oneOf(...options: readonly (readonly [weight: number, phrase: Phrase])[]): Choice {
  return { oneOf: options };
}

/** Phrases with a space between each two. */
export function sentences(...phrases: readonly Phrase[]): Phrase {
  return phrases.flatMap((phrase, index) => (index === 0 ? [phrase] : [' ', phrase]));
}

/** Compiles a phrase over its lists. @throws Error, naming the place, when a variable is unbound or probabilities would depend on earlier choices. */
export function compileGrammar(phrase: Phrase, lists: Lists): Grammar {
  return { parts: compilePhrase(phrase, new Map(), lists) };
}

/** Compiles one phrase; what it binds is added to the scope. */
function compilePhrase(phrase: Phrase, scope: Map<string, Domain>, lists: Lists): Part[] {
  if (typeof phrase === 'string') return compileText(phrase, scope, lists);
  if ('oneOf' in phrase) return [compileChoice(phrase, scope, lists)];
  return phrase.flatMap((part) => compilePhrase(part, scope, lists));
}

function compileChoice(choice: Choice, scope: Map<string, Domain>, lists: Lists): ChoicePart {
  const before = new Map(scope);
  const total = choice.oneOf.reduce((sum, [weight]) => sum + weight, 0);
  const scopes: Map<string, Domain>[] = [];
  const options = choice.oneOf.map(([weight, phrase]) => {
    if (!(weight > 0)) throw new Error(`a choice has weight ${weight}`);
    const inside = new Map(scope);
    scopes.push(inside);
    return { probability: weight / total, parts: compilePhrase(phrase, inside, lists) };
  });
  const [first, ...others] = scopes;
  for (const [variable, domain] of first ?? []) {
    if (others.every((other) => other.get(variable)?.source === domain.source)) scope.set(variable, mergeDomains(scopes, variable, domain));
  }
  return { kind: 'choice', options, scope: before };
}

/** The same variable after a choice: it differs only from what it differs from in every option. */
function mergeDomains(scopes: readonly Scope[], variable: string, domain: Domain): Domain {
  const differsFrom = [...domain.differsFrom].filter((name) => scopes.every((scope) => scope.get(variable)?.differsFrom.has(name)));
  return { ...domain, differsFrom: new Set(differsFrom) };
}

const REFERENCE = /\{(\w+)(?:=(\w+)(?:\.(\w+))?((?:!\w+)*)|\.(\w+))?\}/g;

function compileText(text: string, scope: Map<string, Domain>, lists: Lists): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(REFERENCE)) {
    if (match.index > at) parts.push({ kind: 'text', text: text.slice(at, match.index) });
    const [whole, variable = '', list, listAttribute, exclusions = '', attribute = 'text'] = match;
    if (list === undefined) parts.push(compileShow({ kind: 'show', variable, attribute }, scope));
    else {
      const source = listAttribute === undefined ? globalSource(list, lists) : ownedSource(list, listAttribute, scope);
      parts.push(compilePick({ variable, source, excluded: exclusions.split('!').slice(1) }, scope));
    }
    at = match.index + whole.length;
  }
  if (at < text.length) parts.push({ kind: 'text', text: text.slice(at) });
  if (parts.some((part) => part.kind === 'text' && /[{}\n]/.test(part.text))) throw new Error(`a brace or a line break in: ${text}`);
  return parts;
}

function compileShow(part: ShowPart, scope: Scope): ShowPart {
  const domain = scope.get(part.variable);
  if (domain === undefined) throw new Error(`{${part.variable}} is not bound on every way to it`);
  const bad = domain.items.find((item) => typeof item[part.attribute] !== 'string');
  if (bad !== undefined) throw new Error(`{${part.variable}.${part.attribute}}: ${bad.text} has no such form`);
  return part;
}

interface Source {
  readonly name: string;
  readonly items: readonly Item[];
  readonly size: number;
  readonly owner: PickPart['owner'];
  readonly lists: readonly (readonly Item[])[];
}

function globalSource(name: string, lists: Lists): Source {
  const items = lists[name];
  if (items === undefined) throw new Error(`there is no list ${name}`);
  return { name, items, size: items.length, owner: null, lists: [items] };
}

function ownedSource(variable: string, attribute: string, scope: Scope): Source {
  const name = `${variable}.${attribute}`;
  const domain = scope.get(variable);
  if (domain === undefined) throw new Error(`${name}: ${variable} is not bound on every way to it`);
  const owned = domain.items.map((item) => item[attribute]).filter((list) => list !== undefined && typeof list !== 'string');
  const size = owned[0]?.length ?? 0;
  if (owned.length !== domain.items.length || owned.some((list) => list.length !== size)) throw new Error(`${name}: every item needs a list of the same length`);
  return { name, items: [...new Set(owned.flat())], size, owner: { variable, attribute }, lists: owned };
}

function compilePick(pick: { variable: string; source: Source; excluded: readonly string[] }, scope: Map<string, Domain>): PickPart {
  const { variable, source, excluded } = pick;
  if (scope.has(variable)) throw new Error(`{${variable}} is bound twice`);
  const count = source.size - excluded.length;
  if (count < 1) throw new Error(`{${variable}=${source.name}} has nothing left to pick`);
  excluded.forEach((name, index) => {
    const domain = scope.get(name);
    if (domain?.source !== source.name) throw new Error(`{${variable}=${source.name}!${name}}: ${name} was not picked from there`);
    if (!excluded.slice(0, index).every((other) => domain.differsFrom.has(other))) throw new Error(`{${variable}=${source.name}!…}: the excluded may be the same item`);
  });
  scope.set(variable, { source: source.name, items: source.items, differsFrom: new Set(excluded) });
  return { kind: 'pick', variable, items: source.owner === null ? source.items : null, owner: source.owner, lists: source.lists, excluded, count };
}
