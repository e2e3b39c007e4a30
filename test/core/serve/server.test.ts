import type { Socket } from 'node:net';
import { connect } from 'node:net';

import { expect } from 'chai';

import { UsageError } from '../../../src/core/errors.js';
import type { RunningServer, ServerLimits } from '../../../src/core/serve/server.js';
import { DEFAULT_LIMITS, startServer } from '../../../src/core/serve/server.js';
import type { LanguageModel } from '../../../src/core/types.js';
import { BYTE_EOS, byteTokenizer } from '../../support/byte-tokenizer.js';
import type { FakeLanguageModel } from '../../support/fake-language-model.js';
import { fakeLanguageModel } from '../../support/fake-language-model.js';

const shape = { vocabSize: 257, contextLength: 64 };
/** After byte b comes b + 1 with logit 3, and b with logit 2; all others have −20. */
const alphabet = (): FakeLanguageModel => fakeLanguageModel({
  shape,
  next: (prefix) => {
    const last = prefix.at(-1) as number;
    return Float32Array.from({ length: 257 }, (_, id) => (id === (last + 1) % 257 ? 3 : id === last ? 2 : -20));
  },
});
const NORM = Math.log(Math.exp(3) + Math.exp(2) + 255 * Math.exp(-20));
/** Log-probabilities of the next letter of the alphabet, and of the same one again. */
const [NEXT, SAME] = [3 - NORM, 2 - NORM];

interface Choice { index: number; text: string; finish_reason: string | null; logprobs: { tokens: string[]; token_logprobs: (number | null)[]; top_logprobs: (Record<string, number> | null)[]; text_offset: number[] } | null }
interface Completion { object: string; model: string; choices: Choice[]; usage: Record<string, number> }

describe('completions server', function () {
  this.timeout(20_000);
  let server: RunningServer;
  let model: FakeLanguageModel;
  const failures: string[] = [];

  const start = async (limits: Partial<ServerLimits> = {}, served: LanguageModel = model): Promise<RunningServer> => {
    server = await startServer({ served: { model: served, tokenizer: byteTokenizer, name: 'abc' }, host: '127.0.0.1', port: 0, limits: { ...DEFAULT_LIMITS, ...limits }, onError: (message) => { failures.push(message); } });
    return server;
  };
  const post = (fields: object, init: RequestInit = {}): Promise<Response> =>
    fetch(`${server.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'abc', ...fields }), headers: { 'content-type': 'application/json' }, ...init });
  const completion = async (fields: object): Promise<Completion> => {
    const response = await post(fields);
    expect(response.status, await response.clone().text()).to.equal(200);
    return (await response.json()) as Completion;
  };
  const refused = async (response: Response | Promise<Response>): Promise<{ status: number; message: string; code: string | null }> => {
    const { status } = await response;
    const { error } = (await (await response).json()) as { error: { message: string; code: string | null } };
    return { status, ...error };
  };

  beforeEach(() => { model = alphabet(); failures.length = 0; });
  afterEach(async () => {
    await server.close();
    expect(model.openSessions(), 'every decoding session is disposed').to.equal(0);
    expect(failures).to.deep.equal([]);
  });

  describe('answers', () => {
    it('a greedy continuation, usage, and why it ended', async () => {
      await start();
      const answer = await completion({ prompt: 'ab', max_tokens: 4, temperature: 0 });
      expect(answer).to.deep.include({ object: 'text_completion', model: 'abc', usage: { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 } });
      expect(answer.choices).to.deep.equal([{ index: 0, text: 'cdef', logprobs: null, finish_reason: 'length' }]);
    });

    it('echo with log-probabilities, as the harness asks: of the prompt and of the one new token', async () => {
      await start();
      const { choices: [choice] } = await completion({ prompt: [[97, 98, 98]], max_tokens: 1, logprobs: 1, echo: true, temperature: 0 });
      expect(choice?.text).to.equal('abbc');
      expect(choice?.logprobs?.tokens).to.deep.equal(['a', 'b', 'b', 'c']);
      expect(choice?.logprobs?.text_offset).to.deep.equal([0, 1, 2, 3]);
      const [first, ...rest] = choice?.logprobs?.token_logprobs ?? [];
      expect(first).to.equal(null);
      [NEXT, SAME, NEXT].forEach((expected, i) => { expect(rest[i]).to.be.closeTo(expected, 1e-6); });
      // The third token was not the most probable one: the list has both, and the harness sees that it was not greedy.
      expect(Object.keys(choice?.logprobs?.top_logprobs[2] ?? {})).to.have.members(['b', 'c']);
      expect(choice?.logprobs?.top_logprobs[2]?.['c']).to.be.closeTo(NEXT, 1e-6);
    });

    it('the same log-probabilities whether one token follows or several', async () => {
      await start();
      const one = await completion({ prompt: 'abb', max_tokens: 1, logprobs: 2, echo: true, temperature: 0 });
      const several = await completion({ prompt: 'abb', max_tokens: 5, logprobs: 2, echo: true, temperature: 0 });
      expect(several.choices[0]?.text).to.equal('abbcdefg');
      expect(several.choices[0]?.logprobs?.token_logprobs.slice(0, 4)).to.deep.equal(one.choices[0]?.logprobs?.token_logprobs);
    });

    it('stops before a stop string, and its tokens are not in the list; at the end token; where the context is full', async () => {
      await start();
      const stopped = await completion({ prompt: 'a', max_tokens: 9, temperature: 0, stop: ['de', 'zz'], logprobs: 0 });
      expect(stopped.choices[0]).to.include({ text: 'bc', finish_reason: 'stop' });
      expect(stopped.choices[0]?.logprobs?.tokens).to.deep.equal(['b', 'c']);
      const ended = await completion({ prompt: [BYTE_EOS - 3], max_tokens: 9, temperature: 0 });
      expect(ended.choices[0]?.finish_reason).to.equal('stop');
      expect(ended.usage['completion_tokens']).to.equal(3);
      const full = await completion({ prompt: 'a'.repeat(62), max_tokens: 50, temperature: 0 });
      expect(full.choices[0]).to.include({ text: 'bcd', finish_reason: 'length' });
    });

    it('several prompts and several continuations: prompts in order, seeds apart, the same again with the same seed', async () => {
      await start();
      const fields = { prompt: ['a', 'x'], n: 3, max_tokens: 12, temperature: 1, seed: 5 };
      const { choices } = await completion(fields);
      expect(choices.map(({ index }) => index)).to.deep.equal([0, 1, 2, 3, 4, 5]);
      expect(new Set(choices.map(({ text }) => text)).size).to.be.above(3);
      expect((await completion(fields)).choices).to.deep.equal(choices);
      expect((await completion({ ...fields, prompt: 'a', n: 1 })).choices[0]?.text).to.equal(choices[0]?.text);
    });

    it('max_tokens 0 gives the prompt back', async () => {
      await start();
      expect((await completion({ prompt: 'ab', max_tokens: 0, echo: true })).choices[0]).to.include({ text: 'ab', finish_reason: 'length' });
    });

    it('a stream: the parts are the text, then the reason, the usage where asked for, and the end', async () => {
      await start();
      const response = await post({ prompt: 'a', max_tokens: 4, temperature: 0, stream: true, stream_options: { include_usage: true } });
      expect(response.headers.get('content-type')).to.contain('text/event-stream');
      const events = (await response.text()).split('\n\n').filter((line) => line !== '').map((line) => line.replace(/^data: /, ''));
      expect(events.pop()).to.equal('[DONE]');
      const parts = events.map((event) => JSON.parse(event) as Completion);
      expect(parts.at(-1)).to.deep.include({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 } });
      expect(parts.flatMap(({ choices }) => choices).map(({ text }) => text).join('')).to.equal('bcde');
      expect(parts.at(-2)?.choices[0]?.finish_reason).to.equal('length');
    });

    it('models and health', async () => {
      await start();
      const models = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { id: string }[] };
      expect(models.data.map(({ id }) => id)).to.deep.equal(['abc']);
      expect(await (await fetch(`${server.url}/health`)).json()).to.include({ status: 'ok', running: 0, waiting: 0 });
    });
  });

  describe('refusals', () => {
    it('say what was wrong, with the status that fits', async () => {
      await start({ bodyBytes: 1000 });
      expect(await refused(post({}, { body: '{"model": "abc", ' }))).to.include({ status: 400 }).and.property('message').contains('the body is not JSON');
      expect(await refused(post({}, { body: Uint8Array.of(0xff, 0xfe) }))).to.include({ status: 400 });
      expect(await refused(post({ prompt: 'a', model: '../../etc/passwd' }))).to.include({ status: 404, code: 'model_not_found' });
      expect(await refused(post({ prompt: 'a'.repeat(2000) }))).to.include({ status: 413, code: 'body_too_large' });
      expect(await refused(post({ prompt: 'a'.repeat(65) }))).to.include({ status: 400, code: 'context_length_exceeded', message: 'the prompt is 65 tokens long, the model\'s context is 64' });
      expect(await refused(post({ prompt: [300] }))).to.include({ status: 400, message: 'token id 300 is outside the vocabulary of 257' });
      expect(await refused(fetch(`${server.url}/v1/completions`))).to.include({ status: 405 });
      expect(await refused(fetch(`${server.url}/etc/passwd`))).to.include({ status: 404 });
      expect((await completion({ prompt: 'a', max_tokens: 1, temperature: 0 })).choices[0]?.text).to.equal('b');
    });

    it('a body without an end is cut at the limit, and the answer still arrives', async () => {
      await start({ bodyBytes: 1000 });
      const endless = new ReadableStream({ pull: (controller) => { controller.enqueue(Buffer.alloc(512, 32)); } });
      const outcome = await post({}, { body: endless, duplex: 'half' } as RequestInit).then((response) => response.status, () => 'closed');
      expect(outcome).to.be.oneOf([413, 'closed']);
      expect((await completion({ prompt: 'a', max_tokens: 1 })).choices).to.have.length(1);
    });

    it('a page elsewhere whose name points here', async () => {
      await start();
      const { port } = new URL(server.url);
      const text = await raw(Number(port), 'GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
      expect(text).to.match(/^HTTP\/1\.1 403 /).and.contain('not to \\"evil.example\\"');
    });

    it('an address in use', async () => {
      await start();
      const port = Number(new URL(server.url).port);
      const error: unknown = await startServer({ served: { model, tokenizer: byteTokenizer, name: 'x' }, host: '127.0.0.1', port, limits: DEFAULT_LIMITS, onError: () => undefined }).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(UsageError).and.have.property('message').that.contains(`port ${port} of 127.0.0.1 is in use`);
    });
  });

  describe('under load', () => {
    it('200 at once: those that fit into the queue are right, the others get 429, and afterwards all is as before', async () => {
      await start({ concurrency: 4, queue: 100 });
      const responses = await Promise.all(Array.from({ length: 200 }, (_, i) => post({ prompt: String.fromCharCode(97 + (i % 20)), max_tokens: 3, temperature: 0 })));
      const statuses = responses.map(({ status }) => status);
      expect(statuses.filter((status) => status === 200).length).to.be.at.least(104);
      expect(new Set(statuses)).to.satisfy((found: Set<number>) => [...found].every((status) => status === 200 || status === 429));
      for (const [i, response] of responses.entries()) {
        const body = (await response.json()) as Completion;
        if (response.status !== 200) expect(response.headers.get('retry-after')).to.equal('1');
        else expect(body.choices[0]?.text).to.equal([1, 2, 3].map((step) => String.fromCharCode(97 + (i % 20) + step)).join(''));
      }
      expect(server.load).to.deep.equal({ running: 0, waiting: 0 });
    });

    it('a client that leaves in the middle of a stream ends its own work only', async () => {
      await start({ concurrency: 1 });
      const leaving = new AbortController();
      const response = await post({ prompt: 'a', max_tokens: 60, temperature: 0, stream: true, n: 100 }, { signal: leaving.signal });
      await response.body?.getReader().read();
      const other = completion({ prompt: 'p', max_tokens: 2, temperature: 0 });
      leaving.abort();
      expect((await other).choices[0]?.text).to.equal('qr');
      expect(server.load.running).to.equal(0);
    });

    it('clients that never finish their request are sent away, others are answered meanwhile', async () => {
      await start({ requestMs: 500 });
      const port = Number(new URL(server.url).port);
      const slow = Array.from({ length: 20 }, () => raw(port, 'POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{"model":'));
      expect((await completion({ prompt: 'a', max_tokens: 2, temperature: 0 })).choices[0]?.text).to.equal('bc');
      for (const text of await Promise.all(slow)) expect(text).to.match(/^HTTP\/1\.1 408 /);
    });

    it('a client that does not read its answer holds no place', async () => {
      await start({ concurrency: 1 });
      const port = Number(new URL(server.url).port);
      const body = JSON.stringify({ model: 'abc', prompt: 'a', n: 100, max_tokens: 60, logprobs: 20 });
      const idle = connect(port, '127.0.0.1');
      idle.pause();
      idle.write(`POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      expect((await completion({ prompt: 'a', max_tokens: 2, temperature: 0 })).choices[0]?.text).to.equal('bc');
      idle.destroy();
    });

    it('an answer that takes too long is ended with 504', async () => {
      await start({ answerMs: 60, concurrency: 1 });
      expect(await refused(post({ prompt: 'a', n: 128, max_tokens: 63, temperature: 1 }))).to.include({ status: 504, code: 'timeout' });
    });

    it('a model that fails is a 500 for that request, told on the server\'s side', async () => {
      let isBroken = true;
      await start({}, { ...model, forward: (sequences) => (isBroken ? Promise.reject(new Error('no logits today')) : model.forward(sequences)) });
      expect(await refused(post({ prompt: 'a', logprobs: 1, echo: true, max_tokens: 1 }))).to.include({ status: 500 });
      expect(failures.splice(0)).to.deep.equal(['no logits today']);
      isBroken = false;
      expect((await completion({ prompt: 'a', logprobs: 1, echo: true, max_tokens: 1, temperature: 0 })).choices[0]?.text).to.equal('ab');
      expect(server.counts.failed).to.equal(1);
    });

    it('1,000 requests leave nothing behind', async () => {
      await start();
      for (let round = 0; round < 50; round++) {
        await Promise.all(Array.from({ length: 20 }, async () => { await (await post({ prompt: 'a', max_tokens: 1 })).arrayBuffer(); }));
      }
      expect(server.counts).to.include({ requests: 1000, failed: 0, promptTokens: 1000, newTokens: 1000 });
      expect(model.openSessions()).to.equal(0);
    });

    it('closing lets an answer under way end and refuses new ones', async () => {
      await start({ concurrency: 1 });
      const long = post({ prompt: 'a', n: 20, max_tokens: 40, temperature: 1 });
      while (server.load.running === 0) await new Promise((resolve) => { setTimeout(resolve, 1); });
      const closing = server.close();
      expect(await post({ prompt: 'b' }).then(({ status }) => status, () => 'closed')).to.be.oneOf([503, 'closed']);
      expect((await long).status).to.equal(200);
      await (await long).arrayBuffer();
      await closing;
      await start();
    });
  });
});

/** Sends bytes and returns all that comes back until the other side closes. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket: Socket = connect(port, '127.0.0.1', () => { socket.write(text); });
    socket.setEncoding('utf8');
    socket.on('data', (piece: string) => { answer += piece; });
    socket.on('close', () => { resolve(answer); });
    socket.on('error', reject);
  });
}
