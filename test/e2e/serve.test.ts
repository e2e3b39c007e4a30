import { join } from 'node:path';

import { expect } from 'chai';

import { silentReporter } from '../../src/core/types.js';
import { findModel, openModel } from '../../src/core/pipeline/open-model.js';
import { loadTokenizer } from '../../src/core/tokenizer/load.js';
import { RESULT_SCHEMAS } from '../support/result-schemas.js';
import { documentOf, expectCli, runCli } from '../support/run-cli.js';
import { withTempFolder } from '../support/temp-folder.js';

interface Answer { choices: { text: string; logprobs: { token_logprobs: (number | null)[] } }[] }

describe('serve', () => {
  it('the built-in teacher: log-probabilities are those of its own logits; Ctrl-C ends it with a report', () => withTempFolder(async (folder) => {
    const prompt = 'Once upon a time there was a fox.';
    const asked: Promise<Answer>[] = [];
    let seen = '';
    const run = await runCli(['serve', 'builtin:stories', '--port', '0', '--name', 'fox', '--backend', 'wasm', '--json'], {
      folder,
      onStderr: {
        text: '/v1/completions',
        act: (pid, stderr) => {
          seen = /http:\/\/[\d.:]+/.exec(stderr)?.[0] ?? '';
          asked.push(fetch(`${seen}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'fox', prompt, echo: true, logprobs: 1, max_tokens: 1, temperature: 0 }) })
            .then((response) => response.json() as Promise<Answer>).finally(() => { process.kill(pid, 'SIGINT'); }));
        },
      },
    });
    expect(run.status, run.stderr).to.equal(0);
    RESULT_SCHEMAS.serve.parse(JSON.parse(run.stdout));
    expect(JSON.parse(run.stdout)).to.include({ url: seen, model: 'fox', requests: 1, failed: 0, newTokens: 1 });
    const { choices: [choice] } = await (asked[0] as Promise<Answer>);

    const found = await findModel('builtin:stories');
    const tokenizer = await loadTokenizer(found.folder);
    const model = await openModel(found, { backend: 'wasm', precision: 'float32', threads: null }, silentReporter);
    const ids = tokenizer.encode(prompt);
    const { vocabSize } = model.shape;
    const [all] = await model.forward([ids]);
    const expected = ids.slice(1).map((id, i) => {
      const row = Array.from(all!.logits.subarray(i * vocabSize, (i + 1) * vocabSize));
      return row[id]! - Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0));
    });
    model.dispose();
    const given = choice?.logprobs.token_logprobs ?? [];
    expect(given).to.have.length(ids.length + 1);
    expected.forEach((value, i) => { expect(given[i + 1]).to.be.closeTo(value, 1e-4); });
    expect(choice?.text.startsWith(prompt)).to.equal(true);
  })).timeout(60_000);

  it('a folder without a model is refused before anything listens', () => withTempFolder(async (folder) => {
    const { error } = (await documentOf(await expectCli(5, ['serve', join(folder, 'nothing'), '--port', '0', '--json'], { folder }))) as { error: { message: string } };
    expect(error.message).to.contain('holds no model');
  })).timeout(60_000);
});
