import type { StudentConfig } from '../../src/core/student/config.js';
import type { EngineBenchSettings, Sides, SpikeCheck } from './engine-comparison.js';
import type { AttentionTime } from './engine-side.js';
import { ENGINE_SHAPES, parameterCount } from './engine-shapes.js';
import type { Phase, Ratio, Speed, Turn } from './engine-turns.js';
import { PHASES, ratioOf, speedOf } from './engine-turns.js';
import type { Machine } from './machine.js';
import { describeCommit } from './machine.js';
import type { Activity } from './random-student.js';
import { blockWeights, weightShare } from './random-student.js';
import type { StartUp } from './start-up.js';

/** Speeds of a peer; llama.cpp has no perplexity phase. */
export type PeerSpeeds = Readonly<Record<Phase, Speed | null>> & { readonly implementation: string };

/** What `--json` prints. */
export interface EngineDocument {
  readonly date: string;
  readonly commit: string | null;
  readonly machine: Machine;
  readonly shape: { readonly name: string; readonly parameters: number } & Readonly<Record<string, unknown>>;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Spikes per slot. `engine`: its own counts of the decoded tokens; `network`: the dense simulation's, with the union over a token's steps. */
  readonly rates: { readonly engine: Readonly<Record<string, number>> | null; readonly network: Activity | null };
  /** Share of all block weights whose row fires in at least one step of a token: as the engine read them, and by the dense simulation's spikes. */
  readonly rowsTouched: { readonly engine: number | null; readonly network: number | null };
  readonly engine: string | null;
  readonly decode: Speed | null;
  readonly prefill: Speed | null;
  readonly perplexity: Speed | null;
  readonly attention: readonly AttentionTime[];
  readonly firstTokenMs: number | null;
  readonly peakRssBytes: number | null;
  readonly start: StartUp | null;
  readonly peers: { readonly tfjsWasmDense: PeerSpeeds | null; readonly torchDense: PeerSpeeds | null; readonly llamaCpp: { readonly q8_0: PeerSpeeds; readonly q4_0: PeerSpeeds } | null; readonly onnxruntime: { readonly int8: PeerSpeeds; readonly int4: PeerSpeeds } | null };
  /** Why a side is missing. */ readonly skipped: Readonly<Record<string, string>>;
  readonly spikeCheck: SpikeCheck | null;
  /** Ours / theirs: above 1 we are faster. */ readonly ratios: Readonly<Record<string, Readonly<Partial<Record<Phase, Ratio>>>>>;
}

const BYTES_PER_WEIGHT = { int8: 1, int4: 0.5, float32: 4 } as const;

export interface Findings {
  readonly settings: EngineBenchSettings;
  readonly machine: Machine;
  readonly student: StudentConfig;
  readonly sides: Sides;
  readonly check: SpikeCheck | null;
  readonly turns: ReadonlyMap<string, readonly Turn[]>;
  readonly attention: readonly AttentionTime[];
  readonly start: StartUp | null;
}

/** Puts everything measured into one document. */
export function documentOf(found: Findings): EngineDocument {
  const { settings, sides, turns, student } = found;
  const { shape, timeSteps, rate, precision, threads, onOff, context, tokens, repeats, seed } = settings;
  const own = turns.get('engine') ?? [];
  const network = typeof sides.wasm === 'string' ? null : sides.wasm.activity;
  return {
    date: new Date().toISOString(), commit: describeCommit(), machine: found.machine,
    shape: { name: shape, parameters: parameterCount(student), ...ENGINE_SHAPES[shape] },
    settings: { timeSteps, rate, precision, threads, onOff, context, tokens, repeats, seed },
    rates: { engine: typeof sides.engine === 'string' ? null : sides.engine.firingRates(), network },
    rowsTouched: {
      engine: typeof sides.engine === 'string' ? null : sides.engine.weightBytes() / (BYTES_PER_WEIGHT[precision] * blockWeights(student)),
      network: network === null ? null : weightShare(student, network),
    },
    engine: typeof sides.engine === 'string' ? null : sides.engine.implementation,
    decode: speedOf(own, 'decode'), prefill: speedOf(own, 'prefill'), perplexity: speedOf(own, 'perplexity'),
    attention: found.attention, firstTokenMs: found.start?.firstTokenMs ?? null, peakRssBytes: found.start?.peakRssBytes ?? null, start: found.start,
    peers: peersOf(found),
    skipped: Object.fromEntries(Object.entries(sides).filter(([, side]) => typeof side === 'string')) as Record<string, string>,
    spikeCheck: found.check,
    ratios: Object.fromEntries([...turns].filter(([name]) => name !== 'engine').map(([name, theirs]) => [name, ratiosOf(own, theirs)])),
  };
}

function peersOf({ sides, turns }: Findings): EngineDocument['peers'] {
  const speeds = (name: string, implementation: string): PeerSpeeds => {
    const taken = turns.get(name) ?? [];
    return { implementation, decode: speedOf(taken, 'decode'), prefill: speedOf(taken, 'prefill'), perplexity: speedOf(taken, 'perplexity') };
  };
  const { wasm, torch, llama, onnx } = sides;
  const file = (name: string): PeerSpeeds => speeds(name, typeof llama === 'string' ? '' : (llama.find((side) => side.name === name)?.implementation ?? ''));
  return {
    tfjsWasmDense: typeof wasm === 'string' ? null : speeds('tfjsWasmDense', wasm.implementation),
    torchDense: typeof torch === 'string' ? null : speeds('torchDense', torch.implementation),
    llamaCpp: typeof llama === 'string' ? null : { q8_0: file('q8_0'), q4_0: file('q4_0') },
    onnxruntime: typeof onnx === 'string' ? null : { int8: speeds('onnxInt8', `${onnx.int8.implementation}, dense int8`), int4: speeds('onnxInt4', `${onnx.int4.implementation}, dense int4`) },
  };
}

function ratiosOf(ours: readonly Turn[], theirs: readonly Turn[]): Partial<Record<Phase, Ratio>> {
  return Object.fromEntries(PHASES.flatMap((phase) => {
    const ratio = ratioOf(ours, theirs, phase);
    return ratio === null ? [] : [[phase, ratio]];
  }));
}
