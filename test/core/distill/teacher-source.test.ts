import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

import { liveSource, cachedSource } from '../../../src/core/distill/teacher-source.js';
import { logitLosses } from '../../../src/core/distill/logit-losses.js';
import { embeddingLoss } from '../../../src/core/distill/embedding-loss.js';
import type { TeacherTargets } from '../../../src/core/distill/total-loss.js';
import { createRandom } from '../../../src/core/corpus/random.js';
import { beginCache, openCache } from '../../../src/core/teacher-cache/cache.js';
import { fillCache } from '../../../src/core/teacher-cache/fill.js';
import { EMBEDDING_PARAMETERS } from '../../../src/core/teacher/forward.js';
import { silentReporter } from '../../../src/core/types.js';
import { describeOnBackends, expectClose } from '../../support/backends.js';
import { lossInputs } from '../../support/loss-inputs.js';
import { tinyHeader, tinyIdentity } from '../../support/teacher-cache.js';
import { withTempFolder } from '../../support/temp-folder.js';
import { tinyTeacher } from '../../support/tiny-models.js';

const TOKENS = Int32Array.from({ length: 19 }, (_, i) => (i * i + 3) % 13);
const STARTS = Int32Array.of(12, 0);
const BATCH = { starts: STARTS, tokens: Int32Array.from([...TOKENS.slice(12, 19), ...TOKENS.slice(0, 7)]) };

describeOnBackends('distill/teacher-source', () => {
  it('a cache that has a slot for every id gives the soft-target and embedding losses, and their gradients, of the teacher that runs', () => withTempFolder(async (folder) => {
    const identity = tinyIdentity({ samples: 13 });
    const teacher = tinyTeacher();
    await beginCache(folder, tinyHeader(identity));
    await fillCache({ folder, identity, teacher, tokens: TOKENS, starts: [0, 12] }, { reporter: silentReporter, signal: new AbortController().signal });
    const cache = await openCache(folder, tinyHeader(identity));
    const batch = { ...BATCH, sampled: cache.read(BATCH.starts) };
    cache.close();
    const tables = { config: teacher.config, parameters: new Map([...teacher.parameters].filter(([name]) => EMBEDDING_PARAMETERS.has(name))) };
    const random = createRandom(2);
    const student = tf.tensor2d(Float32Array.from({ length: 12 * 13 }, () => random.normal()), [12, 13]);
    const head = tf.tensor2d(Float32Array.from({ length: 13 * 13 }, () => random.normal()), [13, 13]);
    const embedding = tf.tensor3d(Float32Array.from({ length: 12 * 8 }, () => random.normal()), [2, 6, 8]);
    const ids = tf.tensor2d([...BATCH.tokens.slice(0, 6), ...BATCH.tokens.slice(7, 13)], [2, 6], 'int32');
    const results = tf.tidy(() => [liveSource(teacher), cachedSource(tables)].map((source) => {
      const loss = (states: tf.Tensor): tf.Scalar => {
        const targets = source.targets(batch, ids) as TeacherTargets;
        const inputs = { ...lossInputs({ student: { readout: { states: states as tf.Tensor2D, head }, embedding } }), teacher: targets };
        const soft = logitLosses({ softTarget: 1, hardTarget: 0 }, 2).compute(inputs, { sta: 1 }).total;
        return tf.add(soft, tf.mul(embeddingLoss(1, (x) => x).compute(inputs), 10));
      };
      return [loss(student), tf.grad(loss)(student)] as const;
    }));
    const [live, cached] = await Promise.all(results.map((tensors) => Promise.all(tensors.map((tensor) => tensor.data<'float32'>()))));
    expectClose(cached?.[0] ?? [], live?.[0] ?? [], { absolute: 1e-4, relative: 1e-4 }, 'loss');
    // Weights are whole multiples of 1/65535.
    expectClose(cached?.[1] ?? [], live?.[1] ?? [], { absolute: 5e-5 }, 'gradient');
    expect(Math.max(...(live?.[1] ?? []).map(Math.abs))).to.be.above(1e-3);
    tf.dispose([student, head, embedding, ids, ...results.flat(), ...teacher.parameters.values()]);
  }));

  it('without a loss on embeddings no table is needed; a batch that no cache has filled is a mistake of ours', () => {
    const sampled = { samples: 1, ids: Int32Array.of(4, 5), weights: Float32Array.of(1, 1), entropy: Float32Array.of(0, 0) };
    const ids = tf.tensor2d([1, 2], [1, 2], 'int32');
    tf.tidy(() => {
      const targets = cachedSource(null).targets({ tokens: Int32Array.of(1, 2, 3), starts: Int32Array.of(0), sampled }, ids);
      expect(targets.embedding.size + targets.hidden.length + targets.attention.length).to.equal(0);
    });
    expect(() => cachedSource(null).targets({ tokens: Int32Array.of(1, 2, 3), starts: Int32Array.of(0) }, ids)).to.throw('without what the teacher cache holds');
    tf.dispose(ids);
  });
});
