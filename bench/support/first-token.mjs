/**
 * Run by start-up.ts in a process of its own, on the compiled program: opens FOLDER with PRECISION and THREADS, appends one token, prints
 * times and memory.
 */
import { openEngine } from '../../dist/src/core/engine/open-engine.js';

const [folder = '', precision = 'int8', threads = '1'] = process.argv.slice(2);
const start = performance.now();
const model = await openEngine({ folder, precision, threads: Number(threads), notice: () => undefined });
const session = model.openSession();
await session.append([1]);
const firstTokenMs = performance.now() - start;
process.stdout.write(JSON.stringify({ firstTokenMs, processMs: performance.now(), peakRssBytes: 1024 * process.resourceUsage().maxRSS }));
session.dispose();
model.dispose();
