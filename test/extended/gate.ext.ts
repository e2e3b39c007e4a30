import { expect } from 'chai';

import { loadEnergyConstants } from '../../src/core/energy/constants.js';
import { openEngine } from '../../src/core/engine/open-engine.js';
import { evaluate } from '../../src/core/eval/evaluate.js';
import { encodeText } from '../../src/core/eval/token-sequences.js';
import { teacherFolder } from '../../src/core/config/shipped.js';
import type { Baseline } from '../../src/core/gate/baseline.js';
import { newBaseline, withRepeat } from '../../src/core/gate/baseline.js';
import { compareWithBaseline } from '../../src/core/gate/compare.js';
import type { Measured } from '../../src/core/gate/measures.js';
import { loadTokenizer } from '../../src/core/tokenizer/load.js';
import { silentReporter } from '../../src/core/types.js';
import { unseenStories } from '../support/story-text.js';

/** Stories a run, some 60 tokens each. */
const STORIES = 1300;
const [BLESSED, REPEATS] = [20, 100];

describe('gate over 100 repeats with other seeds', () => {
  it('under 1 % false alarms; 2 % of perplexity and 5 % of energy more are caught every time', async function () {
    this.timeout(3_600_000);
    const folder = teacherFolder('builtin:stories-student');
    const [tokenizer, constants] = [await loadTokenizer(folder), await loadEnergyConstants()];
    const student = await openEngine({ folder, precision: 'int8', threads: null, notice: () => undefined });
    const measure = async (seed: number): Promise<Measured> => {
      const report = await evaluate({
        student, teacher: null, sequences: encodeText(unseenStories(seed, STORIES), tokenizer), contextLength: null, stride: null, ngramSequences: null, constants, conventions: [],
      }, { reporter: silentReporter, signal: new AbortController().signal });
      const lower = (name: string, value: number) => ({ name, value, better: 'lower' as const, outcomes: null });
      const { nll, energy, firingRate } = report.student!;
      return { subject: { model: {}, measuredOn: {} }, measures: [lower('student.nll', nll), lower('student.energy.ratioBlocks', energy.ratioBlocks), lower('student.firingRate', firingRate)] };
    };
    let baseline: Baseline | null = null;
    for (let seed = 1; seed <= BLESSED; seed++) baseline = baseline === null ? newBaseline(await measure(seed)) : withRepeat(baseline, await measure(seed));
    const passes = (run: Measured, change: (name: string, value: number) => number): boolean =>
      compareWithBaseline(baseline!, { ...run, measures: run.measures.map((one) => ({ ...one, value: change(one.name, one.value) })) }).passed;
    const [alarms, missedLoss, missedEnergy]: [number[], number[], number[]] = [[], [], []];
    for (let seed = BLESSED + 1; seed <= BLESSED + REPEATS; seed++) {
      const run = await measure(seed);
      if (!passes(run, (_, value) => value)) alarms.push(seed);
      if (passes(run, (name, value) => (name === 'student.nll' ? value + Math.log(1.02) : value))) missedLoss.push(seed);
      if (passes(run, (name, value) => (name.includes('energy') ? 1.05 * value : value))) missedEnergy.push(seed);
    }
    student.dispose();
    console.log(`      deviations: ${compareWithBaseline(baseline!, { subject: { model: {}, measuredOn: {} }, measures: [] }).comparisons.map(({ name, baseline: mean, deviation }) => `${name} ${mean!.toFixed(5)} ± ${deviation!.toFixed(5)}`).join(', ')}`);
    expect({ alarms, missedLoss, missedEnergy }).to.deep.equal({ alarms: [], missedLoss: [], missedEnergy: [] });
  });
});
