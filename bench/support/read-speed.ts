import asc from 'assemblyscript/asc';

import { WASM_PAGE_BYTES, wasmApi } from '../../src/core/wasm/api.js';
import { summary } from './statistics.js';

/** Reads `bytes` from `from` on, as eight streams an eighth apart, sixteen bytes at a time. */
const SOURCE = `
export function readAll(from: usize, bytes: usize): i32 {
  const gap = bytes >> 3;
  let sum = i32x4.splat(0);
  for (let at = from; at < from + gap; at += 16) {
    const a = v128.xor(v128.load(at), v128.load(at + gap)), b = v128.xor(v128.load(at + 2 * gap), v128.load(at + 3 * gap));
    const c = v128.xor(v128.load(at + 4 * gap), v128.load(at + 5 * gap)), d = v128.xor(v128.load(at + 6 * gap), v128.load(at + 7 * gap));
    sum = v128.xor(sum, v128.xor(v128.xor(a, b), v128.xor(c, d)));
  }
  return i32x4.extract_lane(sum, 0) ^ i32x4.extract_lane(sum, 1) ^ i32x4.extract_lane(sum, 2) ^ i32x4.extract_lane(sum, 3);
}`;
/** More than any cache. */
const BYTES = 256e6;
const REPEATS = 9;

/** How fast one thread of WebAssembly reads memory in order, gigabytes per second: the most an engine could read on this machine. */
export async function readSpeed(): Promise<number> {
  const { binary, error, stderr } = await asc.compileString(SOURCE, { importMemory: true, enable: ['simd'], optimizeLevel: 3, runtime: 'stub', noAssert: true });
  if (error !== null || binary === null) throw new Error(`the reading kernel does not compile: ${stderr.toString()}`);
  const pages = Math.ceil(BYTES / WASM_PAGE_BYTES) + 1;
  const memory = new wasmApi.Memory({ initial: pages, maximum: pages, shared: false });
  new Uint32Array(memory.buffer).fill(0x5bd1e995);
  const { exports } = await wasmApi.instantiate(await wasmApi.compile(binary), { env: { memory } });
  const readAll = exports['readAll'] as (from: number, bytes: number) => number;
  const times = Array.from({ length: REPEATS }, () => {
    const begin = performance.now();
    readAll(64, BYTES);
    return performance.now() - begin;
  });
  return BYTES / 1e6 / summary(times).min;
}
