import { parseArgs } from 'node:util';

import type { EngineShape } from './engine-shapes.js';
import { ENGINE_SHAPES, isShapeName, SHAPE_NAMES } from './engine-shapes.js';
import type { DeviceLimits } from './roofline.js';
import type { Preset } from './synthetic-step.js';
import { isPreset } from './synthetic-step.js';

/** What the benchmark on a GPU is asked to do. */
export interface GpuFlags {
  readonly shape: EngineShape;
  readonly presets: readonly Preset[];
  readonly timeSteps: readonly number[];
  readonly batches: readonly number[];
  readonly recompute: readonly string[];
  /** Values of train.precision. */ readonly precision: readonly string[];
  readonly context: number;
  /** Whether students start as a run's do, at chosen firing rates; else at random. */ readonly calibrated: boolean;
  /** Further keys of the configuration. */ readonly set: readonly string[];
  /** No device: count, and say what the limits below would allow. */ readonly dry: boolean;
  /** Of the device that is not there, as WebGPU calls them; what is absent is a large GPU's. */ readonly deviceLimits: Readonly<Record<string, number>>;
  readonly limits: DeviceLimits;
  /** Timed steps of one batch end after this long, though not before the third. */ readonly secondsPerBatch: number;
  /** No student is begun, and none goes on, after this long. */ readonly limitS: number;
  /** File that is written anew after every line; null: none. */ readonly out: string | null;
}

const OPTIONS = {
  shape: { type: 'string', default: '125m' }, 'hidden-size': { type: 'string' }, layers: { type: 'string' }, heads: { type: 'string' }, 'vocab-size': { type: 'string' },
  presets: { type: 'string', default: 'paper' }, 'time-steps': { type: 'string', default: '4,2' }, batches: { type: 'string', default: '8,1,2,4,16,32' },
  recompute: { type: 'string', default: 'blocks,none' }, precision: { type: 'string', default: 'float32,mixed' }, context: { type: 'string', default: '1024' }, calibrated: { type: 'boolean', default: false },
  set: { type: 'string', multiple: true }, dry: { type: 'boolean', default: false }, 'device-limits': { type: 'string', default: '{}' },
  'operations-per-second': { type: 'string', default: '67e12' }, 'bytes-per-second': { type: 'string', default: '4.8e12' },
  'seconds-per-batch': { type: 'string', default: '4' }, 'limit-s': { type: 'string', default: '240' }, out: { type: 'string' },
} as const;

/** Reads the flags of `bench/gpu.bench.ts`. @throws Error that names the flag and what it may be. */
export function readGpuFlags(args: readonly string[] = process.argv.slice(2)): GpuFlags {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const number = (flag: keyof typeof OPTIONS, text: string): number => {
    const value = Number(text);
    if (!(value > 0)) throw new Error(`--${flag} ${text}: expected a number above 0`);
    return value;
  };
  const numbers = (flag: 'time-steps' | 'batches'): number[] => values[flag].split(',').map((text) => number(flag, text));
  return {
    shape: readShape(values, number), presets: values.presets.split(',').map(readPreset),
    timeSteps: numbers('time-steps'), batches: numbers('batches'), recompute: values.recompute.split(','), precision: values.precision.split(','), context: number('context', values.context),
    calibrated: values.calibrated, set: values.set ?? [], dry: values.dry, deviceLimits: JSON.parse(values['device-limits']) as Record<string, number>,
    limits: { operationsPerSecond: number('operations-per-second', values['operations-per-second']), bytesPerSecond: number('bytes-per-second', values['bytes-per-second']) },
    secondsPerBatch: number('seconds-per-batch', values['seconds-per-batch']), limitS: number('limit-s', values['limit-s']), out: values.out ?? null,
  };
}

function readPreset(name: string): Preset {
  if (!isPreset(name)) throw new Error(`--presets ${name}: expected paper or practical`);
  return name;
}

type ShapeFlags = { readonly shape: string } & Partial<Record<'hidden-size' | 'layers' | 'heads' | 'vocab-size', string | undefined>>;

function readShape(values: ShapeFlags, number: (flag: keyof typeof OPTIONS, text: string) => number): EngineShape {
  if (!isShapeName(values.shape)) throw new Error(`--shape ${values.shape}: expected one of ${SHAPE_NAMES.join(', ')}`);
  const shape = ENGINE_SHAPES[values.shape];
  const size = (flag: 'hidden-size' | 'layers' | 'heads' | 'vocab-size', otherwise: number): number => (values[flag] === undefined ? otherwise : number(flag, values[flag]));
  const hiddenSize = size('hidden-size', shape.hiddenSize);
  return {
    ...shape, hiddenSize, feedForwardSize: 4 * hiddenSize, layers: size('layers', shape.layers), heads: size('heads', shape.heads), vocabSize: size('vocab-size', shape.vocabSize),
  };
}
