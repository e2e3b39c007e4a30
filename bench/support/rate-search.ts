import type { LifNeuron } from '../../src/core/ops/lif.js';
import type { StudentConfig } from '../../src/core/student/config.js';
import type { FiringSite } from './plain-neurons.js';
import { carry } from './plain-neurons.js';

const BISECTIONS = 16;
/** A channel is set on the last vectors only; more do not make its rate truer. */
const MOST_VECTORS = 256;
/** Smallest spread a gain is divided by. */
const SMALLEST_STD = 1e-3;

/** The rate neurons are set to, their kind, and the last tokens to set them on. */
export interface WantedRate { readonly rate: number; readonly neuron: LifNeuron; readonly tokens: number }

/**
 * Sets gain (where there is one) and bias of every channel of a site. Spikes are counted, so a channel can miss the rate by a step:
 * what it misses is asked of the next one, which keeps the site's mean at the rate.
 */
export function channelBias(site: FiringSite, wanted: WantedRate): void {
  const { width, gain, bias } = site;
  const { timeSteps } = wanted.neuron;
  const tokens = site.x.length / width / timeSteps;
  const first = Math.max(0, tokens - Math.max(1, Math.min(wanted.tokens, Math.round(MOST_VECTORS / timeSteps))));
  const x = site.x.subarray(first * timeSteps * width);
  const column = new Float32Array(x.length / width);
  let debt = 0;
  for (let c = 0; c < width; c++) {
    for (let v = 0; v < column.length; v++) column[v] = (site.negate === true ? -1 : 1) * (x[v * width + c] as number);
    const scale = gain === null ? 1 : 1 / Math.max(deviation(column), SMALLEST_STD);
    if (gain !== null) gain[c] = scale;
    const target = Math.min(Math.max(wanted.rate + debt, 0), 1);
    const limit = scale * column.reduce((most, value) => Math.max(most, Math.abs(value)), 0) + 2 * wanted.neuron.threshold;
    const found = closestBias(limit, target, (b) => columnRate(column, { scale, bias: b }, wanted.neuron));
    bias[c] = found.bias;
    debt += wanted.rate - found.rate;
  }
}

function deviation(values: Float32Array): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
}

/** Bisection over a rising step function; of the two sides of the step the one nearer to the target. */
function closestBias(limit: number, target: number, rateAt: (bias: number) => number): { bias: number; rate: number } {
  let [low, high] = [-limit, limit];
  let [below, above] = [rateAt(low), rateAt(high)];
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (low + high) / 2;
    const rate = rateAt(middle);
    if (rate > target) [high, above] = [middle, rate];
    else [low, below] = [middle, rate];
  }
  return target - below <= above - target ? { bias: low, rate: below } : { bias: high, rate: above };
}

/** Share of the steps in which a neuron that sees scale · x + bias fires. */
function columnRate(column: Float32Array, { scale, bias }: { scale: number; bias: number }, neuron: LifNeuron): number {
  let [spikes, carried] = [0, 0];
  for (let v = 0; v < column.length; v++) {
    const u = scale * (column[v] as number) + bias + (v % neuron.timeSteps === 0 ? 0 : carried);
    const fired = u >= neuron.threshold;
    if (fired) spikes++;
    carried = carry(u, fired, neuron);
  }
  return spikes / column.length;
}

/** Overlap counts of causal pairs, ((pair)·T + t, head), and the attention neurons to be set. */
export interface AttentionNeurons {
  readonly counts: Float32Array;
  /** (H) */ readonly gain: Float32Array;
  /** (H, C): jitter on entry; jitter · gain + one current per head on return. */ readonly distanceBias: Float32Array;
  readonly config: StudentConfig;
}

/** Gain 1 / standard deviation of a head's overlaps; one current per head (beside the jitter) so that the wanted share of pairs fires. */
export function attentionBias({ counts, gain, distanceBias, config }: AttentionNeurons, rate: number): void {
  const { heads, contextLength, neuron } = config;
  for (let head = 0; head < heads; head++) {
    const column = Float32Array.from({ length: counts.length / heads }, (_, i) => counts[i * heads + head] as number);
    const scale = 1 / Math.max(deviation(column), SMALLEST_STD);
    gain[head] = scale;
    const jitter = distanceBias.subarray(head * contextLength, (head + 1) * contextLength);
    jitter.forEach((value, distance) => { jitter[distance] = value * scale; });
    const limit = scale * (column.reduce((a, b) => Math.max(a, b), 0) + 1) + 2 * neuron.threshold;
    const { bias } = closestBias(limit, rate, (b) => pairRate(column, { scale, jitter, bias: b }, neuron));
    jitter.forEach((value, distance) => { jitter[distance] = value + bias; });
  }
}

function pairRate(column: Float32Array, of: { scale: number; jitter: Float32Array; bias: number }, neuron: LifNeuron): number {
  let [spikes, at] = [0, 0];
  for (let n = 0; at < column.length; n++) {
    for (let j = 0; j <= n; j++) {
      let carried = 0;
      for (let t = 0; t < neuron.timeSteps; t++, at++) {
        const u = of.scale * (column[at] as number) + (of.jitter[n - j] as number) + of.bias + carried;
        const fired = u >= neuron.threshold;
        if (fired) spikes++;
        carried = carry(u, fired, neuron);
      }
    }
  }
  return spikes / column.length;
}
