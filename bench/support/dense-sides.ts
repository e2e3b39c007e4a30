import { createRandom } from '../../src/core/corpus/random.js';
import type { DenseStudent } from '../peers/dense-wasm.js';
import { denseCache, denseDecode, densePrefill, disposeDense, startStandardWasm, uploadDense } from '../peers/dense-wasm.js';
import type { PlainStudent } from './plain-student.js';
import { startPeer } from './peer.js';
import { findPythonWithTorch, NO_TORCH } from './python-peer.js';
import type { Activity } from './random-student.js';
import { activityMeter, randomTokens } from './random-student.js';
import type { Side, Times } from './side.js';
import { timeCalls } from './side.js';

/** A dense simulation that can also say how often its neurons fire. */
export interface DenseSide extends Side {
  /** Spikes of all neurons but those of attention on these tokens. */
  countSpikes(ids: readonly number[]): Promise<number>;
}

export interface DenseSettings { readonly context: number; readonly threads: number }

/** The most weights the backend's 32-bit memory holds twice over (as given, and packed by XNNPACK). */
const MOST_WASM_WEIGHTS = 450e6;

/** Tokens on which firing is measured, and after which the compiler has seen everything. */
const ACTIVITY_TOKENS = 32;

/** The dense simulation that runs in this process; it can look at every spike. */
export interface WasmSide extends DenseSide {
  /** Firing of single tokens behind the context: the same network decides what our engine reads. */
  readonly activity: Activity;
}

/** TensorFlow.js's WebAssembly backend with its own kernels, always on one thread in Node.js; a string says why there is none. */
export async function startWasmSide(student: PlainStudent, { context }: DenseSettings): Promise<WasmSide | string> {
  const size = [...student.values.values()].reduce((sum, { length }) => sum + length, 0);
  if (size > MOST_WASM_WEIGHTS) return `${(size / 1e6).toFixed(0)} million float32 weights, packed once more by XNNPACK, do not fit the backend's memory`;
  await startStandardWasm();
  const dense = uploadDense(student);
  const random = createRandom(1);
  const cache = denseCache(dense, randomTokens(student.config, context, random));
  const tokens = (count: number): number[] => randomTokens(student.config, count, random);
  const meter = activityMeter(student.config.neuron.timeSteps);
  for (const id of tokens(ACTIVITY_TOKENS)) denseDecode(dense, id, { cache, watch: meter.add });
  return {
    activity: meter.read(),
    implementation: 'tfjs-backend-wasm 4.22 (XNNPACK, SIMD, 1 thread), dense float32',
    decode: (count) => timeCalls(tokens(count).map((id) => () => denseDecode(dense, id, { cache }))),
    prefill: ({ tokens: count, repeats, logits }) => timeCalls(Array.from({ length: repeats }, () => {
      const ids = tokens(count);
      return () => densePrefill(dense, ids, { logits });
    })),
    countSpikes: async (ids) => spikesOf(dense, ids),
    close: () => { disposeDense(dense); },
  };
}

function spikesOf(dense: DenseStudent, ids: readonly number[]): number {
  let count = 0;
  densePrefill(dense, ids, { logits: 'last', watch: ({ spikes }) => { count += spikes.reduce((a, b) => a + b, 0); } });
  return count;
}

const SCRIPT = new URL('../peers/dense_torch.py', import.meta.url).pathname;

/** PyTorch in a process of its own that waits between requests; a string says why there is none. */
export async function startTorchSide(folder: string, { context, threads }: DenseSettings): Promise<DenseSide | string> {
  const python = findPythonWithTorch();
  if (python === null) return NO_TORCH;
  const flags = ['--model', folder, '--context', String(context), '--threads', String(threads)];
  const peer = await startPeer(python, [SCRIPT, ...flags], { OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) });
  const ask = async (request: object): Promise<unknown> => peer.ask(JSON.stringify(request));
  return {
    implementation: (peer.greeting as { implementation: string }).implementation,
    decode: async (count) => (await ask({ decode: count })) as Times,
    prefill: async ({ tokens, repeats, logits }) => (await ask({ prefill: tokens, repeats, logits })) as Times,
    countSpikes: async (ids) => ((await ask({ spikes: ids })) as { spikes: number }).spikes,
    close: peer.close,
  };
}
