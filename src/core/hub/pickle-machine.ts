import { FormatError } from '../errors.js';
import { PickleCursor } from './pickle-cursor.js';
import type { PickleKey, PickleValue } from './pickle-values.js';
import { describePickle, PickleDict, PickleGlobal, PickleList, PickleTuple } from './pickle-values.js';

/** What the names and ids of one pickle format mean. Hooks build data; they get no way to call anything. */
export interface PickleHooks {
  /** Exact names the pickle may mention. */ readonly allowedGlobals: ReadonlySet<string>;
  /** What `global(...args)` stands for. @throws FormatError through `fail` */
  call(global: string, args: PickleTuple, fail: (reason: string) => never): PickleValue;
  /** What a persistent id stands for. @throws FormatError through `fail` */
  persistent(id: PickleValue, fail: (reason: string) => never): PickleValue;
}

/** A state dict of a thousand tensors takes some 50,000 opcodes; the limit bounds memory, an opcode allocating at most one small object. */
const MAX_OPCODES = 2_000_000;
/** Integers of a state dict fit 8 bytes; the legacy format's magic number has 10. */
const MAX_INTEGER_BYTES = 16;

/** How to get weights that need no pickle. */
export const SAFETENSORS_HINT = 'ask for the weights as safetensors, or convert them where you trust them: safetensors.torch.save_file(state_dict, "model.safetensors")';

/**
 * Reads one pickle as data. Only the opcodes a state dict needs are known, only the names in `allowedGlobals` may occur.
 * @returns the value and the byte after STOP. @throws FormatError naming the opcode or the full global and its byte.
 */
export function readPickle(source: { file: string; bytes: Uint8Array; start: number }, hooks: PickleHooks): { value: PickleValue; end: number } {
  const machine = new PickleMachine(new PickleCursor(source.file, source.bytes, source.start), hooks);
  return { value: machine.run(), end: machine.cursor.at };
}

class PickleMachine {
  private stack: PickleValue[] = [];
  /** Stacks set aside by MARK. */ private readonly marked: PickleValue[][] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(readonly cursor: PickleCursor, private readonly hooks: PickleHooks) {}

  run(): PickleValue {
    for (let steps = 0; steps < MAX_OPCODES; steps += 1) {
      const code = this.cursor.opcode();
      if (code === STOP) return this.pop();
      const operation = OPERATIONS.get(code);
      if (operation === undefined) this.refuseOpcode(code);
      operation(this);
    }
    throw new FormatError(`${this.cursor.file}: pickle has more than ${MAX_OPCODES} opcodes: no state dict needs so many`);
  }

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined) this.cursor.fail('stack underflow');
    return value;
  }

  top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined) this.cursor.fail('stack underflow');
    return value;
  }

  pushTuple(length: number): void {
    if (this.stack.length < length) this.cursor.fail('stack underflow');
    this.push(new PickleTuple(this.stack.splice(this.stack.length - length)));
  }

  mark(): void {
    this.marked.push(this.stack);
    this.stack = [];
  }

  /** Everything since the last MARK. */
  popMarked(): readonly PickleValue[] {
    const items = this.stack;
    const outer = this.marked.pop();
    if (outer === undefined) this.cursor.fail('stack underflow: no MARK');
    this.stack = outer;
    return items;
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!(list instanceof PickleList)) this.cursor.fail(`APPEND to ${describePickle(list)}`);
    for (const item of items) list.items.push(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof PickleDict)) this.cursor.fail(`SETITEM on ${describePickle(dict)}`);
    if (items.length % 2 !== 0) this.cursor.fail('SETITEMS with a key but no value');
    for (let i = 0; i < items.length; i += 2) dict.entries.set(this.toKey(items[i]!), items[i + 1]!);
  }

  memoize(slot: number): void {
    this.memo.set(slot, this.top());
  }

  get memoSize(): number {
    return this.memo.size;
  }

  recall(slot: number): void {
    const value = this.memo.get(slot);
    if (value === undefined) this.cursor.fail(`memo slot ${slot} is not set, asked for`);
    this.push(value);
  }

  pushGlobal(name: string): void {
    if (!this.hooks.allowedGlobals.has(name)) {
      throw new FormatError(`${this.cursor.file}: the pickle wants the global ${name} at byte ${this.cursor.opcodeAt}: refused, nothing was executed`, {
        suggestions: [SAFETENSORS_HINT],
      });
    }
    this.push(new PickleGlobal(name));
  }

  pushStackGlobal(): void {
    const name = this.pop();
    const module = this.pop();
    if (typeof name !== 'string' || typeof module !== 'string') this.cursor.fail('STACK_GLOBAL without two strings');
    this.pushGlobal(`${module}.${name}`);
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal)) this.cursor.fail(`REDUCE of ${describePickle(callee)}`);
    if (!(args instanceof PickleTuple)) this.cursor.fail(`REDUCE with ${describePickle(args)} instead of a tuple`);
    this.push(this.hooks.call(callee.name, args, this.fail));
  }

  /** Attributes of an OrderedDict (`_metadata`: version numbers of modules) carry no weights and are dropped. */
  build(): void {
    this.pop();
    const target = this.top();
    if (!(target instanceof PickleDict)) this.cursor.fail(`BUILD of ${describePickle(target)}`);
  }

  persistent(): void {
    this.push(this.hooks.persistent(this.pop(), this.fail));
  }

  pushInteger(length: number): void {
    if (length > MAX_INTEGER_BYTES) this.cursor.fail(`integer of ${length} bytes`);
    this.push(this.cursor.integer(length));
  }

  private readonly fail = (reason: string): never => this.cursor.fail(reason);

  private toKey(value: PickleValue): PickleKey {
    if (value !== null && typeof value === 'object') this.cursor.fail(`${describePickle(value)} as a dictionary key`);
    return value;
  }

  private refuseOpcode(code: number): never {
    const name = REFUSED_OPCODES[String.fromCharCode(code)];
    if (name === undefined) this.cursor.fail(`unknown pickle opcode 0x${code.toString(16).padStart(2, '0')}`);
    const detail = name === 'INST' ? ` for ${this.cursor.line()}.${this.cursor.line()}` : '';
    throw new FormatError(`${this.cursor.file}: pickle opcode ${name}${detail} at byte ${this.cursor.opcodeAt} is not among those a state dict needs: refused, nothing was executed`, {
      suggestions: [SAFETENSORS_HINT],
    });
  }
}

type Operation = (machine: PickleMachine) => void;

const STOP = 0x2e;
/** Opcodes by number, as Python's pickle protocols 2 to 5 define them. */
const OPERATIONS: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [0x80, (m) => { // PROTO
    const version = m.cursor.u8();
    if (version > 5) m.cursor.fail(`pickle protocol ${version}, at most 5 expected,`);
  }],
  [0x95, (m) => m.cursor.frame()], // FRAME
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.cursor.i32())], // BININT
  [0x4b, (m) => m.push(m.cursor.u8())], // BININT1
  [0x4d, (m) => m.push(m.cursor.u16())], // BININT2
  [0x8a, (m) => m.pushInteger(m.cursor.u8())], // LONG1
  [0x47, (m) => m.push(m.cursor.f64())], // BINFLOAT
  [0x58, (m) => m.push(m.cursor.text(m.cursor.u32()))], // BINUNICODE
  [0x8c, (m) => m.push(m.cursor.text(m.cursor.u8()))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.cursor.text(m.cursor.u64()))], // BINUNICODE8
  [0x29, (m) => m.pushTuple(0)], // EMPTY_TUPLE
  [0x85, (m) => m.pushTuple(1)], // TUPLE1
  [0x86, (m) => m.pushTuple(2)], // TUPLE2
  [0x87, (m) => m.pushTuple(3)], // TUPLE3
  [0x74, (m) => m.push(new PickleTuple(m.popMarked()))], // TUPLE
  [0x5d, (m) => m.push(new PickleList())], // EMPTY_LIST
  [0x61, (m) => m.append([m.pop()])], // APPEND
  [0x65, (m) => m.append(m.popMarked())], // APPENDS
  [0x7d, (m) => m.push(new PickleDict())], // EMPTY_DICT
  [0x73, (m) => m.setItems([m.pop(), m.pop()].reverse())], // SETITEM
  [0x75, (m) => m.setItems(m.popMarked())], // SETITEMS
  [0x63, (m) => m.pushGlobal(`${m.cursor.line()}.${m.cursor.line()}`)], // GLOBAL
  [0x93, (m) => m.pushStackGlobal()], // STACK_GLOBAL
  [0x52, (m) => m.reduce()], // REDUCE
  [0x62, (m) => m.build()], // BUILD
  [0x51, (m) => m.persistent()], // BINPERSID
  [0x71, (m) => m.memoize(m.cursor.u8())], // BINPUT
  [0x72, (m) => m.memoize(m.cursor.u32())], // LONG_BINPUT
  [0x94, (m) => m.memoize(m.memoSize)], // MEMOIZE
  [0x68, (m) => m.recall(m.cursor.u8())], // BINGET
  [0x6a, (m) => m.recall(m.cursor.u32())], // LONG_BINGET
]);

/** Opcodes Python has but no state dict needs, by their character; refused by name. */
const REFUSED_OPCODES: Readonly<Record<string, string>> = {
  'i': 'INST', 'o': 'OBJ', '\x81': 'NEWOBJ', '\x92': 'NEWOBJ_EX', '\x82': 'EXT1', '\x83': 'EXT2', '\x84': 'EXT4', 'P': 'PERSID',
  '1': 'POP_MARK', '2': 'DUP', 'I': 'INT', 'L': 'LONG', 'F': 'FLOAT', 'S': 'STRING', 'V': 'UNICODE', 'T': 'BINSTRING',
  'U': 'SHORT_BINSTRING', 'B': 'BINBYTES', 'C': 'SHORT_BINBYTES', '\x8e': 'BINBYTES8', '\x96': 'BYTEARRAY8', '\x97': 'NEXT_BUFFER',
  '\x98': 'READONLY_BUFFER', '\x8b': 'LONG4', 'l': 'LIST', 'd': 'DICT', 'p': 'PUT', 'g': 'GET', '\x8f': 'EMPTY_SET', '\x90': 'ADDITEMS',
  '\x91': 'FROZENSET',
};
