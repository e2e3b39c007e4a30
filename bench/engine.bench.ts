/**
 * The event-driven engine beside dense implementations of the same widths, in turns:
 *   npm run --silent bench:engine -- --shape 125m --time-steps 2 --rate 0.10 --threads 1 --json
 * Random weights, neurons set so that every site fires at the rate. docs/performance.md says what the numbers mean.
 */
import { parseArgs } from 'node:util';

import type { EngineBenchSettings } from './support/engine-comparison.js';
import { compareEngine } from './support/engine-comparison.js';
import { renderComparison } from './support/engine-report.js';
import { isShapeName, SHAPE_NAMES } from './support/engine-shapes.js';
import type { Precision } from './support/open-engine.js';
import { PRECISIONS } from './support/open-engine.js';

const WITHOUT = ['engine', 'wasm', 'torch', 'llama', 'onnx', 'perplexity', 'attention', 'start'] as const;

const { values: flags } = parseArgs({
  options: {
    shape: { type: 'string', default: '125m' }, 'time-steps': { type: 'string', default: '2' }, rate: { type: 'string', default: '0.10' },
    threads: { type: 'string', default: '1' }, precision: { type: 'string', default: 'int8' }, context: { type: 'string', default: '128' },
    tokens: { type: 'string', default: '32' }, repeats: { type: 'string', default: '5' }, seed: { type: 'string', default: '1' },
    'on-off': { type: 'boolean', default: false }, without: { type: 'string', default: '' }, model: { type: 'string' },
    'llama-bench': { type: 'string' }, 'llama-library': { type: 'string' }, onnxruntime: { type: 'string' }, json: { type: 'boolean', default: false },
  },
});

/** A number in a range. @throws Error naming the flag. */
function number(name: 'time-steps' | 'rate' | 'threads' | 'context' | 'tokens' | 'repeats' | 'seed', [low, high]: readonly [number, number]): number {
  const value = Number(flags[name]);
  if (!(value >= low && value <= high) || (name !== 'rate' && !Number.isInteger(value))) throw new Error(`--${name} ${flags[name]}: expected ${low} to ${high}`);
  return value;
}

function settings(): EngineBenchSettings {
  const { shape, precision } = flags;
  if (!isShapeName(shape)) throw new Error(`--shape ${shape}: expected one of ${SHAPE_NAMES.join(', ')}`);
  if (!(PRECISIONS as readonly string[]).includes(precision)) throw new Error(`--precision ${precision}: expected one of ${PRECISIONS.join(', ')}`);
  const without = flags.without.split(',').filter((name) => name !== '');
  const unknown = without.find((name) => !(WITHOUT as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`--without ${unknown}: expected some of ${WITHOUT.join(',')}`);
  return {
    shape, precision: precision as Precision, timeSteps: number('time-steps', [1, 16]), rate: number('rate', [0.001, 0.9]), onOff: flags['on-off'],
    threads: number('threads', [1, 64]), context: number('context', [32, 2016]), tokens: number('tokens', [1, 32]), repeats: number('repeats', [1, 1000]),
    seed: number('seed', [0, 2 ** 32 - 1]), without, model: flags.model ?? null,
    llama: { bench: flags['llama-bench'] ?? null, library: flags['llama-library'] ?? null }, onnxruntime: flags.onnxruntime ?? null,
  };
}

const comparison = await compareEngine(settings());
process.stdout.write(flags.json ? `${JSON.stringify(comparison, null, 2)}\n` : renderComparison(comparison));
