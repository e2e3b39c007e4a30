import { execFile } from 'node:child_process';
import { promisify } from 'node:util';


/** How llama.cpp is reached: its own `llama-bench`, or a folder with its shared libraries. */
export interface LlamaPaths { readonly bench: string | null; readonly library: string | null }

/** What one run of llama.cpp measured, in tokens per second; processor rates only where the runner tells them. */
export interface LlamaRates {
  readonly prefill: readonly number[];
  readonly decode: readonly number[];
  readonly processor: { readonly prefill: readonly number[]; readonly decode: readonly number[] } | null;
  /** Build and processor features. */ readonly implementation: string;
}

export interface LlamaRun { readonly gguf: string; readonly prompt: number; readonly tokens: number; readonly threads: number; readonly repeats: number }

/** The keys we read of `llama-bench -o json`. */
interface Entry {
  readonly n_prompt: number; readonly n_gen: number; readonly samples_ts: readonly number[]; readonly samples_processor_ts?: readonly number[];
  readonly build_commit?: string; readonly cpu_info?: string;
}

const SCRIPT = new URL('llama_library.py', import.meta.url).pathname;
const NONE = 'llama.cpp not found (name its llama-bench in --llama-bench or LLAMA_BENCH, or the folder of its shared libraries in --llama-library or LLAMA_LIBRARY)';

/** Program and leading arguments that understand `llama-bench`'s options; a string says why there is none. */
export function findLlama(paths: LlamaPaths): readonly string[] | string {
  const isNamed = paths.bench !== null || paths.library !== null;
  const bench = isNamed ? paths.bench : (process.env['LLAMA_BENCH'] ?? null);
  if (bench !== null) return [bench];
  const library = isNamed ? paths.library : (process.env['LLAMA_LIBRARY'] ?? null);
  return library === null ? NONE : [process.env['PYTHON'] ?? 'python3', SCRIPT, library];
}

/** Runs llama.cpp once over a GGUF file. @throws Error when the program fails or prints something else. */
export async function runLlama([program = '', ...leading]: readonly string[], run: LlamaRun): Promise<LlamaRates> {
  const options = { m: run.gguf, p: run.prompt, n: run.tokens, t: run.threads, r: run.repeats, o: 'json' };
  const flags = Object.entries(options).flatMap(([name, value]) => [`-${name}`, String(value)]);
  const { stdout } = await promisify(execFile)(program, [...leading, ...flags], { maxBuffer: 2 ** 24 });
  const entries = JSON.parse(stdout) as readonly Entry[];
  const prefill = entries.find(({ n_prompt: prompt, n_gen: generated }) => prompt === run.prompt && generated === 0);
  const decode = entries.find(({ n_prompt: prompt, n_gen: generated }) => prompt === 0 && generated === run.tokens);
  if (prefill === undefined || decode === undefined) throw new Error(`${program} printed no results for -p ${run.prompt} -n ${run.tokens}`);
  const [processorPrefill, processorDecode] = [prefill.samples_processor_ts, decode.samples_processor_ts];
  return {
    prefill: prefill.samples_ts, decode: decode.samples_ts,
    processor: processorPrefill === undefined || processorDecode === undefined ? null : { prefill: processorPrefill, decode: processorDecode },
    implementation: [prefill.build_commit, prefill.cpu_info?.trim()].filter((part) => part !== undefined).join(', '),
  };
}
