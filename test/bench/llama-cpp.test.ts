import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'chai';

import { writeGguf } from '../../bench/peers/gguf-file.js';
import { findLlama, runLlama } from '../../bench/peers/llama-cpp.js';
import { withTempFolder } from '../support/temp-folder.js';

const SHAPE = { hiddenSize: 64, layers: 2, heads: 2, feedForwardSize: 96, vocabSize: 50, contextLength: 16 };
const RUN = { gguf: 'model.gguf', prompt: 128, tokens: 64, threads: 2, repeats: 3 };

/** A program that prints as llama-bench does, and keeps what it was asked. */
async function fakeBench(folder: string, entries: unknown): Promise<string> {
  const program = join(folder, 'llama-bench');
  await writeFile(program, `#!/usr/bin/env node\nrequire('fs').writeFileSync(__dirname + '/asked', process.argv.slice(2).join(' '));\nprocess.stdout.write(${JSON.stringify(JSON.stringify(entries))});\n`);
  await chmod(program, 0o755);
  return program;
}

describe('llama.cpp (benchmark peer)', () => {
  it('is asked with its own options and its rates are read', async () => {
    await withTempFolder(async (folder) => {
      const program = await fakeBench(folder, [
        { n_prompt: 128, n_gen: 0, samples_ts: [400, 410], build_commit: 'abc', cpu_info: 'A processor' },
        { n_prompt: 0, n_gen: 64, samples_ts: [90, 91] },
      ]);
      const found = findLlama({ bench: program, library: null });
      expect(found).to.deep.equal([program]);
      expect(await runLlama(found as string[], RUN)).to.deep.equal({ prefill: [400, 410], decode: [90, 91], processor: null, implementation: 'abc, A processor' });
      expect(await readFile(join(folder, 'asked'), 'utf8')).to.equal('-m model.gguf -p 128 -n 64 -t 2 -r 3 -o json');
    });
  });

  it('refuses output without both results', async () => {
    await withTempFolder(async (folder) => {
      const program = await fakeBench(folder, [{ n_prompt: 512, n_gen: 0, samples_ts: [1] }]);
      const refused = await runLlama([program], RUN).then(() => '', (error: Error) => error.message);
      expect(refused).to.include('no results for -p 128 -n 64');
    });
  });

  it('the shared libraries stand in where there is no llama-bench', () => {
    const [, script = '', library] = findLlama({ bench: null, library: '/opt/llama' }) as string[];
    expect(script.endsWith('bench/peers/llama_library.py')).to.equal(true);
    expect(library).to.equal('/opt/llama');
  });

  for (const { format, code, blockBytes } of [{ format: 'q8_0', code: 8, blockBytes: 34 }, { format: 'q4_0', code: 2, blockBytes: 18 }] as const) {
    it(`a ${format} file has every tensor of the shape where its table says`, async () => {
      await withTempFolder(async (folder) => {
        const file = join(folder, 'model.gguf');
        await writeGguf(file, SHAPE, format);
        const { tensors, size, start } = readGguf(await readFile(file));
        expect(tensors.size).to.equal(4 + 12 * SHAPE.layers);
        expect(tensors.get('token_embd.weight')).to.deep.include({ extents: [64, 50], type: code, offset: 0 });
        expect(tensors.get('blk.1.ffn_down.weight')).to.deep.include({ extents: [96, 64], type: code });
        expect(tensors.get('blk.0.attn_qkv.bias')).to.deep.include({ extents: [192], type: 0 });
        const next = tensors.get('position_embd.weight')?.offset;
        expect(next).to.equal(Math.ceil(((64 * 50) / 32) * blockBytes / 32) * 32);
        expect(size - start).to.equal(Math.max(...[...tensors.values()].map(({ offset }) => offset)) + 4 * 64);
      });
    });
  }
});

interface Table { readonly tensors: ReadonlyMap<string, { extents: number[]; type: number; offset: number }>; readonly size: number; /** Of the tensors' bytes. */ readonly start: number }

/** Reads a GGUF header that has only strings, 32-bit numbers and 32-bit floats. */
function readGguf(bytes: Buffer): Table {
  let at = 8;
  const uint32 = (): number => bytes.readUInt32LE((at += 4) - 4);
  const uint64 = (): number => Number(bytes.readBigUInt64LE((at += 8) - 8));
  const text = (): string => {
    const length = uint64();
    return bytes.toString('utf8', at, (at += length));
  };
  expect(bytes.toString('latin1', 0, 4)).to.equal('GGUF');
  expect(bytes.readUInt32LE(4)).to.equal(3);
  const [tensorCount, keyCount] = [uint64(), uint64()];
  for (let i = 0; i < keyCount; i++) {
    text();
    if (uint32() === 8) text();
    else at += 4;
  }
  const tensors = new Map<string, { extents: number[]; type: number; offset: number }>();
  for (let i = 0; i < tensorCount; i++) {
    const name = text();
    const extents = Array.from({ length: uint32() }, () => uint64());
    tensors.set(name, { extents, type: uint32(), offset: uint64() });
  }
  return { tensors, size: bytes.length, start: Math.ceil(at / 32) * 32 };
}
