/**
 * Compiles assembly/ to dist/kernels/: the kernels of training, once more with relaxed SIMD for its fused multiply-add, those of the
 * inference engine, and these once more for a memory that threads share. Does nothing when the sources, the compiler and the options
 * are those of the last build (a hash beside the binaries says so). `--force` compiles anyway.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const sourceFolder = path.join(root, 'assembly');
const binaryFolder = path.join(root, 'dist', 'kernels');
const hashPath = path.join(binaryFolder, 'sources.sha256');

/** No runtime and no memory of its own: raw pointers into the heap of the TensorFlow.js module, or into the engine's memory. */
const options = ['--runtime', 'stub', '--importMemory', '--enable', 'simd', '--noAssert', '-O3', '--converge', '--noColors'];

/** What a shared memory must say of itself: one page at first, 4 GiB at most. */
const shared = ['--enable', 'threads', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'];

/** All but the fused one give the same bits everywhere; what that gives depends on the processor, so the program tries it before use. */
const binaries = [
  { name: 'training.wasm', entry: 'assembly/training/index.ts', options },
  { name: 'training-fused.wasm', entry: 'assembly/training/index.ts', options: [...options, '--enable', 'relaxed-simd'] },
  { name: 'engine.wasm', entry: 'assembly/engine/index.ts', options },
  { name: 'engine-threads.wasm', entry: 'assembly/engine/index-threads.ts', options: [...options, ...shared] },
];

const compilerVersion = createRequire(import.meta.url)('assemblyscript/package.json').version;

async function hashSources() {
  const names = (await readdir(sourceFolder, { recursive: true })).filter((name) => name.endsWith('.ts')).sort();
  const hash = createHash('sha256').update(`${compilerVersion}\n${JSON.stringify(binaries)}\n`);
  for (const name of names) hash.update(`${name}\n`).update(await readFile(path.join(sourceFolder, name)));
  return hash.digest('hex');
}

async function isCurrent(hash) {
  try {
    for (const { name } of binaries) await readFile(path.join(binaryFolder, name));
    return (await readFile(hashPath, 'utf8')).trim() === hash;
  } catch {
    return false;
  }
}

if (process.version.startsWith('v20.')) v8.setFlagsFromString('--experimental-wasm-relaxed-simd'); // later versions need no flag

/** A data segment would be written over memory that others own. */
function assertNoData(binary) {
  const module = new WebAssembly.Module(binary);
  const foreign = WebAssembly.Module.imports(module).filter((entry) => entry.kind !== 'memory');
  if (foreign.length > 0) throw new Error(`the kernels import more than a memory: ${JSON.stringify(foreign)}`);
  if (sectionIds(binary).includes(11)) throw new Error('the kernels contain static data, which would overwrite the heap they share');
}

function sectionIds(binary) {
  const ids = [];
  let at = 8;
  while (at < binary.length) {
    ids.push(binary[at++]);
    let size = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      const byte = binary[at++];
      size += (byte & 127) * 2 ** shift;
      more = byte > 127;
    }
    at += size;
  }
  return ids;
}

async function compile({ name, entry, options }) {
  const { default: asc } = await import('assemblyscript/asc');
  const outputs = new Map();
  const { error, stderr } = await asc.main([entry, '--baseDir', root, '--outFile', name, ...options], {
    readFile: async (file, base) => readFile(path.resolve(base, file), 'utf8').catch(() => null),
    writeFile: (file, contents) => { outputs.set(file, contents); },
    listFiles: () => null,
  });
  if (error) throw new Error(`the kernels do not compile:\n${stderr.toString()}`);
  const binary = outputs.get(name);
  if (binary === undefined) throw new Error('the compiler wrote no binary');
  return Buffer.from(binary);
}

const hash = await hashSources();
if (!process.argv.includes('--force') && (await isCurrent(hash))) {
  process.stderr.write('kernels: up to date\n');
} else {
  await mkdir(binaryFolder, { recursive: true });
  for (const target of binaries) {
    const binary = await compile(target);
    assertNoData(binary);
    const file = path.join(binaryFolder, target.name);
    const temporary = `${file}.${process.pid}`;
    await writeFile(temporary, binary);
    await rename(temporary, file);
    process.stderr.write(`kernels: ${path.relative(root, file)} (${binary.length} bytes)\n`);
  }
  await writeFile(hashPath, `${hash}\n`);
}
