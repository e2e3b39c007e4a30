import { threadLimit } from './crew.js';
import { instantiateEngine } from './instantiate.js';
import { createMemory } from './memory.js';

/** Whether the engine works here: one line of `bispik doctor`. */
export interface EngineProbe {
  readonly name: 'engine';
  readonly available: boolean;
  /** Empty when it is not available. */ readonly device: string;
  readonly reason: string;
}

/** Loads the kernels and adds 64 numbers with them. */
export async function probeEngine(load = instantiateEngine): Promise<EngineProbe> {
  try {
    const memory = createMemory(false);
    const kernels = await load(memory.memory);
    const [sums, into] = [memory.allocate(256), memory.allocate(256)];
    memory.words(sums, 64).forEach((_, i, words) => { words[i] = i; });
    kernels.addSums(sums, into, 64, 0, 64, 1);
    const isRight = memory.words(into, 64).every((word, i) => word === i);
    if (!isRight) return { name: 'engine', available: false, device: '', reason: 'its kernels compute wrong sums here' };
    const threads = threadLimit();
    return { name: 'engine', available: true, device: `WebAssembly SIMD, ${threads} ${threads === 1 ? 'core' : 'cores'}`, reason: 'works; what eval and generate run students on' };
  } catch (error) {
    return { name: 'engine', available: false, device: '', reason: error instanceof Error ? error.message : String(error) };
  }
}
