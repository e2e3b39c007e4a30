import type { TensorInfo } from '@tensorflow/tfjs-core';

import { BackendError } from '../../errors.js';
import { sizeOf } from '../kernel-tensors.js';
import type { TensorRange } from './dispatch.js';
import type { GpuBackend } from './gpu.js';

/** Every element of a tensor is 4 bytes wide on this backend. */
const ELEMENT_BYTES = 4;

/** Bytes of a tensor on the device. */
export function bytesOf(tensor: TensorInfo): number {
  return ELEMENT_BYTES * sizeOf(tensor.shape);
}

/**
 * A binding of elements [first, end) of a tensor: all of it where that fits, else the shortest stretch that starts where the device allows.
 * @returns the binding and the index of element `first` in it.
 */
export function bindElements(
  { device }: GpuBackend, tensor: TensorInfo, { first, end, bindingBytes }: { readonly first: number; readonly end: number; readonly bindingBytes: number },
): { bound: TensorInfo | TensorRange; at: number } {
  if (bytesOf(tensor) <= bindingBytes) return { bound: tensor, at: first };
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  const offsetBytes = Math.floor(ELEMENT_BYTES * first / alignment) * alignment;
  return { bound: { tensor, offsetBytes, sizeBytes: ELEMENT_BYTES * end - offsetBytes }, at: first - offsetBytes / ELEMENT_BYTES };
}

/** Elements that `bindElements` can always bind at once, wherever they begin. */
export function bindableElements({ device }: GpuBackend, bindingBytes: number): number {
  return Math.floor((bindingBytes - device.limits.minStorageBufferOffsetAlignment) / ELEMENT_BYTES);
}

/** @param kernel for the message. @throws BackendError when a binding would be larger than the device allows. */
export function requireBindable(bound: TensorInfo | TensorRange, bindingBytes: number, kernel: string): void {
  const bytes = 'tensor' in bound ? bound.sizeBytes : bytesOf(bound);
  if (bytes > bindingBytes) throw tooLarge('tensor' in bound ? bound.tensor : bound, bindingBytes, kernel);
}

/** The error for a tensor that cannot be computed on whole. */
export function tooLarge(tensor: TensorInfo, bindingBytes: number, kernel: string): BackendError {
  const what = `a tensor ${tensor.dtype} [${tensor.shape.join(', ')}] takes ${bytesOf(tensor)} bytes`;
  return new BackendError(`${kernel}: ${what}, but kernels of this device see at most ${bindingBytes} of a tensor (its limit maxStorageBufferBindingSize)`, {
    suggestions: ['lower train.batch (and raise train.accumulate) or train.context', '--backend wasm'],
  });
}

/**
 * Makes programs of TensorFlow.js refuse a tensor that is larger than one binding may be: Dawn reports that only later, and the result would be
 * whatever was in memory. @param bindingBytes smaller than the device's own only in tests.
 */
export function guardBindings(backend: GpuBackend, bindingBytes = backend.device.limits.maxStorageBufferBindingSize): void {
  const bind = backend.tensorToBinding.bind(backend);
  backend.tensorToBinding = (tensor) => {
    if (tensor !== null && tensor !== undefined) requireBindable(tensor, bindingBytes, 'a kernel of TensorFlow.js');
    return bind(tensor);
  };
}
