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

/** (T, B, L, 3D): per causal pair, time step and head, K for the overlap and K for the values, each one operation and its addition. */
function attention(call: KernelTensors): number {
  const [timeSteps = 1, batch = 1, length = 1, width = 3] = input(call, 'qkv')?.shape ?? [];
  return 2 * 2 * timeSteps * batch * ((length * (length + 1)) / 2) * (width / 3);
}

/** Dense equivalents: a kernel that skips silent neurons does less. */
const FORMULAS: Readonly<Record<string, Formula>> = {
  BatchMatMul: product,
  _FusedMatMul: product,
  // Spikes may be packed, so their own width is not asked.
  BispikSpikeMatMul: (call) => 2 * sizeOf(call.outputs[0]) * (input(call, 'w')?.shape[0] ?? 1),
  BispikSpikeMatMulGradW: (call) => 2 * sizeOf(call.outputs[0]) * (input(call, 's')?.shape[0] ?? 1),
  BispikSpikingAttention: attention,
  // The overlap and the spikes once more, and four products: of dValues with the values, and towards query, key and value.
  BispikSpikingAttentionGrad: (call) => 2.5 * attention(call),
};

/**
 * Additions and multiplications a kernel stands for: for products 2·(output elements)·(inner length), with spikes as if they were dense;
 * for all others one per element of its largest tensor, which is a lower bound (they are bound by memory).
 */
export function operationsOf(name: string, call: KernelTensors): number {
  return FORMULAS[name]?.(call) ?? Math.max(...[...Object.values(call.inputs).flat(), ...call.outputs].map(sizeOf));
}
