import type { SiteRateValue } from './step.js';

/** Below this rate a site is dead: no spike reaches what follows, and hardly any gradient comes back. */
const DEAD_BELOW = 0.001;
/** Above this rate a site is saturated: it carries no choice. */
const SATURATED_ABOVE = 0.9;
/** Looks in a row before a site is named, so that a single odd batch is not. */
const LOOKS_IN_A_ROW = 3;

/** Watches the firing rates of a run. */
export interface SpikeWatch {
  /** Takes the rates of one logged step; names a site that has been dead or saturated for several of them, once. */
  look(step: number, rates: readonly SiteRateValue[]): void;
}

type Illness = 'dead' | 'saturated';
interface SiteHistory { illness: Illness | null; looks: number; readonly named: Set<Illness> }

/** A watch that tells `notice` which layer and site is ill, since when and what helps. */
export function createSpikeWatch(notice: (message: string) => void): SpikeWatch {
  const histories = new Map<string, SiteHistory>();
  return {
    look: (step, rates) => {
      for (const site of rates) {
        const key = `${site.layer} ${site.site}`;
        const history = histories.get(key) ?? { illness: null, looks: 0, named: new Set() };
        histories.set(key, history);
        const illness = illnessOf(site.rate);
        history.looks = illness === history.illness ? history.looks + 1 : 1;
        history.illness = illness;
        if (illness === null || history.looks < LOOKS_IN_A_ROW || history.named.has(illness)) continue;
        history.named.add(illness);
        notice(describe(step, site, illness));
      }
    },
  };
}

function illnessOf(rate: number): Illness | null {
  if (rate < DEAD_BELOW) return 'dead';
  return rate > SATURATED_ABOVE ? 'saturated' : null;
}

function describe(step: number, { layer, site, rate }: SiteRateValue, illness: Illness): string {
  const found = `step ${step}: layer ${layer}, site ${site} is ${illness}: firing rate ${rate.toPrecision(2)} in the last ${LOOKS_IN_A_ROW} logged steps`;
  const hint = illness === 'dead'
    ? 'lower train.learningRate or distill.rateHinge.weight, or raise the calibration rates'
    : 'lower train.learningRate, raise distill.rateHinge.weight or lower the calibration rates';
  return `${found}; if it stays so, ${hint}`;
}
