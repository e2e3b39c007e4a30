import { createHash } from 'node:crypto';

/** A tensor's shape and its row-major values. */
export interface HashedTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** 256 MiB; Node hashes less than 2 GiB at once. */
const ELEMENTS_PER_HASH = 64 * 2 ** 20;

/** SHA-256 over names, shapes and float32 bytes of tensors, in the order they are added; one need be in memory at a time. */
export class TensorHash {
  private readonly hash = createHash('sha256');

  add(name: string, { shape, values }: HashedTensor): void {
    this.hash.update(`${JSON.stringify([name, ...shape])}\n`);
    for (let at = 0; at < values.length; at += ELEMENTS_PER_HASH) {
      const part = values.subarray(at, at + ELEMENTS_PER_HASH);
      this.hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    }
  }

  /** In hexadecimal; nothing can be added afterwards. */
  digest(): string {
    return this.hash.digest('hex');
  }
}

/** {@link TensorHash} of all tensors, in their order. */
export function hashTensors(tensors: ReadonlyMap<string, HashedTensor>): string {
  const hash = new TensorHash();
  for (const [name, tensor] of tensors) hash.add(name, tensor);
  return hash.digest();
}
