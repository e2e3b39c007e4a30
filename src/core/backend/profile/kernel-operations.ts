import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

/** What a kernel was called with and what it made. */
export interface KernelTensors {
  readonly inputs: NamedTensorInfoMap;
  readonly outputs: readonly TensorInfo[];
  readonly attrs: NamedAttrMap | undefined;
}

type Formula = (call: KernelTensors) => number;

const sizeOf = (tensor: TensorInfo | undefined): number => (tensor === undefined ? 0 : tensor.shape.reduce((product, extent) => product * extent, 1));
const last = (tensor: TensorInfo | undefined): number => tensor?.shape.at(-1) ?? 1;
const input = ({ inputs }: KernelTensors, name: string): TensorInfo | undefined => inputs[name];

/** Two operations per output and inner element. */
function product(call: KernelTensors): number {
  const [a, out] = [input(call, 'a'), call.outputs[0]];
  const inner = call.attrs?.['transposeA'] === true ? (a?.shape.at(-2) ?? 1) : last(a);
  return 2 * sizeOf(out) * inner;
}

function allSizes({ inputs }: KernelTensors): number {
  return Object.values(inputs).reduce((sum, tensor) => sum + sizeOf(tensor), 0);
}

/** (T, B, L, 3D): per causal pair, time step and head, K for the overlap and K for the values, each one operation and its addition. */
function attention(call: KernelTensors): number {
  const [timeSteps = 1, batch = 1, length = 1, width = 3] = input(call, 'qkv')?.shape ?? [];
  return 2 * 2 * timeSteps * batch * ((length * (length + 1)) / 2) * (width / 3);
}

/** Causal pairs of (B·L, D) rows times D: one product over the channels of all heads, each an operation and its addition. */
function pairProducts(rows: TensorInfo | undefined, attrs: NamedAttrMap | undefined): number {
  const length = Number(attrs?.['length']);
  return sizeOf(rows) * (length + 1);
}

/** The teacher's side of an alignment: its scores, `times` over. */
function scores(call: KernelTensors, times: number, length: number): number {
  return times * pairProducts(input(call, 'teacherQuery'), { length });
}

/** As `attention`, from the gradient of the values (T, B, L, D). */
function attentionGradient(call: KernelTensors): number {
  const [timeSteps = 1, batch = 1, length = 1, width = 1] = input(call, 'dValues')?.shape ?? [];
  // Spikes' gradients for queries and again for keys, and three sums of rows; the overlaps once more for each of the three.
  return (5 + 3) * timeSteps * batch * length * (length + 1) * width;
}

/** Dense equivalents: a kernel that skips silent neurons does less. */
const FORMULAS: Readonly<Record<string, Formula>> = {
  BatchMatMul: product,
  _FusedMatMul: product,
  // Spikes may be packed, so their own width is not asked.
  BispikSpikeMatMul: (call) => 2 * sizeOf(call.outputs[0]) * (input(call, 'w')?.shape[0] ?? 1),
  BispikReluMatMul: (call) => 2 * sizeOf(call.outputs[0]) * last(input(call, 'x')),
  BispikSpikeMatMulGradW: (call) => 2 * sizeOf(call.outputs[0]) * (input(call, 's')?.shape[0] ?? 1),
  // Over any number of tensors: one per element of a gradient.
  BispikSquareSums: allSizes,
  BispikSquareRuns: allSizes,
  BispikAddInto: (call) => allSizes(call) / 2,
  BispikAdamInPlace: (call) => allSizes(call) / 4,
  BispikSpikingAttention: attention,
  BispikMappedAttention: attention,
  // The overlap and the spikes once more, and four products: of dValues with the values, and towards query, key and value.
  BispikSpikingAttentionGrad: (call) => 2.5 * attention(call),
  BispikMappedAttentionGrad: (call) => 2.5 * attention(call),
  BispikTiledAttention: attention,
  BispikTiledAttentionGrad: attentionGradient,
  // The overlaps once more, and the teacher's scores for its rows and for the loss.
  BispikAlignedAttention: (call) => 1.5 * attention(call) + scores(call, 2, input(call, 'qkv')?.shape[2] ?? 1),
  BispikAlignedAttentionGrad: (call) => attentionGradient(call) + scores(call, 2, input(call, 'dValues')?.shape[2] ?? 1),
  // Scores and context.
  BispikSoftmaxAttention: (call) => 2 * pairProducts(input(call, 'query'), call.attrs),
  // Scores for the rows, scores for the context, and the context.
  BispikStreamedAttention: (call) => 3 * pairProducts(input(call, 'query'), call.attrs),
};

/**
 * Additions and multiplications a kernel stands for: for products 2·(output elements)·(inner length), with spikes as if they were dense;
 * for all others one per element of its largest tensor, which is a lower bound (they are bound by memory).
 */
export function operationsOf(name: string, call: KernelTensors): number {
  return FORMULAS[name]?.(call) ?? Math.max(...[...Object.values(call.inputs).flat(), ...call.outputs].map(sizeOf));
}
