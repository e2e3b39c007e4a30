/**
 * Run by start-up.ts in a process of its own, on the compiled program: opens FOLDER with PRECISION and THREADS, appends one token, prints
 * times and memory.
 */
import { readFileSync } from 'node:fs';

import { openEngine } from '../../dist/src/core/engine/open-engine.js';

/** On Linux `maxRSS` starts at that of the process that started this one; the kernel's own mark of this program's memory does not. */
function peakRssBytes() {
  if (process.platform !== 'linux') return 1024 * process.resourceUsage().maxRSS;
  return 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

const [folder = '', precision = 'int8', threads = '1'] = process.argv.slice(2);
const start = performance.now();
const model = await openEngine({ folder, precision, threads: Number(threads), notice: () => undefined });
const session = model.openSession();
await session.append([1]);
const firstTokenMs = performance.now() - start;
process.stdout.write(JSON.stringify({ firstTokenMs, processMs: performance.now(), peakRssBytes: peakRssBytes() }));
session.dispose();
model.dispose();
