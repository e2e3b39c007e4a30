import type { ChoicePart, Grammar, Part, PickPart, Scope } from './grammar.js';
import { leadOf, type Bindings } from './walk.js';

/**
 * Places where a reader could not tell from the text which option a story took; none for an unambiguous grammar.
 *
 * Checked at every choice and pick, for every binding of the variables concerned: no option's lead (the text it is certain to write first) is a
 * prefix of another's. Then at most one option of an open point can match what comes next, so reading from left to right recovers the choices one
 * after the other; two different choice sequences never give one text, the map from choices to text is injective, and the probability of a text is the
 * product of the probabilities of its choices. The condition is sufficient, not necessary: options may well differ only later and still be refused.
 */
export function findAmbiguities(grammar: Grammar): string[] {
  return ambiguitiesOf(grammar.parts);
}

function ambiguitiesOf(parts: readonly Part[]): string[] {
  return parts.flatMap((part) => {
    if (part.kind === 'pick') return pickAmbiguities(part);
    if (part.kind === 'choice') return [...choiceAmbiguities(part), ...part.options.flatMap((option) => ambiguitiesOf(option.parts))];
    return [];
  });
}

/** Ordered pairs (i, j), i ≠ j, whose first lead begins the second. */
function clashes(leads: readonly string[]): [number, number][] {
  return leads.flatMap((lead, i) => leads.flatMap((other, j): [number, number][] => (i !== j && other.startsWith(lead) ? [[i, j]] : [])));
}

function pickAmbiguities(part: PickPart): string[] {
  return part.lists.flatMap((items) => clashes(items.map((item) => item.text)).map(([i, j]) => `{${part.variable}}: "${items[i]?.text}" begins "${items[j]?.text}"`));
}

function choiceAmbiguities(part: ChoicePart): string[] {
  const found = new Set<string>();
  const { options, scope } = part;
  for (let i = 0; i < options.length; i++) {
    for (let j = i + 1; j < options.length; j++) {
      const pair = [options[i]?.parts ?? [], options[j]?.parts ?? []];
      for (const bindings of bindingsOf(shownFirst(pair.flatMap(leading)), scope)) {
        const [first = '', second = ''] = pair.map((parts) => leadOf(parts, bindings));
        if (first.startsWith(second) || second.startsWith(first)) found.add(`choice: "${first}" against "${second}"`);
      }
    }
  }
  return [...found];
}

/** The parts that write a lead. */
function leading(parts: readonly Part[]): readonly Part[] {
  const open = parts.findIndex((part) => part.kind === 'pick' || part.kind === 'choice');
  return open < 0 ? parts : parts.slice(0, open);
}

function shownFirst(parts: readonly Part[]): string[] {
  return [...new Set(parts.flatMap((part) => (part.kind === 'show' ? [part.variable] : [])))];
}

/** Every binding of some variables that keeps apart those certain to differ. A superset of those that occur, so nothing is missed. */
function* bindingsOf(variables: readonly string[], scope: Scope, bound: Bindings = new Map()): Generator<Bindings> {
  const [variable, ...others] = variables;
  if (variable === undefined) {
    yield bound;
    return;
  }
  const domain = scope.get(variable);
  for (const item of domain?.items ?? []) {
    const isApart = [...bound].every(([name, other]) => other !== item || !(domain?.differsFrom.has(name) || scope.get(name)?.differsFrom.has(variable)));
    if (isApart) yield* bindingsOf(others, scope, new Map(bound).set(variable, item));
  }
}
