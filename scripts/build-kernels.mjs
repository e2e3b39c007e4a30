/**
 * Compiles assembly/ to dist/kernels/training.wasm. Does nothing when the sources, the compiler and the options are those of the
 * last build (a hash beside the binary says so). `--force` compiles anyway.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const sourceFolder = path.join(root, 'assembly');
const binaryPath = path.join(root, 'dist', 'kernels', 'training.wasm');
const hashPath = `${binaryPath}.sources`;

/** No runtime, no memory of its own, no relaxed SIMD: raw pointers into the heap of the TensorFlow.js module, same bits everywhere. */
const options = ['--runtime', 'stub', '--importMemory', '--enable', 'simd', '--noAssert', '-O3', '--converge', '--noColors'];

const compilerVersion = createRequire(import.meta.url)('assemblyscript/package.json').version;

async function hashSources() {
  const names = (await readdir(sourceFolder)).filter((name) => name.endsWith('.ts')).sort();
  const hash = createHash('sha256').update(`${compilerVersion}\n${options.join(' ')}\n`);
  for (const name of names) hash.update(`${name}\n`).update(await readFile(path.join(sourceFolder, name)));
  return hash.digest('hex');
}

async function isCurrent(hash) {
  try {
    await readFile(binaryPath);
    return (await readFile(hashPath, 'utf8')).trim() === hash;
  } catch {
    return false;
  }
}

/** A data segment would be written over memory that TensorFlow.js owns. */
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

async function compile() {
  const { default: asc } = await import('assemblyscript/asc');
  const outputs = new Map();
  const { error, stderr } = await asc.main(['assembly/index.ts', '--baseDir', root, '--outFile', 'training.wasm', ...options], {
    readFile: async (name, base) => readFile(path.resolve(base, name), 'utf8').catch(() => null),
    writeFile: (name, contents) => { outputs.set(name, contents); },
    listFiles: () => null,
  });
  if (error) throw new Error(`the kernels do not compile:\n${stderr.toString()}`);
  const binary = outputs.get('training.wasm');
  if (binary === undefined) throw new Error('the compiler wrote no binary');
  return Buffer.from(binary);
}

const hash = await hashSources();
if (!process.argv.includes('--force') && (await isCurrent(hash))) {
  process.stderr.write('kernels: up to date\n');
} else {
  const binary = await compile();
  assertNoData(binary);
  await mkdir(path.dirname(binaryPath), { recursive: true });
  const temporary = `${binaryPath}.${process.pid}`;
  await writeFile(temporary, binary);
  await rename(temporary, binaryPath);
  await writeFile(hashPath, `${hash}\n`);
  process.stderr.write(`kernels: ${path.relative(root, binaryPath)} (${binary.length} bytes)\n`);
}
