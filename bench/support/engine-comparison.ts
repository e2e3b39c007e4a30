import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createRandom } from '../../src/core/corpus/random.js';
import { studentConfigToJson } from '../../src/core/student/config.js';
import type { GgufFormat } from '../peers/gguf-file.js';
import { writeGguf } from '../peers/gguf-file.js';
import type { LlamaPaths } from '../peers/llama-cpp.js';
import { findLlama, runLlama } from '../peers/llama-cpp.js';
import type { OnnxFormat } from '../peers/onnx-file.js';
import { writeOnnx } from '../peers/onnx-file.js';
import type { OnnxSide } from '../peers/onnxruntime.js';
import { findOnnxruntime, startOnnx } from '../peers/onnxruntime.js';
import type { DenseSide, WasmSide } from './dense-sides.js';
import { startTorchSide, startWasmSide } from './dense-sides.js';
import type { EngineDocument } from './engine-document.js';
import { documentOf } from './engine-document.js';
import type { AttentionTime, EngineSide } from './engine-side.js';
import { engineSide } from './engine-side.js';
import type { ShapeName } from './engine-shapes.js';
import { ENGINE_SHAPES, studentOfShape } from './engine-shapes.js';
import type { Contestant } from './engine-turns.js';
import { contestantOf, llamaContestant, takeTurns } from './engine-turns.js';
import { describeMachine } from './machine.js';
import type { Precision } from './open-engine.js';
import { openBenchEngine } from './open-engine.js';
import type { PlainStudent } from './plain-student.js';
import { randomStudent, randomTokens } from './random-student.js';
import { measureStart } from './start-up.js';
import { hasStudent, loadPlainStudent, savePlainStudent } from './student-files.js';

export interface EngineBenchSettings {
  readonly shape: ShapeName;
  readonly precision: Precision;
  readonly timeSteps: number;
  readonly rate: number;
  readonly onOff: boolean;
  readonly threads: number;
  /** Tokens before a decoded one (in the mean of our turn), and tokens of a prefill. */ readonly context: number;
  /** Tokens of our decoding turn; the dense simulations, ten times slower, take a quarter. */ readonly tokens: number;
  readonly repeats: number;
  readonly seed: number;
  /** Parts to leave out. */ readonly without: readonly string[];
  /** A folder to keep the student in, and to take it from when it is there. */ readonly model: string | null;
  readonly llama: LlamaPaths;
  /** A folder with onnxruntime's shared library; null: what ONNXRUNTIME names. */ readonly onnxruntime: string | null;
}

/** Everybody who takes part, and why the others do not. */
export interface Sides {
  readonly engine: EngineSide | string;
  readonly wasm: WasmSide | string;
  readonly torch: DenseSide | string;
  readonly llama: readonly Contestant[] | string;
  readonly onnx: Readonly<Record<OnnxFormat, OnnxSide>> | string;
}

/** Tokens behind the context that the neurons are set on, too. */
const AFTER_CONTEXT = 32;
/** Tokens llama.cpp generates in a turn, from an empty context. */
const LLAMA_TOKENS = 64;
const ATTENTION_CONTEXTS = [128, 1024, 2048];
/** Tokens on which the dense simulations must count the same spikes, but for this share that rounding may move. */
const CHECK = { tokens: 16, tolerance: 1e-3 };

/** Makes the student (or takes the one that is kept; that it was made for this rate is not checked), lets everybody take turns, and puts the results together. */
export async function compareEngine(settings: EngineBenchSettings): Promise<EngineDocument> {
  const machine = describeMachine();
  const scratch = await mkdtemp(join(tmpdir(), 'bispik-bench-'));
  try {
    const { folder, student } = await prepareStudent(settings, join(scratch, 'student'));
    const sides = await startSides(settings, { folder, student, scratch });
    const check = await checkSpikes(student, sides);
    const turns = await takeTurns(contestants(settings, sides), settings.repeats);
    const attention = await attentionOf(settings, sides.engine);
    const start = typeof sides.engine === 'string' || settings.without.includes('start') ? null : await measureStart(folder, settings);
    const result = documentOf({ settings, machine, student: student.config, sides, check, turns, attention, start });
    for (const side of [sides.engine, sides.wasm, sides.torch, ...onnxSides(sides)]) if (typeof side !== 'string') side.close();
    return result;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function prepareStudent(settings: EngineBenchSettings, scratch: string): Promise<{ folder: string; student: PlainStudent }> {
  const config = studentOfShape(ENGINE_SHAPES[settings.shape], settings);
  const folder = settings.model ?? scratch;
  if (settings.model !== null && (await hasStudent(folder))) {
    const student = await loadPlainStudent(folder);
    if (JSON.stringify(studentConfigToJson(student.config)) !== JSON.stringify(studentConfigToJson(config))) throw new Error(`${folder} holds a student of another shape, T or kind`);
    return { folder, student };
  }
  const student = randomStudent(config, { rate: settings.rate, seed: settings.seed, calibrationTokens: settings.context + AFTER_CONTEXT });
  await savePlainStudent(folder, student);
  return { folder, student };
}

async function startSides(settings: EngineBenchSettings, from: { folder: string; student: PlainStudent; scratch: string }): Promise<Sides> {
  const unless = async <T>(name: string, start: () => Promise<T | string>): Promise<T | string> => (settings.without.includes(name) ? 'left out' : start());
  return {
    engine: await unless('engine', async () => engineSide(await openBenchEngine(from.folder, settings), cachedBefore(settings))),
    wasm: await unless('wasm', () => startWasmSide(from.student, settings)),
    torch: await unless('torch', () => startTorchSide(from.folder, settings)),
    llama: await unless('llama', () => startLlama(settings, from.scratch)),
    onnx: await unless('onnx', () => startOnnxSides(settings, from.scratch)),
  };
}

/** Tokens before our decoding turn, so that the context is as asked for in its middle. */
const cachedBefore = ({ context, tokens }: EngineBenchSettings): number => context - Math.floor(tokens / 2);

/** onnxruntime in both formats, each in a process of its own that holds its file. */
async function startOnnxSides(settings: EngineBenchSettings, scratch: string): Promise<Record<OnnxFormat, OnnxSide> | string> {
  const program = findOnnxruntime(settings.onnxruntime);
  if (typeof program === 'string') return program;
  const shape = ENGINE_SHAPES[settings.shape];
  const start = async (format: OnnxFormat): Promise<OnnxSide> => {
    const model = join(scratch, `${format}.onnx`);
    await writeOnnx(model, shape, format);
    return startOnnx(program, { model, shape, threads: settings.threads, context: cachedBefore(settings) });
  };
  return { int8: await start('int8'), int4: await start('int4') };
}

const onnxSides = ({ onnx }: Sides): OnnxSide[] => (typeof onnx === 'string' ? [] : [onnx.int8, onnx.int4]);

/** llama.cpp in both formats; its files are written beside the student's. */
async function startLlama(settings: EngineBenchSettings, scratch: string): Promise<Contestant[] | string> {
  const program = findLlama(settings.llama);
  if (typeof program === 'string') return program;
  const contestants: Contestant[] = [];
  for (const format of ['q8_0', 'q4_0'] satisfies GgufFormat[]) {
    const gguf = join(scratch, `${format}.gguf`);
    await writeGguf(gguf, ENGINE_SHAPES[settings.shape], format);
    const run = { gguf, prompt: settings.context, tokens: LLAMA_TOKENS, threads: settings.threads, repeats: 1 };
    const { implementation } = await runLlama(program, run);
    contestants.push(llamaContestant(format, () => runLlama(program, run), `llama.cpp ${implementation}`));
  }
  return contestants;
}

/** Spikes the dense simulations count on the same tokens. */
export interface SpikeCheck { readonly tokens: number; readonly tfjsWasmDense: number; readonly torchDense: number }

/** @throws Error when the two dense simulations do not simulate the same network. */
async function checkSpikes({ config }: PlainStudent, { wasm, torch }: Sides): Promise<SpikeCheck | null> {
  if (typeof wasm === 'string' || typeof torch === 'string') return null;
  const ids = randomTokens(config, CHECK.tokens, createRandom(3));
  const check = { tokens: CHECK.tokens, tfjsWasmDense: await wasm.countSpikes(ids), torchDense: await torch.countSpikes(ids) };
  if (Math.abs(check.tfjsWasmDense - check.torchDense) > CHECK.tolerance * check.torchDense) {
    throw new Error(`the peers differ: ${check.tfjsWasmDense} spikes in tfjs-backend-wasm, ${check.torchDense} in PyTorch`);
  }
  return check;
}

function contestants(settings: EngineBenchSettings, { engine, wasm, torch, llama, onnx }: Sides): Contestant[] {
  const hasPerplexity = !settings.without.includes('perplexity');
  const sizes = (decode: number): Parameters<typeof contestantOf>[2] => ({ decode, prefill: settings.context, hasPerplexity });
  const dense = Math.max(1, Math.round(settings.tokens / 4));
  return [
    ...(typeof engine === 'string' ? [] : [contestantOf('engine', engine, sizes(settings.tokens))]),
    ...(typeof wasm === 'string' ? [] : [contestantOf('tfjsWasmDense', wasm, sizes(dense))]),
    ...(typeof torch === 'string' ? [] : [contestantOf('torchDense', torch, sizes(dense))]),
    ...(typeof llama === 'string' ? [] : llama),
    ...(typeof onnx === 'string' ? [] : [contestantOf('onnxInt8', onnx.int8, sizes(settings.tokens)), contestantOf('onnxInt4', onnx.int4, sizes(settings.tokens))]),
  ];
}

async function attentionOf(settings: EngineBenchSettings, engine: EngineSide | string): Promise<AttentionTime[]> {
  if (typeof engine === 'string' || settings.without.includes('attention')) return [];
  const { contextLength } = ENGINE_SHAPES[settings.shape];
  return engine.attention(ATTENTION_CONTEXTS.filter((context) => context <= contextLength));
}
