import type { EngineDocument } from './engine-document.js';
import type { Ratio, Speed } from './engine-turns.js';

interface Baseline { readonly file: string; readonly document: EngineDocument }

const speed = (found: Speed | null | undefined): string => {
  if (found == null) return '–';
  return found.perProcessorSecond === null ? found.tokensPerSecond.toFixed(1) : `${found.tokensPerSecond.toFixed(1)} [${found.perProcessorSecond.toFixed(1)}]`;
};

const ratio = (found: Ratio | undefined): string => (found === undefined ? '–' : (found.processor ?? found.wall).median.toFixed(2));

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [heads, heads.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);

function speedRows(baselines: readonly Baseline[], phase: 'decode' | 'prefill' | 'perplexity'): string[][] {
  return baselines.map(({ file, document: { [phase]: own, peers, ratios, rowsTouched } }) => [
    file.replace(/\.json$/, ''), rowsTouched.engine === null ? '–' : `${(100 * rowsTouched.engine).toFixed(0)} %`,
    speed(own), speed(peers.tfjsWasmDense?.[phase]), speed(peers.torchDense?.[phase]), speed(peers.llamaCpp?.q8_0[phase]), speed(peers.llamaCpp?.q4_0[phase]),
    speed(peers.onnxruntime?.int8[phase]), speed(peers.onnxruntime?.int4[phase]),
    ...['tfjsWasmDense', 'torchDense', 'q8_0', 'q4_0', 'onnxInt8', 'onnxInt4'].map((name) => ratio(ratios[name]?.[phase])),
  ]);
}

const SPEED_HEADS = ['run', 'rows read', 'engine', 'tfjs-wasm', 'PyTorch', 'llama.cpp Q8_0', 'Q4_0', 'onnxruntime int8', 'int4', '÷ tfjs-wasm', '÷ PyTorch', '÷ Q8_0', '÷ Q4_0', '÷ onnx int8', '÷ onnx int4'];

function otherRows(baselines: readonly Baseline[]): string[][] {
  return baselines.map(({ file, document: { attention, start } }) => [
    file.replace(/\.json$/, ''),
    ...[128, 1024, 2048].map((context) => attention.find((time) => time.context === context)).map((time) =>
      (time === undefined ? '–' : `${time.processor.msPerToken.toFixed(2)} ms (${(100 * time.processor.share).toFixed(0)} %)`)),
    start === null ? '–' : `${start.firstTokenMs.toFixed(0)} ms`, start === null ? '–' : `${(start.peakRssBytes / 1e6).toFixed(0)} MB`,
  ]);
}

/** The README of a folder of results: what was run, where, and the numbers side by side. */
export function renderBaselines(baselines: readonly Baseline[]): string {
  const [first] = baselines;
  if (first === undefined) return '';
  const { machine, settings, engine, peers } = first.document;
  const onnx = baselines.map(({ document }) => document.peers.onnxruntime).find((found) => found != null);
  const commits = [...new Set(baselines.map(({ document }) => document.commit ?? 'unknown'))];
  const loads = baselines.map(({ document }) => document.machine.loadAverage);
  const implementations = [engine, peers.tfjsWasmDense?.implementation, peers.torchDense?.implementation, peers.llamaCpp?.q8_0.implementation, onnx?.int8.implementation];
  return [
    '# Engine benchmark', '',
    '`npm run --silent bench:engine:baselines`; each run is named shape, time steps, firing rate asked for, precision, and the peer for which it was run again:',
    '`npm run --silent bench:engine -- --shape 125m --time-steps 2 --rate 0.10 --precision int8 --json`.', '',
    `- Machine: ${machine.processor}, ${machine.cores} cores, ${(machine.memoryBytes / 1e9).toFixed(0)} GB, Node.js ${machine.node}; load average before the runs ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}.`,
    `- Commit: ${commits.join(', ')}.`,
    `- Threads: ${String(settings['threads'])}; context ${String(settings['context'])}; turns ${String(settings['repeats'])}; dates ${first.document.date.slice(0, 10)}.`,
    ...implementations.flatMap((text) => (text == null ? [] : [`- ${text}`])), '',
    'Tokens per second: median of the turns by the clock, in brackets per second of processor time (what a side does with a core to itself).',
    'Ratios are ours / theirs by processor time where both tell it, else by the clock; above 1 ours is faster. Spreads are in the files.', '',
    '## Decode', '', ...table(SPEED_HEADS, speedRows(baselines, 'decode')), '',
    '## Prefill', '', ...table(SPEED_HEADS, speedRows(baselines, 'prefill')), '',
    '## Perplexity (logits of every token)', '', ...table(SPEED_HEADS, speedRows(baselines, 'perplexity')), '',
    '## Attention, first token, memory', '',
    ...table(['run', 'attention at 128', 'at 1024', 'at 2048', 'first token', 'peak memory'], otherRows(baselines)), '',
  ].join('\n');
}
