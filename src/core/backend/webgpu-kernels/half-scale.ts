import type { TensorInfo } from '@tensorflow/tfjs-core';

import { sizeOf } from '../kernel-tensors.js';
import { bindableElements, bindElements } from './binding-limit.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';

/**
 * Powers of two that bring tensors into float16's range. Multiplied by its scale, the largest magnitude of a tensor lies in [2^14, 2^15), half of
 * the largest float16; what is 2^-28 of it or more keeps float16's 11 significant bits, and nothing overflows. So gradients of any size need no
 * scaling of the loss.
 */
export interface HalfScales {
  /** (slots) float32: a kernel's scales are at the slots of its inputs. */ readonly scales: TensorInfo;
  /** Measures a tensor, once per pass. @returns its slot. */ slotOf(tensor: TensorInfo, pass: number): number;
}

const SLOTS = 4096;
const MOST_PARTIALS = 1024;
/** Workgroups that measure one binding. */
const GROUPS = 128;

/** Largest |x| of every workgroup's share, as bits: those of positive floats are ordered like the floats, and NaN is above infinity. */
const LARGEST: GpuKernel = {
  name: 'HalfLargest',
  tensors: [['x', 'read', 'f32'], ['partials', 'read_write', 'u32']],
  uniforms: [['first', 'u32'], ['end', 'u32'], ['slot', 'u32']],
  code: `var<workgroup> largest: atomic<u32>;
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  var own = 0u;
  for (var i = uniforms.first + group.x * 128u + local; i < uniforms.end; i += groups.x * 128u) { own = max(own, bitcast<u32>(x[i]) & 0x7fffffffu); }
  atomicMax(&largest, own);
  workgroupBarrier();
  if (local == 0u) { partials[uniforms.slot + group.x] = atomicLoad(&largest); }
}`,
};

/** 2^(14 - e) where the largest magnitude is in [2^e, 2^(e+1)); 1 for zero, infinity and NaN. Exponents are kept where 1/scale is a float too. */
const SCALE: GpuKernel = {
  name: 'HalfScale',
  tensors: [['partials', 'read', 'u32'], ['scales', 'read_write', 'f32']],
  uniforms: [['count', 'u32'], ['slot', 'u32']],
  code: `var<workgroup> largest: atomic<u32>;
@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) local: u32) {
  for (var i = local; i < uniforms.count; i += 128u) { atomicMax(&largest, partials[i]); }
  workgroupBarrier();
  if (local != 0u) { return; }
  let bits = atomicLoad(&largest);
  let exponent = clamp(127 + 14 - (i32(bits >> 23u) - 127), 2, 252);
  scales[uniforms.slot] = select(bitcast<f32>(u32(exponent) << 23u), 1.0, bits == 0u || bits >= 0x7f800000u);
}`,
};

/** Scales of the tensors of a pass. The memory belongs to the backend as long as it lives. */
export function createHalfScales(gpu: GpuDispatcher): HalfScales {
  const [scales, partials] = [gpu.makeOutput([SLOTS]), gpu.makeOutput([MOST_PARTIALS], 'int32')];
  let [slots, measured, ofPass] = [new WeakMap<object, number>(), 0, -1];
  return {
    scales,
    slotOf: (tensor, pass) => {
      if (pass !== ofPass) [slots, ofPass] = [new WeakMap(), pass];
      const known = slots.get(tensor.dataId);
      if (known !== undefined && measured - known < SLOTS - 1) return known % SLOTS; // not overwritten since, nor by the other input's
      const slot = measured++;
      measure(gpu, tensor, { partials, scales, slot: slot % SLOTS });
      slots.set(tensor.dataId, slot);
      return slot % SLOTS;
    },
  };
}

function measure(gpu: GpuDispatcher, tensor: TensorInfo, { partials, scales, slot }: { readonly partials: TensorInfo; readonly scales: TensorInfo; readonly slot: number }): void {
  const size = sizeOf(tensor.shape);
  const atOnce = Math.max(bindableElements(gpu.backend, gpu.bindingBytes), Math.ceil(GROUPS * size / MOST_PARTIALS));
  let count = 0;
  for (let start = 0; start < size; start += atOnce) {
    const end = Math.min(size, start + atOnce);
    const { bound, at } = bindElements(gpu.backend, tensor, { first: start, end, bindingBytes: gpu.bindingBytes });
    const groups = Math.min(GROUPS, Math.ceil((end - start) / 1024));
    gpu.run(LARGEST, { tensors: [bound, partials], uniforms: [at, at + end - start, count], workgroups: [groups, 1, 1] });
    count += groups;
  }
  gpu.run(SCALE, { tensors: [partials, scales], uniforms: [count, slot], workgroups: [1, 1, 1] });
}
