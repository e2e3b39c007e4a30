import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';

import { FormatError } from '../../../src/core/errors.js';
import type { MetricsRecord } from '../../../src/core/train/metrics.js';
import { formatRecord, openMetrics } from '../../../src/core/train/metrics.js';
import { rejection } from '../../support/rejection.js';
import { withTempFolder } from '../../support/temp-folder.js';

const record = (step: number, changes: Partial<MetricsRecord> = {}): MetricsRecord => ({
  step, tokens: 64 * step, loss: 3.5, terms: { hta: 3, sta: 0.5 }, gradNorm: 1.25, gradNorms: {}, lr: 0.01, firingRate: 0.1, tokensPerSecond: 900,
  skippedSteps: 0, valid: null, ...changes,
});

describe('train/metrics', () => {
  it('writes the documented keys, absent terms as 0, valid only where there is one', () => {
    expect(JSON.parse(formatRecord(record(7)))).to.deep.equal({
      step: 7, tokens: 448, loss: 3.5, ea: 0, saa: 0, sfa: 0, sta: 0.5, hta: 3, rateLoss: 0, gradNorm: 1.25, gradNorms: {}, lr: 0.01,
      firingRate: 0.1, tokensPerSecond: 900, skippedSteps: 0,
    });
    expect(formatRecord(record(7, { valid: { nll: 3.25 }, loss: NaN, gradNorm: Infinity }))).to.include('"loss":null').and.include('"valid":{"nll":3.25}');
  });

  it('drops the lines after the step a run resumes at and a line cut short', () => withTempFolder(async (folder) => {
    const file = path.join(folder, 'metrics.jsonl');
    await writeFile(file, `${[1, 2, 3, 4].map((step) => formatRecord(record(step))).join('\n')}\n{"step":2,"tok`);
    const log = await openMetrics(file, 2);
    await log.append(record(3, { loss: 9 }));
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as MetricsRecord);
    expect(lines.map(({ step, loss }) => [step, loss])).to.deep.equal([[1, 3.5], [2, 3.5], [3, 9]]);
  }));

  it('says which file it cannot write', () => withTempFolder(async (folder) => {
    const error = await rejection(openMetrics(path.join(folder, 'absent', 'metrics.jsonl'), 0), FormatError);
    expect(error.exitCode).to.equal(5);
    expect(error.message).to.include('metrics.jsonl').and.include('ENOENT');
  }));
});
