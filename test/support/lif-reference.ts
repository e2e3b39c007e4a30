/** LIF neurons, one scalar at a time: a second implementation for the tests of the kernels. */

export interface NeuronAttrs {
  readonly timeSteps: number;
  readonly decay: number;
  readonly threshold: number;
  readonly reset: 'soft' | 'soft-leaked' | 'hard';
  readonly surrogate: 'atan' | 'sigmoid' | 'triangle';
  readonly alpha: number;
  readonly detachReset: boolean;
}

/** Membranes and spikes of one neuron; every operation rounded to float32, as the kernels promise. */
export function neuronForward(current: readonly number[], attrs: NeuronAttrs): { u: number[]; s: number[] } {
  const f = Math.fround;
  const [decay, threshold] = [f(attrs.decay), f(attrs.threshold)];
  const [u, s]: [number[], number[]] = [[], []];
  let [before, fired] = [0, 0];
  for (let t = 0; t < attrs.timeSteps; t++) {
    const carried = {
      soft: f(f(before * decay) - f(fired * threshold)),
      'soft-leaked': f(f(before - f(fired * threshold)) * decay),
      hard: f(f(before * decay) * (1 - fired)),
    }[attrs.reset];
    before = f((current[t] ?? Number.NaN) + (t === 0 ? 0 : carried));
    fired = before >= threshold ? 1 : 0;
    u.push(before);
    s.push(fired);
  }
  return { u, s };
}

export function surrogate(x: number, attrs: NeuronAttrs): number {
  const a = attrs.alpha;
  if (attrs.surrogate === 'atan') return a / 2 / (1 + ((Math.PI / 2) * a * x) ** 2);
  if (attrs.surrogate === 'triangle') return a * Math.max(0, 1 - a * Math.abs(x));
  const sigma = 1 / (1 + Math.exp(-a * x));
  return a * sigma * (1 - sigma);
}

/** ∂loss/∂current of one neuron from ∂loss/∂spike, in float64: the chain rule written out over all pairs of steps. */
export function neuronBackward(ds: readonly number[], u: readonly number[], attrs: NeuronAttrs): number[] {
  const threshold = Math.fround(attrs.threshold);
  const du = new Array<number>(attrs.timeSteps).fill(0);
  for (let t = attrs.timeSteps - 1; t >= 0; t--) {
    const [ut = 0, next = 0] = [u[t], du[t + 1]];
    const s = ut >= threshold ? 1 : 0;
    const viaMembrane = attrs.reset === 'hard' ? attrs.decay * (1 - s) : attrs.decay;
    const viaSpike = { soft: -threshold, 'soft-leaked': -attrs.decay * threshold, hard: -attrs.decay * ut }[attrs.reset];
    const spikeGradient = (ds[t] ?? Number.NaN) + (attrs.detachReset ? 0 : next * viaSpike);
    du[t] = spikeGradient * surrogate(ut - threshold, attrs) + next * viaMembrane;
  }
  return du;
}

export const ALL_NEURONS: readonly NeuronAttrs[] = (['soft', 'soft-leaked', 'hard'] as const).flatMap((reset) =>
  (['atan', 'sigmoid', 'triangle'] as const).flatMap((kind) =>
    [true, false].map((detachReset) => ({
      timeSteps: 3, decay: 0.9, threshold: 0.8, reset, surrogate: kind, detachReset, alpha: { atan: 2, sigmoid: 4, triangle: 1 }[kind],
    }))));
