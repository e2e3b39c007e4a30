import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { expect } from 'chai';

import { probeBackends } from '../../src/core/backend/select.js';
import { loadDistillConfig, loadTeacherConfig } from '../../src/core/config/load.js';
import { writeStories } from '../../src/core/corpus/stories.js';
import { distill } from '../../src/core/pipeline/distill.js';
import { evaluateModel } from '../../src/core/pipeline/evaluate-model.js';
import { generateText } from '../../src/core/pipeline/generate-text.js';
import { importTeacher } from '../../src/core/pipeline/import-teacher.js';
import { trainTeacher } from '../../src/core/pipeline/train-teacher.js';
import { silentReporter } from '../../src/core/types.js';

const CORPUS_BYTES = 1_000_000;
const CONTEXT = { reporter: silentReporter, signal: new AbortController().signal };

/** The teacher is trained on wasm: it is only what is imported. */
const TEACHER = `
backend: wasm
tokenizer: { vocabSize: 300 }
model: { hiddenSize: 16, layers: 1, heads: 2, feedForwardSize: 32, contextLength: 16 }
train: { steps: 300, batch: 16, context: 16, learningRate: 0.02, warmupSteps: 10, validateEvery: 300, validateWindows: 32, checkpointEvery: 300 }
`;
const STUDENT = `
backend: webgpu
calibration: { sequences: 4 }
train: { steps: 20, batch: 2, context: 16, warmupSteps: 2, validateEvery: 20, validateWindows: 4, checkpointEvery: 20 }
`;

// The path is tried, not the quality: an emulated adapter does half a GFLOP a second. All in one process, because most of the time
// goes into compiling programs for the adapter, which the commands then share.
describe('e2e: the whole path on WebGPU', function () {
  this.timeout(300_000);
  let folder = '';
  const at = (name: string): string => path.join(folder, name);

  before(async function () {
    const probe = (await probeBackends()).find(({ name }) => name === 'webgpu');
    if (probe?.available !== true) {
      console.log(`      skipped: ${probe?.reason ?? 'no probe'}`);
      this.skip();
    }
    folder = await mkdtemp(path.join(tmpdir(), 'bispik-webgpu-'));
    const { text } = writeStories({ seed: 5, count: 8000 });
    expect(text.length).to.be.at.least(CORPUS_BYTES);
    await writeFile(at('corpus.txt'), text.slice(0, CORPUS_BYTES));
    await writeFile(at('short.txt'), text.slice(0, 300));
    const corpus = `corpus: { kind: text, train: ${at('corpus.txt')}, validFraction: 0.002 }\n`;
    await writeFile(at('teacher.yaml'), `run: ${at('trained')}\n${corpus}${TEACHER}`);
    await writeFile(at('student.yaml'), `run: ${at('run')}\nteacher: ${at('teacher')}\n${corpus}${STUDENT}`);
  });
  after(async () => { if (folder !== '') await rm(folder, { recursive: true, force: true }); });

  it('a text of 1 MB: imports, distils 20 steps, evaluates and generates', async () => {
    const trained = await trainTeacher({ config: await loadTeacherConfig({ file: at('teacher.yaml') }), threads: null }, CONTEXT);
    const imported = await importTeacher({
      source: trained.path, out: at('teacher'), revision: 'main', token: null, endpoint: 'http://127.0.0.1:9', cacheDir: at('cache'), offline: true,
      overwrite: false, expectPerplexity: null, data: at('short.txt'), bispikVersion: 'test',
    }, CONTEXT);
    expect(imported.family).to.equal('opt');

    const distilled = await distill({ config: await loadDistillConfig({ file: at('student.yaml') }), profile: false, threads: null }, CONTEXT);
    expect(distilled).to.include({ steps: 20, tokens: 20 * 2 * 16, skippedSteps: 0, backend: 'webgpu' });
    expect(distilled.valid.nll).to.be.below(distilled.unigram.nll);

    const evaluated = await evaluateModel({
      model: at('run'), data: at('short.txt'), tasks: null, teacher: null, context: null, stride: null, ngramData: null, trace: null, verify: false, gate: null,
      backend: 'webgpu', precision: null, threads: null,
    }, CONTEXT);
    expect(evaluated.student?.nll).to.be.above(0).and.below(Math.log(300));
    expect(evaluated.student?.energy.ratioBlocks).to.be.above(0).and.below(1);

    let streamed = '';
    const written = await generateText({
      model: at('run'), prompt: 'The', maxNewTokens: 4, temperature: 0.8, topK: null, topP: null, repetitionPenalty: 1, seed: 7, stop: [], samples: 1,
      slide: false, backend: 'webgpu', precision: null, threads: null, onEvent: (event) => { if ('text' in event) streamed += event.text; },
    }, CONTEXT);
    expect(written.tokens).to.equal(4);
    expect(written.backend).to.equal('webgpu');
    expect(written.text).to.contain(streamed);
  });

  it('20 steps from that student: the same curve twice, and on wasm to 1e-3', async () => {
    const losses = async (backend: 'webgpu' | 'wasm', run: string): Promise<number[]> => {
      const config = await loadDistillConfig({
        file: at('student.yaml'),
        // At the recipe's own rate of .01 a spike on the edge of its threshold soon sets any two backends apart.
        overrides: [`run=${at(run)}`, `student.from=${at('run/student')}`, `backend=${backend}`, 'train.learningRate=0.001', 'train.logEvery=1'],
      });
      await distill({ config, profile: false, threads: null }, CONTEXT);
      return (await readFile(at(`${run}/metrics.jsonl`), 'utf8')).trim().split('\n').map((line) => (JSON.parse(line) as { loss: number }).loss);
    };
    const first = await losses('webgpu', 'first');
    expect(first).to.have.length(20);
    expect(await losses('webgpu', 'second')).to.deep.equal(first);
    (await losses('wasm', 'on-wasm')).forEach((loss, step) => { expect(first[step]! / loss, `step ${step + 1}`).to.be.within(0.999, 1.001); });
  });
});
