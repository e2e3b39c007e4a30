import { expect } from 'chai';

import { denseCounts, workOfLengths } from '../../../src/core/energy/dense-counts.js';

const tiny = { vocabSize: 10, hiddenSize: 2, layers: 3, heads: 1, feedForwardSize: 5, contextLength: 8 };

describe('dense counts', () => {
  it('adds tokens and causal pairs over lengths', () => {
    // 3 → 1+2+3 = 6 pairs, 1 → 1, 4 → 10.
    expect(workOfLengths([3, 1, 4])).to.deep.equal({ tokens: 8, pairs: 17 });
    expect(workOfLengths([])).to.deep.equal({ tokens: 0, pairs: 0 });
  });

  it('counts a tiny decoder as worked by hand', () => {
    // D=2, F=5: 4·4 + 2·2·5 = 36 per layer and token; 4 per layer and pair. 3·(3·36 + 6·4) = 396, of which attention 3·6·4. Readout 3·(2 + 20) = 66.
    expect(denseCounts(tiny, { tokens: 3, pairs: 6 })).to.deep.equal({ blockMacs: 396, attentionMacs: 72, readoutMacs: 66 });
  });

  it('counts the loops of a plain implementation', () => {
    const { hiddenSize: D, feedForwardSize: F, vocabSize: V, layers } = tiny;
    let blocks = 0;
    let attention = 0;
    let readout = 0;
    for (let i = 0; i < 7; i++) {
      for (let layer = 0; layer < layers; layer++) {
        for (let matrix = 0; matrix < 4; matrix++) for (let o = 0; o < D; o++) for (let k = 0; k < D; k++) blocks++;
        for (let j = 0; j <= i; j++) for (let k = 0; k < D; k++) attention += 2;
        for (let o = 0; o < F; o++) for (let k = 0; k < D; k++) blocks += 2;
      }
      for (let k = 0; k < D; k++) readout += 1 + V;
    }
    expect(denseCounts(tiny, workOfLengths([7]))).to.deep.equal({ blockMacs: blocks + attention, attentionMacs: attention, readoutMacs: readout });
  });

  it('gives the published sizes of OPT-125M: 84.93 M in the linear layers and 38.61 M in the head', () => {
    const opt = { vocabSize: 50_272, hiddenSize: 768, layers: 12, heads: 12, feedForwardSize: 3072, contextLength: 2048 };
    const counts = denseCounts(opt, { tokens: 1, pairs: 0 });
    expect(counts.blockMacs).to.equal(84_934_656);
    expect(counts.readoutMacs).to.equal(38_608_896 + 768);
  });

  it('counts projections where the embedding is narrower (OPT-350M)', () => {
    // Head 4·10 on the narrow side, 2·(2·4) projections, norm 2.
    expect(denseCounts({ ...tiny, embeddingSize: 4 }, { tokens: 1, pairs: 1 }).readoutMacs).to.equal(2 + 40 + 16);
  });
});
