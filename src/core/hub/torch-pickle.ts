import { FormatError } from '../errors.js';
import type { PickleHooks } from './pickle-machine.js';
import type { PickleValue } from './pickle-values.js';
import { describePickle, PickleDict, PickleGlobal, PickleObject, PickleTuple } from './pickle-values.js';
import type { TensorDtype } from './tensor-map.js';

/** A run of elements that tensors are views of; its bytes lie elsewhere in the file. */
export class TorchStorage extends PickleObject {
  readonly kind = 'storage';

  constructor(readonly dtype: TensorDtype, readonly key: string, readonly elements: number) {
    super();
  }
}

/** A view of a storage, offset and strides counted in elements; not yet checked against the storage. */
export class TorchTensor extends PickleObject {
  readonly kind = 'tensor';

  constructor(readonly storage: TorchStorage, readonly offset: number, readonly view: { shape: readonly number[]; strides: readonly number[] }) {
    super();
  }
}

const STORAGES: ReadonlyMap<string, TensorDtype> = new Map<string, TensorDtype>([
  ['torch.FloatStorage', 'F32'], ['torch.HalfStorage', 'F16'], ['torch.BFloat16Storage', 'BF16'], ['torch.DoubleStorage', 'F64'],
  ['torch.LongStorage', 'I64'], ['torch.IntStorage', 'I32'], ['torch.ShortStorage', 'I16'], ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'], ['torch.BoolStorage', 'BOOL'],
]);
const ORDERED_DICT = 'collections.OrderedDict';
const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';

type Fail = (reason: string) => never;

/**
 * What the names in a state dict mean. Exact names, no prefixes: `torch.` alone would let `torch.hub.load` through.
 * @param storageFields fields of a persistent id: 5 in zip archives, 6 in the legacy format.
 */
export function torchHooks(storageFields: 5 | 6): PickleHooks {
  return {
    allowedGlobals: new Set([ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, ...STORAGES.keys()]),
    call: callTorch,
    persistent: (id, fail) => parseStorage(id, storageFields, fail),
  };
}

/**
 * The tensors of a state dict by name.
 * @throws FormatError when the top level is no dict, is empty or holds something else than tensors.
 */
export function requireStateDict(file: string, value: PickleValue): ReadonlyMap<string, TorchTensor> {
  if (!(value instanceof PickleDict)) throw new FormatError(`${file}: top level is ${describePickle(value)}; a state dict was expected`, { suggestions: [STATE_DICT_HINT] });
  const tensors = new Map<string, TorchTensor>();
  for (const [name, item] of value.entries) {
    if (typeof name !== 'string') throw new FormatError(`${file}: a key of the state dict is ${describePickle(name)}, a name expected`);
    if (!(item instanceof TorchTensor)) {
      throw new FormatError(`${file}: value of ${JSON.stringify(name)} is ${describePickle(item)}, not a tensor`, { suggestions: [STATE_DICT_HINT] });
    }
    tensors.set(name, item);
  }
  if (tensors.size === 0) throw new FormatError(`${file}: no tensors found`);
  return tensors;
}

const STATE_DICT_HINT = 'save the bare state dict: torch.save(model.state_dict(), "pytorch_model.bin")';

function callTorch(name: string, args: PickleTuple, fail: Fail): PickleValue {
  if (name === ORDERED_DICT) return orderedDict(args, fail);
  if (name === REBUILD_TENSOR) return rebuildTensor(args, fail);
  if (name === REBUILD_PARAMETER) {
    const [tensor] = args.items;
    if (!(tensor instanceof TorchTensor)) fail(`_rebuild_parameter: ${describePickle(tensor)}, a tensor expected,`);
    return tensor;
  }
  return fail(`call of ${name}, which only names a type,`);
}

function orderedDict(args: PickleTuple, fail: Fail): PickleDict {
  if (args.items.length > 0) fail('OrderedDict with arguments');
  return new PickleDict();
}

function rebuildTensor(args: PickleTuple, fail: Fail): TorchTensor {
  const { items } = args;
  if (items.length < 4) fail(`_rebuild_tensor_v2: ${items.length} argument${items.length === 1 ? '' : 's'}, at least 4 expected,`);
  const [storage, offset, shape, strides] = items;
  if (!(storage instanceof TorchStorage)) fail(`_rebuild_tensor_v2: ${describePickle(storage)}, a storage expected,`);
  return new TorchTensor(storage, toInteger(offset, fail), { shape: toIntegers(shape, fail), strides: toIntegers(strides, fail) });
}

function parseStorage(id: PickleValue, fields: number, fail: Fail): TorchStorage {
  if (!(id instanceof PickleTuple)) fail(`persistent id must be a storage tuple, found ${describePickle(id)},`);
  const { items } = id;
  if (items.length !== fields) fail(`persistent id has ${items.length} field${items.length === 1 ? '' : 's'}, ${fields} expected,`);
  const [label, type, key, , elements, viewOf] = items;
  if (label !== 'storage') fail(`persistent id is of ${describePickle(label)}, "storage" expected,`);
  const dtype = type instanceof PickleGlobal ? STORAGES.get(type.name) : undefined;
  if (dtype === undefined) fail(`storage type is ${describePickle(type)}, one of ${[...STORAGES.keys()].join(', ')} expected,`);
  if (typeof key !== 'string') fail(`storage key is ${describePickle(key)}, a string expected,`);
  const count = toInteger(elements, fail);
  if (count < 0) fail(`storage of ${count} elements`);
  // Only torch before 0.4 wrote views of storages; tensors share storages by key instead.
  if (viewOf !== undefined && viewOf !== null) fail('view of a storage (torch before 0.4; save the file again with a newer torch)');
  return new TorchStorage(dtype, key, count);
}

function toInteger(value: PickleValue | undefined, fail: Fail): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) fail(`${describePickle(value)} where an integer below 2^53 is expected,`);
  return value;
}

function toIntegers(value: PickleValue | undefined, fail: Fail): readonly number[] {
  if (!(value instanceof PickleTuple)) fail(`${describePickle(value)} where a tuple of integers is expected,`);
  return value.items.map((item) => toInteger(item, fail));
}
