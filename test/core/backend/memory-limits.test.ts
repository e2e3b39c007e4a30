import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { isOutOfMemory, memoryLimits } from '../../../src/core/backend/memory-limits.js';
import { distillConfigSchema } from '../../../src/core/config/schema.js';
import { stepSizes } from '../../../src/core/distill/step-sizes.js';
import { BackendError } from '../../../src/core/errors.js';
import { explainMemory, planMemory } from '../../../src/core/pipeline/plan-memory.js';
import { prepareBackend } from '../../../src/core/pipeline/prepare-backend.js';
import { silentReporter } from '../../../src/core/types.js';
import { rejection } from '../../support/rejection.js';
import { tinyTeacher } from '../../support/tiny-models.js';

describe('memory that runs out [wasm]', () => {
  let taken = 0;
  const heap = (): { _malloc: (bytes: number) => number; _free: (address: number) => void } => (tf.backend() as unknown as { wasm: ReturnType<typeof heap> }).wasm;
  before(async () => {
    await prepareBackend('wasm');
    taken = heap()._malloc(3e9); // of the heap; never touched, so no memory of the machine
  });
  after(() => { heap()._free(taken); });
  const config = distillConfigSchema.parse({ run: 'r', teacher: 't', train: { batch: 8, context: 12 } });

  for (const [what, size] of [['more than is left of the heap', 400_000_000], ['more than addresses can tell', 1_100_000_000]] as const) {
    it(`is an error and not a write to address 0: ${what}`, async () => {
      const before = tf.memory().numTensors;
      expect(() => tf.tidy(() => tf.fill([size], 1))).to.throw(BackendError, 'out of memory: no room for a tensor of').with.property('exitCode', 6);
      expect(tf.memory().numTensors).to.equal(before);
      const x = tf.tensor1d([1, 2]); // the backend still computes
      expect(Array.from(await tf.square(x).data())).to.deep.equal([1, 4]);
    });
  }

  it('in a run, says the estimate and the keys to change', async () => {
    const sizes = { ...stepSizes(config, tinyTeacher().config, { streamsAttention: false, hasHeadKernel: true, hasSampleKernel: true, packsSpikes: false, updatesInPlace: true, poolsBuffers: false }), start: null };
    const error = await rejection(explainMemory(sizes, async () => { await Promise.resolve(); tf.fill([400_000_000], 1); }), BackendError);
    expect(error.message).to.match(/^out of memory: no room for a tensor of 1600\.0 MB in the 4\.3 GB of WebAssembly; this run was estimated at about 1 MB at its peak/);
    expect(error.suggestions[0]).to.include('--set train.recompute=blocks');
    const bug = new TypeError('a bug');
    expect(await explainMemory(sizes, () => Promise.reject(bug)).catch((thrown: unknown) => thrown)).to.equal(bug);
  });

  it('knows what backends and Node.js throw', () => {
    expect(isOutOfMemory(new RangeError('Array buffer allocation failed'))).to.equal(true);
    expect(isOutOfMemory(Object.assign(new Error('memory access out of bounds'), { name: 'RuntimeError' }))).to.equal(true); // WebAssembly's
    expect(isOutOfMemory(new RangeError('Maximum call stack size exceeded'))).to.equal(false);
    expect(isOutOfMemory(new Error('out of memory'))).to.equal(false);
    expect(isOutOfMemory('out of memory')).to.equal(false);
  });

  it('a run that cannot fit is refused before it begins; train.memoryLimit is a limit like any other', async () => {
    const backend = await prepareBackend('wasm');
    const limited = { ...config, train: { ...config.train, memoryLimit: 0.0001 } };
    expect(() => planMemory(limited, tinyTeacher().config, { backend, reporter: silentReporter })).to.throw(BackendError, 'train.memoryLimit is 1 MB');
    const { config: planned } = planMemory(config, tinyTeacher().config, { backend, reporter: silentReporter });
    expect(planned.train.recompute).to.equal('none');
    expect(memoryLimits('wasm').totalBytes).to.be.within(1e8, 4_294_901_760);
  });
});
