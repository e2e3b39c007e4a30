import { NothingLearnedError } from '../errors.js';

/** What a finished run comes to; plain JSON. */
export interface TrainReport {
  /** Made, those of resumed parts included. */ readonly steps: number;
  readonly tokens: number;
  readonly skippedSteps: number;
  /** The best model, which is the exported one, on all validation windows. */
  readonly valid: { readonly nll: number; readonly perplexity: number };
  /** On the windows used while training. */ readonly best: { readonly step: number; readonly nll: number };
  /** Mean over sites in the last step; null for a dense model. */ readonly firingRate: number | null;
  readonly elapsedMs: number;
  /** True when `train.patience` ended the run. */ readonly isStoppedEarly: boolean;
  /** False when the validation loss is not below the unigram loss. */ readonly hasLearned: boolean;
}

/**
 * Ends a command whose run learned nothing; call it after everything is written.
 * @throws NothingLearnedError when the validation loss is not below the unigram loss.
 */
export function requireLearned(report: TrainReport, context: { readonly unigramNll: number; readonly modelFolder: string }): void {
  if (report.hasLearned) return;
  throw new NothingLearnedError(
    `the model learned nothing: validation loss ${report.valid.nll.toFixed(4)} nats per token, not below the ${context.unigramNll.toFixed(4)} of `
    + `guessing by token frequency; the model is in ${context.modelFolder} all the same`,
    { suggestions: ['raise train.steps', 'sweep train.learningRate from 2e-3 to 2e-2', 'look for dead or saturated sites in the notices above'] },
  );
}
