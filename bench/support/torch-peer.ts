import { startPeer } from './peer.js';
import { findPythonWithTorch, NO_TORCH } from './python-peer.js';

/** Times of some steps, in milliseconds. */
export interface StepTimes { readonly wallMs: readonly number[]; readonly processorMs: readonly number[] }

/** The same training step in plain PyTorch, in a process of its own that waits between requests. */
export interface TorchPeer {
  /** Version and precision. */ readonly implementation: string;
  run(steps: number): Promise<StepTimes>;
  close(): void;
}

/** Sizes the peer is asked for, by the name of its option. */
export type PeerSizes = Readonly<Record<'d-model' | 'feed-forward' | 'layers' | 'heads' | 'context' | 'batch' | 'time-steps' | 'vocab', number>>;

const SCRIPT = new URL('../peers/distill_step.py', import.meta.url).pathname;

/** Starts the peer on one thread and warms it up; a string says why there is none. */
export async function startTorchPeer(sizes: PeerSizes, preset: 'practical' | 'paper'): Promise<TorchPeer | string> {
  const python = findPythonWithTorch();
  if (python === null) return NO_TORCH;
  const flags = Object.entries(sizes).flatMap(([name, size]) => [`--${name}`, String(size)]);
  const peer = await startPeer(python, [SCRIPT, '--serve', '--threads', '1', '--preset', preset, ...flags]);
  return {
    implementation: (peer.greeting as { implementation: string }).implementation,
    run: async (steps) => (await peer.ask(String(steps))) as StepTimes,
    close: peer.close,
  };
}
