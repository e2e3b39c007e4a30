import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process that answers every line it is sent with one line of JSON. */
export interface Peer {
  /** What it said of itself before the first request. */ readonly greeting: unknown;
  ask(line: string): Promise<unknown>;
  close(): void;
}

/** Starts a program and waits for its greeting. @throws Error when it ends before it answers. */
export async function startPeer(program: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Peer> {
  const child = spawn(program, [...args], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${args[0] ?? program} ended before it answered`);
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
