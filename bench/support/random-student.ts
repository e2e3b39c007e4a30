import type { Random } from '../../src/core/corpus/random.js';
import { createRandom } from '../../src/core/corpus/random.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import { entranceWidth } from '../../src/core/student/config.js';
import { parameterShapes } from '../../src/core/student/parameters.js';
import { attentionBias, channelBias } from './rate-search.js';
import type { PlainSite, PlainStudent, PlainWatch } from './plain-student.js';
import { plainForward, valuesOf } from './plain-student.js';

/** What a random student is made for. */
export interface RandomStudentSettings {
  /** Spikes per neuron and time step at every site. */ readonly rate: number;
  readonly seed: number;
  /** Random tokens the biases are found on. */ readonly calibrationTokens: number;
}

/** Standard deviation of what a sub-layer writes, beside that of the embedding, 1. */
const WRITE_STD = 0.35;
/** Sums over the keys grow with the position; the neurons behind them are set on the last tokens, around which decoding is measured. */
const LATE_TOKENS = 64;
/** Distance currents differ by up to this many overlaps either way, so that densities between whole counts exist. */
const DISTANCE_JITTER = 0.5;

/**
 * A student with uniformly random matrices, scaled so that currents have standard deviation 1 (writes: 0.35) at the wanted rate. The
 * neurons are set layer by layer, while random tokens pass through the real ones: gain 1 / standard deviation of the channel, bias by
 * bisection so that the channel fires at the rate; attention: gain and distance current per head, so that this share of causal pairs fires.
 */
export function randomStudent(config: StudentConfig, settings: RandomStudentSettings): PlainStudent {
  const random = createRandom(settings.seed);
  const student = { config, values: drawValues(config, random, settings.rate) };
  plainForward(student, randomTokens(config, settings.calibrationTokens, random), tuner(student, settings));
  return student;
}

/** Tokens drawn evenly from the vocabulary. */
export function randomTokens(config: { readonly vocabSize: number }, count: number, random: Random): number[] {
  return Array.from({ length: count }, () => random.integer(config.vocabSize));
}

function drawValues(config: StudentConfig, random: Random, rate: number): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of parameterShapes(config)) {
    const tensor = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (name.endsWith('.gain') || name === 'final_norm.weight') tensor.fill(1);
    const std = shape.length < 2 ? 0 : spreadOf(name, shape[0] as number, rate);
    const limit = Math.sqrt(3) * std;
    if (limit > 0) fillEvenly(tensor, limit, random);
    values.set(name, tensor);
  }
  return values;
}

/** Uniform within ±limit, from a plain congruential generator: good enough for weights nobody learned, and fast. */
function fillEvenly(tensor: Float32Array, limit: number, random: Random): void {
  let word = random.integer(2 ** 32) | 0;
  for (let i = 0; i < tensor.length; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) | 0;
    tensor[i] = (limit * word) / 2 ** 31;
  }
}

/** Standard deviation of a matrix; the embeddings' sum has 1. */
function spreadOf(name: string, inputs: number, rate: number): number {
  if (name.startsWith('embed_')) return Math.SQRT1_2;
  if (name.endsWith('distance_bias')) return DISTANCE_JITTER / Math.sqrt(3);
  return (/\.(out|fc2)\.weight$/.test(name) ? WRITE_STD : 1) / Math.sqrt(rate * inputs);
}

/** Sets the neurons of each site from the currents that reach it, just before they fire. */
function tuner(student: PlainStudent, { rate, calibrationTokens }: RandomStudentSettings): PlainWatch {
  const { config } = student;
  return { current: ({ layer, site, x, width }) => {
    const named = (name: string): Float32Array => valuesOf(student, `layers.${layer}.${name}`);
    if (site === 'attention') {
      const [gain, bias] = [named('attention.gain'), named('attention.distance_bias')];
      attentionBias({ counts: x, gain, distanceBias: bias, config }, rate);
      return;
    }
    const { gain, bias } = neuronsOf(site, named);
    const signs = bias.length / width;
    const tokens = site === 'attention_out' ? LATE_TOKENS : calibrationTokens;
    for (let i = 0; i < signs; i++) {
      const part = (all: Float32Array): Float32Array => all.subarray(i * width, (i + 1) * width);
      channelBias({ x, width, gain: gain === null ? null : part(gain), bias: part(bias), negate: i > 0 }, { rate, tokens, neuron: config.neuron });
    }
  } };
}

function neuronsOf(site: Exclude<PlainSite, 'attention'>, named: (name: string) => Float32Array): { gain: Float32Array | null; bias: Float32Array } {
  if (site === 'qkv') return { gain: null, bias: named('qkv.bias') };
  if (site === 'hidden') return { gain: null, bias: named('fc1.bias') };
  return { gain: named(`${site}.gain`), bias: named(`${site}.bias`) };
}

/** What a site did on some tokens. */
export interface SiteActivity {
  /** Spikes per neuron and time step. */ readonly rate: number;
  /** Share of the neurons that fired in at least one of a token's time steps: the rows of the next matrix that are read. */ readonly union: number;
}

/** Sites in forward order, as far as they were seen. */
export type Activity = Readonly<Partial<Record<string, SiteActivity>>>;

/** Adds up spikes by site: feed it (N·T, width) arrays, ask for the means over layers and tokens. */
export function activityMeter(timeSteps: number): { add: (event: { site: string; spikes: Float32Array; width: number }) => void; read: () => Activity } {
  const sums = new Map<string, { spikes: number; slots: number; rows: number; neurons: number }>();
  return {
    add: ({ site, spikes, width }) => {
      const sum = sums.get(site) ?? { spikes: 0, slots: 0, rows: 0, neurons: 0 };
      for (let start = 0; start < spikes.length; start += timeSteps * width) {
        for (let c = 0; c < width; c++) {
          let fired = 0;
          for (let t = 0; t < timeSteps; t++) fired += spikes[start + t * width + c] as number;
          sum.spikes += fired;
          sum.rows += fired > 0 ? 1 : 0;
        }
      }
      sum.slots += spikes.length;
      sum.neurons += spikes.length / timeSteps;
      sums.set(site, sum);
    },
    read: () => Object.fromEntries(Array.from(sums, ([site, { spikes, slots, rows, neurons }]) => [site, { rate: spikes / slots, union: rows / neurons }])),
  };
}

/** Rates and unions by site of a forward pass in plain float32 loops. */
export function measureActivity(student: PlainStudent, ids: readonly number[]): Activity {
  const meter = activityMeter(student.config.neuron.timeSteps);
  plainForward(student, ids, { spikes: meter.add });
  return meter.read();
}

/** Weights in the matrices of all blocks. */
export function blockWeights(config: StudentConfig): number {
  const { hiddenSize: D, feedForwardSize: F, layers } = config;
  const E = entranceWidth(config);
  return layers * (E * 3 * D + D * D + E * F + F * D);
}

/** Share of the weights of all block matrices whose row fires in at least one time step of a token. */
export function weightShare(config: StudentConfig, activity: Activity): number {
  const { hiddenSize: D, feedForwardSize: F } = config;
  const E = entranceWidth(config);
  const union = (site: PlainSite): number => activity[site]?.union ?? Number.NaN;
  const parts: [number, number][] = [
    [E * 3 * D, union('attention_entry')], [D * D, union('attention_out')], [E * F, union('feed_forward_entry')], [F * D, union('hidden')],
  ];
  return (config.layers * parts.reduce((sum, [size, share]) => sum + size * share, 0)) / blockWeights(config);
}
