import { expect } from 'chai';

import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { checkMemory } from '../../../src/core/distill/memory-check.js';
import type { StepSizes } from '../../../src/core/distill/memory-estimate.js';
import { estimateMemory } from '../../../src/core/distill/memory-estimate.js';
import type { StartSizes } from '../../../src/core/distill/start-memory.js';
import { estimateStart } from '../../../src/core/distill/start-memory.js';
import { stepSizes } from '../../../src/core/distill/step-sizes.js';
import { BackendError } from '../../../src/core/errors.js';
import type { OptConfig } from '../../../src/core/teacher/config.js';

const OPT_125M: OptConfig = {
  family: 'opt', vocabSize: 50272, hiddenSize: 768, layers: 12, heads: 12, feedForwardSize: 3072, contextLength: 2048, embeddingSize: 768,
  normPlacement: 'pre', hasFinalNorm: true, activation: 'relu', hasBias: true, hasNormAffine: true, tiedHead: true, layerNormEps: 1e-5, bosId: 2, eosId: 2, padId: 1,
};

/** OPT-125M at T = 4, 1024 tokens, batch 8. */
function opt125m(student: Record<string, unknown> = {}, streamsAttention = false): StepSizes {
  const config = distillConfigSchema.parse({ run: 'r', teacher: 't', student: { timeSteps: 4, ...student }, train: { batch: 8, context: 1024 } });
  return stepSizes(config, OPT_125M, { streamsAttention, hasHeadKernel: true, hasSampleKernel: !streamsAttention, packsSpikes: streamsAttention, updatesInPlace: !streamsAttention, poolsBuffers: streamsAttention });
}

const gigabytes = (sizes: StepSizes, recompute: StepSizes['recompute']): number => estimateMemory({ ...sizes, recompute }).peakBytes / 1e9;
const limits = (totalBytes: number | null, tensorBytes: number | null = null) => ({ totalBytes, tensorBytes, source: 'the test' });

function refusal(...of: Parameters<typeof checkMemory>): BackendError {
  try {
    checkMemory(...of);
  } catch (error) {
    if (error instanceof BackendError) return error;
  }
  throw new Error('nothing was refused');
}

describe('memory of OPT-125M', () => {
  it('T = 4, 1024 tokens, batch 8: at most 24 GB with recomputation, with and without the on/off pair, with maps and without', () => {
    for (const onOff of [true, false]) {
      for (const streams of [true, false]) expect(gigabytes(opt125m({ onOff }, streams), 'blocks'), `${onOff}, ${streams}`).to.be.within(3, 24);
    }
  });

  it('with a teacher cache there is no teacher but its embedding, and no loss that compares maps or streams; the filling of the cache comes before', () => {
    const cached = (set: Record<string, unknown>): StepSizes => {
      const config = distillConfigSchema.parse({ run: 'r', teacher: 't', student: { timeSteps: 4 }, train: { batch: 8, context: 1024 }, teacherCache: { enabled: true }, ...set });
      return stepSizes(config, OPT_125M, { streamsAttention: false, hasHeadKernel: true, hasSampleKernel: true, packsSpikes: true, updatesInPlace: true, poolsBuffers: false });
    };
    const { frozen, attentionLoss, hasFeatureLoss, sampled } = cached({ distill: { weights: { embedding: 0.2 } } });
    expect({ frozen, attentionLoss, hasFeatureLoss, sampled }).to.deep.equal({ frozen: 50272 * 768 + 2050 * 768, attentionLoss: null, hasFeatureLoss: false, sampled: 12 });
    expect(cached({ distill: { weights: { embedding: 0 } } }).frozen).to.equal(0);
    // Nothing of 12 layers of maps (B, H, L, L) with their differences, and of the teacher's.
    expect(gigabytes(opt125m(), 'none') - gigabytes(cached({}), 'none')).to.be.above(4e-9 * 12 * 3 * 8 * 12 * 1024 ** 2);
    const tiny = distillConfigSchema.parse({ run: 'r', teacher: 't', student: { layers: 1, hiddenSize: 16, heads: 1, feedForwardSize: 16, timeSteps: 1 }, train: { batch: 1, context: 16 }, teacherCache: { enabled: true } });
    const filling = estimateMemory(stepSizes(tiny, { ...OPT_125M, layers: 60 }, { streamsAttention: false, hasHeadKernel: true, hasSampleKernel: true, packsSpikes: true, updatesInPlace: true, poolsBuffers: false }));
    expect(filling.moment).to.equal('filling the teacher cache');
    expect(filling.parts[0]?.name).to.equal('teacher weights');
  });

  it('counts weights, moments and the teacher as they are: 125.2 M numbers of OPT-125M, three times the student’s', () => {
    const { trained, frozen } = opt125m({ onOff: false, learnedNeurons: false, init: 'random', relativeBias: false });
    expect(frozen).to.equal(50272 * 768 + 2050 * 768 + 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768) + 2 * 768);
    expect(trained).to.equal(50272 * 768 + 2048 * 768 + 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768) + 2 * 768);
  });
});

describe('the check before a run', () => {
  const sizes = opt125m();

  it('auto recomputes only where the run would not fit otherwise', () => {
    expect(checkMemory(sizes, 'auto', limits(200e9)).recompute).to.equal('none');
    expect(checkMemory(sizes, 'auto', limits(30e9)).recompute).to.equal('blocks');
    expect(checkMemory(sizes, 'auto', limits(null)).recompute).to.equal('none');
  });

  it('refuses what cannot fit: estimate, limit, largest parts, and keys whose values would fit', () => {
    const error = refusal(sizes, 'none', limits(30e9));
    expect(error.exitCode).to.equal(6);
    expect(error.message).to.include(`about ${gigabytes(sizes, 'none').toFixed(1)} GB`).and.include('the test is 30.0 GB').and.include('kept by blocks');
    expect(error.suggestions[0]).to.match(/^--set train\.recompute=blocks \(/);
  });

  it('every suggestion fits, and the next larger batch does not', () => {
    const error = refusal(sizes, 'auto', limits(9e9));
    const found = /^--set train\.batch=(\d+) --set train\.accumulate=(\d+) /.exec(error.suggestions[0] ?? '') ?? [];
    const [batch, accumulate] = [Number(found[1]), Number(found[2])];
    expect(batch * accumulate).to.be.at.least(8);
    expect(gigabytes({ ...sizes, batch, accumulate }, 'blocks')).to.be.at.most(9);
    expect(gigabytes({ ...sizes, batch: batch + 1, accumulate: Math.ceil(8 / (batch + 1)) }, 'blocks')).to.be.above(9);
    const context = Number(/train\.context=(\d+)/.exec(error.suggestions[1] ?? '')?.[1]);
    expect(gigabytes({ ...sizes, context }, 'blocks')).to.be.at.most(9);
  });

  it('refuses a tensor larger than a buffer, and says which', () => {
    expect(refusal(sizes, 'auto', limits(null, 1e9)).message).to.equal('attention maps (T, B, H, L, L) would take 1.6 GB, more than the 1.0 GB of a buffer of the test');
  });

  it('has something to say where no key helps', () => {
    expect(refusal(sizes, 'auto', limits(1e9)).suggestions[0]).to.include('student.layers');
  });

  /** A small student whose steps are small and whose start sees many windows. */
  const small = (set: Record<string, unknown> = {}): StepSizes => stepSizes(
    distillConfigSchema.parse({ run: 'r', teacher: 't', train: { batch: 2, context: 128 }, ...set }), { ...OPT_125M, vocabSize: 500, hiddenSize: 64, embeddingSize: 64, heads: 2, layers: 3, feedForwardSize: 256, contextLength: 128 },
    { streamsAttention: false, hasHeadKernel: true, hasSampleKernel: true, packsSpikes: true, updatesInPlace: true, poolsBuffers: false });

  it('a start that does not fit is refused with the number of windows that would, whatever else is changed; recomputation does not help it', () => {
    const whole = estimateMemory(small());
    expect(whole.moment).to.match(/^the start of the student, /);
    const step = estimateMemory({ ...small(), start: null }).peakBytes;
    expect(step).to.be.below(whole.peakBytes / 2);
    const between = (step + whole.peakBytes) / 2;
    const error = refusal(small(), 'auto', limits(between));
    expect(error.message).to.include('the start of the student').and.include('the test is');
    const found = /^--set calibration\.sequences=(\d+) \(/.exec(error.suggestions[0] ?? '');
    const sequences = Number(found?.[1]);
    const peakAt = (windows: number): number => estimateMemory(small({ calibration: { sequences: windows } })).peakBytes;
    expect(peakAt(sequences)).to.be.at.most(between);
    expect(peakAt(2 * sequences)).to.be.above(between);
    // Where neither fits, one line changes both.
    const both = refusal(small({ train: { batch: 64, context: 128 } }), 'none', limits(between)).suggestions;
    expect(both[0]).to.match(/^--set calibration\.sequences=\d+ --set train\.recompute=blocks/);
    // No windows are looked at: an earlier student's weights, plain neurons.
    expect(small({ student: { from: 'earlier' } }).start).to.equal(null);
    expect(small({ student: { preset: 'paper', learnedNeurons: false, init: 'random' } }).start).to.equal(null);
    expect(checkMemory(small(), 'auto', limits(whole.peakBytes)).recompute).to.equal('none');
  });

  it('OPT-125M: at any number of calibration windows, T = 2 and 4, with maps and without, the start takes less than a recomputed step of one window', () => {
    for (const streams of [true, false]) {
      for (const timeSteps of [2, 4]) {
        for (const count of [1, 8, 64, 512]) {
          const of = { ...opt125m({ timeSteps }, streams), packsSpikes: true, batch: 1, recompute: 'blocks' } as const;
          const start = estimateStart(of, { ...(of.start as StartSizes), sequences: count }).peakBytes;
          expect(start, `${streams}, ${timeSteps}, ${count}: ${start}`).to.be.below(estimateMemory({ ...of, start: null }).peakBytes);
        }
      }
    }
  });
});
