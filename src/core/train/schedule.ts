/** Shape of the learning rate over a run. */
export interface ScheduleSettings {
  /** Updates of the whole run. */ readonly steps: number;
  /** Peak. */ readonly learningRate: number;
  /** Updates of the linear rise; 0 = none. */ readonly warmupSteps: number;
  /** Where the cosine ends, as a share of the peak, 0–1. */ readonly finalLearningRateFraction: number;
}

/**
 * Learning rate of a step: η·n/w up to n = w, then η·(f + (1 − f)·(1 + cos π·(n − w)/(N − w))/2), which ends at η·f.
 * @param step n, counted from 1 to N.
 */
export function learningRateAt(step: number, settings: ScheduleSettings): number {
  const { steps, learningRate, warmupSteps, finalLearningRateFraction: last } = settings;
  if (step <= warmupSteps) return learningRate * (step / warmupSteps);
  const progress = Math.min(1, (step - warmupSteps) / (steps - warmupSteps));
  return learningRate * (last + (1 - last) * (1 + Math.cos(Math.PI * progress)) / 2);
}
