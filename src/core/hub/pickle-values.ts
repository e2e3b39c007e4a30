/** What a pickle of a state dict can hold. Plain data only: nothing here is ever called. */
export type PickleValue = null | boolean | number | bigint | string | PickleTuple | PickleList | PickleDict | PickleGlobal | PickleObject;
/** Values that may be dictionary keys. */
export type PickleKey = null | boolean | number | bigint | string;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

export class PickleList {
  readonly items: PickleValue[] = [];
}

/** A dict or OrderedDict; a Map, so that a key `__proto__` is a key like any other. */
export class PickleDict {
  readonly entries = new Map<PickleKey, PickleValue>();
}

/** A name on the allow-list, e.g. `collections.OrderedDict`. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** Something that allowed names stand for; made by the hooks of the format that is read. */
export abstract class PickleObject {
  /** As a message calls it, e.g. `tensor`. */ abstract readonly kind: string;
}

/** `dict`, `tuple`, `global os.system` … as a message names a value. */
export function describePickle(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (value instanceof PickleTuple) return `a tuple of ${value.items.length}`;
  if (value instanceof PickleList) return 'a list';
  if (value instanceof PickleDict) return 'a dict';
  if (value instanceof PickleGlobal) return `the name ${value.name}`;
  if (value instanceof PickleObject) return `a ${value.kind}`;
  return typeof value === 'string' ? 'a string' : typeof value === 'boolean' ? 'a boolean' : `the number ${value}`;
}
