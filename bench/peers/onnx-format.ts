/**
 * The parts of ONNX's protocol buffer (onnx.proto) that a network of our peers needs. A message is a sequence of fields, each a tag (number of
 * the field, kind of its value) and a value; nested messages and texts are preceded by their length.
 */

/** Codes of `TensorProto.DataType`. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

export type OnnxAttributes = Readonly<Record<string, { readonly kind: 'float' | 'integer'; readonly value: number }>>;

/** An operator of a graph; an input that is not given is an empty name. */
export interface OnnxNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** ONNX's own operators have no domain. */ readonly domain?: string;
  readonly attributes?: OnnxAttributes;
}

/** An input or output of a graph; a name in place of an extent leaves it open. */
export interface OnnxValue { readonly name: string; readonly type: ElementType; readonly extents: readonly (number | string)[] }

/** A constant of a graph: its bytes, or where they lie in a file beside the model. */
export interface OnnxTensor {
  readonly name: string;
  readonly type: ElementType;
  /** Outermost extent first. */ readonly extents: readonly number[];
  readonly content: Uint8Array | { readonly file: string; readonly offset: number; readonly length: number };
}

export interface OnnxModel {
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly nodes: readonly OnnxNode[];
  readonly tensors: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** Version 8 of the representation goes with operator set 17. */
const REPRESENTATION = 8;
const ATTRIBUTE_TYPES = { float: 1, integer: 2 } as const;
const EXTERNAL = 1;
/** Kinds of values on the wire. */
const WIRE = { varint: 0, bytes: 2, fixed32: 5 } as const;

/** A whole `ModelProto`. */
export function encodeOnnx({ opsets, nodes, tensors, inputs, outputs }: OnnxModel): Buffer {
  const graph = [
    ...nodes.map((node) => bytesField(1, encodeNode(node))), bytesField(2, 'network'), ...tensors.map((tensor) => bytesField(5, encodeTensor(tensor))),
    ...inputs.map((value) => bytesField(11, encodeValue(value))), ...outputs.map((value) => bytesField(12, encodeValue(value))),
  ];
  const imports = opsets.map(({ domain, version }) => bytesField(8, [bytesField(1, domain), numberField(2, version)]));
  return Buffer.concat([numberField(1, REPRESENTATION), bytesField(7, graph), ...imports]);
}

function encodeNode({ operator, inputs, outputs, domain = '', attributes = {} }: OnnxNode): Buffer[] {
  return [
    ...inputs.map((name) => bytesField(1, name)), ...outputs.map((name) => bytesField(2, name)), bytesField(3, outputs[0] ?? ''), bytesField(4, operator),
    ...Object.entries(attributes).map(([name, { kind, value }]) => bytesField(5, [
      bytesField(1, name), kind === 'float' ? floatField(2, value) : numberField(3, value), numberField(20, ATTRIBUTE_TYPES[kind]),
    ])),
    bytesField(7, domain),
  ];
}

function encodeTensor({ name, type, extents, content }: OnnxTensor): Buffer[] {
  const head = [...extents.map((extent) => numberField(1, extent)), numberField(2, ELEMENT_TYPES[type]), bytesField(8, name)];
  if (content instanceof Uint8Array) return [...head, bytesField(9, [content])];
  const entries = { location: content.file, offset: String(content.offset), length: String(content.length) };
  return [...head, ...Object.entries(entries).map(([key, value]) => bytesField(13, [bytesField(1, key), bytesField(2, value)])), numberField(14, EXTERNAL)];
}

function encodeValue({ name, type, extents }: OnnxValue): Buffer[] {
  const shape = extents.map((extent) => bytesField(1, [typeof extent === 'number' ? numberField(1, extent) : bytesField(2, extent)]));
  return [bytesField(1, name), bytesField(2, [bytesField(1, [numberField(1, ELEMENT_TYPES[type]), bytesField(2, shape)])])];
}

/** A count in groups of seven bits, the lowest first, all but the last marked. */
function varint(value: number): Buffer {
  const groups: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) groups.push((rest % 128) + 128);
  return Buffer.from([...groups, rest]);
}

const numberField = (field: number, value: number): Buffer => Buffer.concat([varint(field * 8 + WIRE.varint), varint(value)]);

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint(field * 8 + WIRE.fixed32), bytes]);
}

function bytesField(field: number, content: string | readonly Uint8Array[]): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : Buffer.concat(content);
  return Buffer.concat([varint(field * 8 + WIRE.bytes), varint(bytes.length), bytes]);
}
