import { expect } from 'chai';

import { BispikError, Interrupted, NumericError, UsageError } from '../../../src/core/errors.js';
import { generate } from '../../../src/core/generate/generate.js';
import type { GenerateOptions, Generation, GenerationEvent, TextCodec } from '../../../src/core/generate/generate.js';
import { silentReporter } from '../../../src/core/types.js';
import { expectIncrementalEqualsFull, fakeLanguageModel, scriptedLanguageModel, simpleCounts, tableLanguageModel, uniformLanguageModel } from '../../support/fake-language-model.js';

const ctx = { reporter: silentReporter, signal: new AbortController().signal };
const EOS = 256;
const bytes = (text: string): number[] => [...Buffer.from(text)];

/** One token a byte and an end token; the stream keeps the bytes of an unfinished character. */
const byteTokenizer: TextCodec = {
  bosId: null,
  eosId: EOS,
  encode: (text) => bytes(text),
  decodeStream() {
    const decoder = new TextDecoder();
    return { push: (id) => decoder.decode(Uint8Array.of(id), { stream: true }), flush: () => decoder.decode() };
  },
};

const shape = { vocabSize: 257, contextLength: 64 };
const saying = (text: string | readonly number[], promptLength = 2) =>
  scriptedLanguageModel(typeof text === 'string' ? bytes(text) : text, { shape, promptLength });

function optionsOf(options: Partial<GenerateOptions>): GenerateOptions {
  return {
    model: saying('hello'), tokenizer: byteTokenizer, prompt: '> ', maxNewTokens: 40, stop: [], samples: 1, seed: 7, slide: false,
    repetitionPenalty: 1, temperature: 0, topK: null, topP: null, ...options,
  };
}

async function collect(options: Partial<GenerateOptions>): Promise<{ events: GenerationEvent[]; pieces: string[]; generations: Generation[] }> {
  const events: GenerationEvent[] = [];
  for await (const event of generate(optionsOf(options), ctx)) events.push(event);
  return {
    events,
    pieces: events.flatMap((event) => (event.type === 'text' ? [event.text] : [])),
    generations: events.flatMap((event) => (event.type === 'end' ? [event.generation] : [])),
  };
}

async function failure(options: Partial<GenerateOptions>): Promise<BispikError> {
  const error: unknown = await collect(options).catch((e: unknown) => e);
  expect(error).to.be.instanceOf(BispikError);
  return error as BispikError;
}

describe('generate', () => {
  it('streams pieces that together are the text, and stops at the length', async () => {
    const { pieces, generations: [generation] } = await collect({ maxNewTokens: 5 });
    expect(pieces).to.deep.equal(['h', 'e', 'l', 'l', 'o']);
    expect(generation).to.include({ text: 'hello', tokens: 5, promptTokens: 2, finishReason: 'length', seed: 7, acsPerToken: null });
    expect(generation!.tokenIds).to.deep.equal(bytes('hello'));
  });

  it('ends at the end token without showing it', async () => {
    const { generations: [generation] } = await collect({ model: saying([...bytes('ab'), EOS]) });
    expect(generation).to.include({ text: 'ab', tokens: 3, finishReason: 'eos' });
  });

  it('ends before a stop string and holds its beginning back', async () => {
    const { pieces, generations: [generation] } = await collect({ model: saying('to be\n\nTO: x'), stop: ['\n\n', 'never'] });
    expect(pieces).to.deep.equal(['t', 'o', ' ', 'b', 'e']);
    expect(generation).to.include({ text: 'to be', tokens: 7, finishReason: 'stop' });
  });

  it('gives held text back when it ends for another reason', async () => {
    const { pieces, generations: [generation] } = await collect({ model: saying('ab\nc'), stop: ['\n\n'], maxNewTokens: 3 });
    expect(pieces).to.deep.equal(['a', 'b', '\n']);
    expect(generation).to.include({ text: 'ab\n', finishReason: 'length' });
    const { generations: [ended] } = await collect({ model: saying([...bytes('ab\n'), EOS]), stop: ['\n\n'] });
    expect(ended).to.include({ text: 'ab\n', finishReason: 'eos' });
  });

  it('counts a stop string completed by the last allowed token as a stop', async () => {
    const { generations: [generation] } = await collect({ model: saying('ab.'), stop: ['.'], maxNewTokens: 3 });
    expect(generation).to.include({ text: 'ab', finishReason: 'stop' });
  });

  it('never splits a character', async () => {
    const { pieces } = await collect({ model: saying('é😀'), maxNewTokens: 6 });
    expect(pieces).to.deep.equal(['é', '😀']);
    const { pieces: cut } = await collect({ model: saying('é😀'), maxNewTokens: 4 });
    expect(cut).to.deep.equal(['é', '\uFFFD']);
  });

  it('fills the context and one token more, then says so', async () => {
    const model = scriptedLanguageModel(bytes('abcdefgh'), { shape: { vocabSize: 257, contextLength: 5 }, promptLength: 2 });
    const { generations: [generation] } = await collect({ model });
    expect(generation).to.include({ text: 'abcd', tokens: 4, finishReason: 'context' });
    const { generations: [full] } = await collect({ model: scriptedLanguageModel(bytes('z'), { shape: { vocabSize: 257, contextLength: 2 }, promptLength: 2 }) });
    expect(full).to.include({ text: 'z', finishReason: 'context' });
  });

  it('draws several samples from one prompt, each as its own seed alone would', async () => {
    const model = uniformLanguageModel({ shape: { vocabSize: 100, contextLength: 64 } });
    const sampling = { model, temperature: 1, maxNewTokens: 12 };
    const { generations, events } = await collect({ ...sampling, samples: 3 });
    expect(generations.map(({ seed }) => seed)).to.deep.equal([7, 8, 9]);
    expect(new Set(generations.map(({ text }) => text)).size).to.equal(3);
    expect(events.map(({ sample }) => sample)).to.deep.equal(events.map(({ sample }) => sample).sort());
    for (const { seed, tokenIds } of generations) {
      expect((await collect({ ...sampling, seed })).generations[0]!.tokenIds).to.deep.equal(tokenIds);
    }
    expect(model.openSessions()).to.equal(0);
  });

  it('samples as the distribution says: a token of probability 1/4', async () => {
    const model = tableLanguageModel([[Math.log(3), 0], [Math.log(3), 0]], { shape: { contextLength: 4096 } });
    const tokenizer = { ...byteTokenizer, encode: () => [0], eosId: null };
    const { generations: [generation] } = await collect({ model, tokenizer, temperature: 1, maxNewTokens: 4000 });
    const ones = generation!.tokenIds.filter((id) => id === 1).length;
    // Binomial(4000, 1/4): mean 1000, deviation 27.4; four deviations. The seed is fixed.
    expect(ones).to.be.within(890, 1110);
  });

  it('penalises what the prompt and the text already hold', async () => {
    const model = tableLanguageModel([[2, 1.5, 1.2], [2, 1.5, 1.2], [2, 1.5, 1.2]], { shape: { contextLength: 16 } });
    const tokenizer = { ...byteTokenizer, encode: () => [0], eosId: null };
    const { generations: [generation] } = await collect({ model, tokenizer, repetitionPenalty: 2, maxNewTokens: 3 });
    // 0 is in the prompt: 1, 1.5, 1.2 → 1; then 1, .75, 1.2 → 2; then 1, .75, .6 → 0.
    expect(generation!.tokenIds).to.deep.equal([1, 2, 0]);
  });

  it('starts an empty prompt from the start token', async () => {
    const model = tableLanguageModel([[0, 5, 0], [0, 0, 5], [5, 0, 0]]);
    const tokenizer = { ...byteTokenizer, bosId: 1, eosId: null };
    expect((await collect({ model, tokenizer, prompt: '', maxNewTokens: 2 })).generations[0]!.tokenIds).to.deep.equal([2, 0]);
    const error = await failure({ tokenizer: { ...byteTokenizer, eosId: null }, prompt: '' });
    expect(error).to.be.instanceOf(UsageError).with.property('message').that.contains('prompt is empty');
  });

  it('measures tokens per second over decoding only, and not while the consumer is busy', async () => {
    let clockMs = 0;
    const model = saying('hello');
    const timed = { ...model, openSession: () => {
      const session = model.openSession();
      return { ...session, get length() { return session.length; }, append: (ids: readonly number[]) => {
        clockMs += ids.length > 1 ? 1000 : 20;
        return session.append(ids);
      } };
    } };
    let generation: Generation | undefined;
    for await (const event of generate(optionsOf({ model: timed, maxNewTokens: 5, now: () => clockMs }), ctx)) {
      clockMs += 500;
      if (event.type === 'end') generation = event.generation;
    }
    // Four tokens after the first, 20 ms each.
    expect(generation!.tokensPerSecond).to.equal(50);
    const { generations: [single] } = await collect({ model: timed, maxNewTokens: 1, now: () => clockMs });
    expect(single!.tokensPerSecond).to.equal(1);
  });

  it('reports accumulates per processed token', async () => {
    const model = scriptedLanguageModel(bytes('hey'), { kind: 'student', shape, promptLength: 2, count: (from, to) => {
      const counts = simpleCounts(from, to);
      // 10 a token in the prompt, 4 afterwards: 2 · 10 + 2 · 4 over 4 tokens.
      return { ...counts, sites: counts.sites.map((site) => ({ ...site, accumulates: (from === 0 ? 10 : 4) * (to - from) })) };
    } });
    expect((await collect({ model, maxNewTokens: 3 })).generations[0]!.acsPerToken).to.equal(7);
  });

  it('refuses a prompt longer than the context, naming both lengths', async () => {
    const error = await failure({ prompt: 'x'.repeat(65) });
    expect(error).to.be.instanceOf(UsageError).with.property('exitCode', 2);
    expect(error.message).to.contain('65 tokens').and.to.contain('64');
    expect(error.suggestions[0]).to.contain('at most 64 tokens');
  });

  const bad: readonly [Partial<GenerateOptions>, string][] = [
    [{ maxNewTokens: 0 }, 'new tokens'], [{ samples: 0 }, 'samples'], [{ seed: -1 }, 'seed'], [{ seed: 0.5 }, 'seed'],
    [{ stop: [''] }, 'stop string is empty'], [{ temperature: -1 }, 'temperature'],
  ];
  for (const [options, part] of bad) {
    it(`refuses ${JSON.stringify(options)} before it reads the prompt`, async () => {
      const model = saying('hello');
      const error = await failure({ model, ...options });
      expect(error).to.be.instanceOf(UsageError).with.property('message').that.contains(part);
    });
  }

  it('stops when aborted, between tokens and before the first', async () => {
    const controller = new AbortController();
    const model = saying('hello');
    const seen: string[] = [];
    let error: unknown;
    try {
      for await (const event of generate(optionsOf({ model }), { ...ctx, signal: controller.signal })) {
        if (event.type === 'text') seen.push(event.text);
        if (seen.length === 2) controller.abort();
      }
    } catch (e) {
      error = e;
    }
    expect(error).to.be.instanceOf(Interrupted).with.property('message').that.contains('after 2 tokens');
    expect(seen).to.deep.equal(['h', 'e']);
    expect(model.openSessions()).to.equal(0);
    const before: unknown = await generate(optionsOf({}), { ...ctx, signal: AbortSignal.abort() }).next().catch((e: unknown) => e);
    expect(before).to.be.instanceOf(Interrupted).with.property('exitCode', 130);
  });

  it('closes its sessions when the consumer leaves or the model breaks', async () => {
    const model = saying('hello');
    for await (const event of generate(optionsOf({ model, samples: 2 }), ctx)) if (event.type === 'text') break;
    expect(model.openSessions()).to.equal(0);
    const broken = fakeLanguageModel({ shape, next: (prefix) => new Float32Array(257).fill(prefix.length > 4 ? NaN : 0) });
    expect(await failure({ model: broken, samples: 2 })).to.be.instanceOf(NumericError);
    expect(broken.openSessions()).to.equal(0);
  });
});

describe('the incremental = full check', () => {
  const counted = { kind: 'student', count: simpleCounts } as const;
  const failureOf = (work: Promise<void>): Promise<unknown> => work.then(() => undefined, (e: unknown) => e);

  it('passes for a model that keeps its promise', async () => {
    await expectIncrementalEqualsFull(tableLanguageModel([[0, 1], [2, 3]], counted), [0, 1, 1, 0, 1]);
  });

  it('notices a session that differs, and counts that differ', async () => {
    const model = tableLanguageModel([[0, 1], [2, 3]], counted);
    const wrongLogits = tableLanguageModel([[0, 1], [2, 3.001]], counted);
    const wrongCounts = tableLanguageModel([[0, 1], [2, 3]], { ...counted, count: (from, to) => simpleCounts(0, to - from) });
    expect(await failureOf(expectIncrementalEqualsFull({ ...model, openSession: wrongLogits.openSession }, [0, 1]))).to.have.property('message').that.contains('token 1, one at a time');
    expect(await failureOf(expectIncrementalEqualsFull({ ...model, openSession: wrongCounts.openSession }, [0, 1]))).to.have.property('message').that.contains('counts of the steps');
  });
});
