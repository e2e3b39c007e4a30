import type { EngineDocument, PeerSpeeds } from './engine-document.js';
import type { Ratio, Speed } from './engine-turns.js';
import { PHASES } from './engine-turns.js';

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

function speed(found: Speed | null): string {
  if (found === null) return '–';
  const processor = found.perProcessorSecond === null ? '' : ` [${digits(found.perProcessorSecond)}]`;
  return `${digits(found.tokensPerSecond)} ± ${digits(found.spread)}${processor}`;
}

function ratio(found: Ratio | undefined): string {
  if (found === undefined) return '–';
  const cells = ({ min, median, max }: Ratio['wall']): string => `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;
  return cells(found.wall) + (found.processor === null ? '' : ` [${found.processor.median.toFixed(2)}]`);
}

const row = (cells: readonly string[]): string => cells.map((cell, i) => (i === 0 ? cell.padEnd(20) : cell.padEnd(28))).join('').trimEnd();

function lines(document: EngineDocument): string[] {
  const { peers, ratios } = document;
  const sides: [string, string | null, Omit<PeerSpeeds, 'implementation'> | null][] = [
    ['engine', document.engine, document.engine === null ? null : document],
    ['tfjsWasmDense', peers.tfjsWasmDense?.implementation ?? null, peers.tfjsWasmDense],
    ['torchDense', peers.torchDense?.implementation ?? null, peers.torchDense],
    ['q8_0', peers.llamaCpp?.q8_0.implementation ?? null, peers.llamaCpp?.q8_0 ?? null],
    ['q4_0', peers.llamaCpp?.q4_0.implementation ?? null, peers.llamaCpp?.q4_0 ?? null],
    ['onnxInt8', peers.onnxruntime?.int8.implementation ?? null, peers.onnxruntime?.int8 ?? null],
    ['onnxInt4', peers.onnxruntime?.int4.implementation ?? null, peers.onnxruntime?.int4 ?? null],
  ];
  return [
    row(['tokens/s', ...PHASES]),
    ...sides.flatMap(([name, , speeds]) => (speeds === null ? [] : [row([name, ...PHASES.map((phase) => speed(speeds[phase]))])])),
    '', row(['ours / theirs', ...PHASES]),
    ...Object.entries(ratios).map(([name, found]) => row([name, ...PHASES.map((phase) => ratio(found[phase]))])), '',
    ...sides.flatMap(([name, implementation]) => (implementation === null ? [] : [`${name}: ${implementation}`])),
  ];
}

/** The document for people: medians ± half the middle half; in brackets the same per second of processor time. */
export function renderComparison(document: EngineDocument): string {
  const { settings, shape, machine, rates } = document;
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  const shares = (all: Readonly<Record<string, number>>): string => Object.entries(all).map(([site, rate]) => `${site} ${percent(rate)}`).join(', ');
  const unions = Object.fromEntries(Object.entries(rates.network ?? {}).map(([site, seen]) => [site, seen?.union ?? Number.NaN]));
  const networkRates = Object.fromEntries(Object.entries(rates.network ?? {}).map(([site, seen]) => [site, seen?.rate ?? Number.NaN]));
  return [
    `${shape.name}: ${(shape.parameters / 1e6).toFixed(1)} million parameters; ${Object.entries(settings).map(([key, value]) => `${key} ${String(value)}`).join(', ')}`,
    `${machine.processor}, ${machine.cores} cores, load ${machine.loadAverage.toFixed(2)} before, Node.js ${machine.node}, commit ${document.commit ?? 'unknown'}`,
    ...(rates.engine === null ? [] : [`spikes per slot while decoding: ${shares(rates.engine)}`]),
    ...(rates.network === null ? [] : [`in the dense simulation: ${shares(networkRates)}`, `in at least one step of a token: ${shares(unions)}`]),
    ...Object.entries(document.rowsTouched).flatMap(([name, share]) => (share === null ? [] : [`block weights a token reads (${name}): ${percent(share)}`])),
    '', ...lines(document), '',
    ...document.attention.map(({ context, msPerToken, tokenMs, share, processor }) =>
      `attention at context ${context}: ${msPerToken.toFixed(2)} of ${tokenMs.toFixed(2)} ms a token (${percent(share)}) [${processor.msPerToken.toFixed(2)} of ${processor.tokenMs.toFixed(2)}, ${percent(processor.share)}]`),
    ...(document.start === null ? [] : [`first token after ${document.start.firstTokenMs.toFixed(0)} ms (process ${document.start.processMs.toFixed(0)} ms), peak ${(document.start.peakRssBytes / 1e6).toFixed(0)} MB`]),
    ...Object.entries(document.skipped).map(([name, reason]) => `no ${name}: ${reason}`), '',
  ].join('\n');
}
