import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { expect } from 'chai';

import { openEngine } from '../../src/core/engine/open-engine.js';
import { DEFAULT_LIMITS, startServer } from '../../src/core/serve/server.js';
import { byteTokenizer } from '../support/byte-tokenizer.js';
import { TINY_STUDENT } from '../support/tiny-models.js';
import { storedTensors, writeStoredStudent } from '../support/stored-student.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const ROUNDS = 500;
const AT_ONCE = 20;

describe('server over 10,000 requests to a student on the engine', () => {
  it('memory stays where it was, no session is left, and every answer is right', async function () {
    this.timeout(300_000);
    const folder = await mkdtemp(join(tmpdir(), 'bispik-serve-'));
    const config = { ...TINY_STUDENT, vocabSize: 257, contextLength: 32 };
    await writeStoredStudent(folder, config, storedTensors(config));
    const model = await openEngine({ folder, precision: 'int8', threads: 1, notice: () => undefined });
    const server = await startServer({ served: { model, tokenizer: byteTokenizer, name: 'tiny' }, host: '127.0.0.1', port: 0, limits: DEFAULT_LIMITS, onError: (message) => { throw new Error(message); } });
    const ask = async (): Promise<string> => {
      const response = await fetch(`${server.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'tiny', prompt: 'abc', max_tokens: 3, seed: 1 }) });
      return ((await response.json()) as { choices: { text: string }[] }).choices[0]!.text;
    };
    const expected = await ask();
    const memory: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const texts = await Promise.all(Array.from({ length: AT_ONCE }, ask));
      expect(new Set(texts)).to.deep.equal(new Set([expected]));
      if (round % (ROUNDS / 5) === ROUNDS / 5 - 1) {
        collectGarbage();
        const { heapUsed, external } = process.memoryUsage();
        memory.push((heapUsed + external) / 2 ** 20);
      }
    }
    console.log(`      kept after each fifth: ${memory.map((megabytes) => megabytes.toFixed(1)).join(', ')} MB`);
    expect(server.counts).to.include({ requests: ROUNDS * AT_ONCE + 1, failed: 0 });
    expect(memory.at(-1)! - memory[1]!, 'after the first two fifths').to.be.below(4);
    await server.close();
    model.dispose();
    await rm(folder, { recursive: true });
  });
});
