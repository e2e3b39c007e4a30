import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

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

/** The first Python that has PyTorch: $PYTHON, python3, Debian's own. */
function findPython(): string | null {
  const candidates = [process.env['PYTHON'] ?? 'python3', 'python3', '/usr/bin/python3'];
  return candidates.find((python) => spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0) ?? null;
}

/** Starts the peer on one thread and warms it up; a string says why there is none. */
export async function startTorchPeer(sizes: PeerSizes, preset: 'practical' | 'paper'): Promise<TorchPeer | string> {
  const python = findPython();
  if (python === null) return 'no Python with PyTorch found (Debian: apt-get install python3-torch libopenblas0; or name one in PYTHON)';
  const flags = Object.entries(sizes).flatMap(([name, size]) => [`--${name}`, String(size)]);
  const child = spawn(python, [SCRIPT, '--serve', '--threads', '1', '--preset', preset, ...flags], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the PyTorch peer ended before it answered');
    return JSON.parse(value);
  };
  const { implementation } = (await next()) as { implementation: string };
  return {
    implementation,
    run: async (steps) => {
      child.stdin.write(`${steps}\n`);
      return (await next()) as StepTimes;
    },
    close: () => { child.stdin.end(); },
  };
}
