import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A Python process that answers every line it is sent with one line of JSON. */
export interface PythonPeer {
  /** What it said of itself before the first request. */ readonly greeting: unknown;
  ask(line: string): Promise<unknown>;
  close(): void;
}

export const NO_TORCH = 'no Python with PyTorch found (Debian: apt-get install python3-torch libopenblas0; or name one in PYTHON)';

/** The first Python that has PyTorch: $PYTHON, python3, Debian's own. */
export function findPythonWithTorch(): string | null {
  const candidates = [process.env['PYTHON'] ?? 'python3', 'python3', '/usr/bin/python3'];
  return candidates.find((python) => spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0) ?? null;
}

/** Starts a script and waits for its greeting. @throws Error when it ends before it answers. */
export async function startPythonPeer(python: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<PythonPeer> {
  const child = spawn(python, [...args], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${args[0] ?? python} ended before it answered`);
    return JSON.parse(value);
  };
  return {
    greeting: await next(),
    ask: async (line) => {
      child.stdin.write(`${line}\n`);
      return next();
    },
    close: () => { child.stdin.end(); },
  };
}
