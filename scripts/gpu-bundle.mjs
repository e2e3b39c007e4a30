/**
 * Packs what a bare Linux machine (x86-64) with an NVIDIA card needs to check and measure the WebGPU backend, with no network and no Node.js:
 *   npm run bundle:gpu -- [--fast]           then carry the folder gpu-bundle/ there and run: bash gpu-bundle/gpu-run.sh RESULTS
 * In gpu-bundle/bispik-gpu.tar.xz: this Node.js, the compiled program, tests and benchmarks, the packages that they need, the PyTorch peer, and the
 * Vulkan loader with the libraries that NVIDIA's driver asks for (from Debian's archive, where apt-get is there). `--fast` compresses little.
 * Fails when the archive is over 64 MiB.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const MAX_BYTES = 64 * 2 ** 20;
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values: flags } = parseArgs({ options: { fast: { type: 'boolean', default: false }, out: { type: 'string', default: path.join(root, 'gpu-bundle') } } });
const target = path.resolve(flags.out);
const stage = path.join(target, 'bispik-gpu');
const app = path.join(stage, 'app');

/** Beside the program's own dependencies. */
const TEST_PACKAGES = ['mocha', 'chai', 'fast-check', 'webgpu'];
/** The loader, and what libGLX_nvidia.so.0, the driver, is linked with. */
const LIBRARIES = ['libvulkan1', 'libglvnd0', 'libgl1', 'libglx0', 'libegl1', 'libx11-6', 'libxext6', 'libxcb1', 'libxau6', 'libxdmcp6', 'libbsd0', 'libmd0'];
/** No program reads these. */
const IDLE = /\.(map|md|markdown|flow|d\.ts|d\.mts|d\.cts|tsbuildinfo)$/i;

const run = (program, args, options = {}) => execFileSync(program, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options });
const hasProgram = (name) => {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Whether a file of a package is copied. TensorFlow.js ships itself seven times over; its Node.js bundles and binaries are enough. */
function isWanted(name, folder, file) {
  const inner = path.relative(folder, file).split(path.sep).join('/');
  if (inner === '' || statSync(file).isDirectory()) return !IDLE.test(file) && inner !== 'node_modules' && !/^(wasm-out|src)$/.test(name.startsWith('@tensorflow/') ? inner : '');
  if (IDLE.test(file)) return false;
  if (name.startsWith('@tensorflow/')) return /^(package\.json|LICENSE)$|^dist\/[^/]+(\.node\.js|\.wasm)$/.test(inner);
  if (name === 'webgpu') return !inner.endsWith('.node') && !inner.endsWith('.dll') ? true : inner === 'dist/linux-x64/dawn.node';
  return true;
}

/** The folder that Node.js would find a package in, from the folder of the package that asks for it. */
function findPackage(name, from) {
  for (let folder = from; ; folder = path.dirname(folder)) {
    const found = path.join(folder, 'node_modules', name);
    if (existsSync(path.join(found, 'package.json'))) return found;
    if (folder === path.dirname(folder)) return null;
  }
}

/** Copies packages and what they depend on, each to the place it has here. @returns their names. */
function copyPackages(names) {
  const modules = realpathSync(path.join(root, 'node_modules'));
  const done = new Set();
  const queue = names.map((name) => ({ name, from: root, optional: name === 'webgpu' }));
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const found = findPackage(next.name, next.from);
    if (found === null) {
      if (next.optional || next.name.startsWith('@types/')) continue;
      throw new Error(`package ${next.name}, which ${next.from} needs, is not installed; run npm ci`);
    }
    const folder = realpathSync(found);
    if (done.has(folder) || next.name.startsWith('@types/') || next.name === '@webgpu/types') continue;
    done.add(folder);
    cpSync(folder, path.join(app, 'node_modules', path.relative(modules, folder)), { recursive: true, filter: (file) => isWanted(next.name, folder, file) });
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
    for (const name of Object.keys(dependencies)) queue.push({ name, from: folder, optional: name in optionalDependencies });
  }
  return [...done].map((folder) => path.relative(modules, folder)).sort();
}

/** The loader and its company, as files in lib/. @returns their names; empty without Debian's tools. */
function copyLibraries() {
  const folder = path.join(stage, 'lib');
  mkdirSync(folder);
  if (!hasProgram('apt-get') || !hasProgram('dpkg')) return [];
  const packages = path.join(target, 'debian');
  mkdirSync(packages, { recursive: true });
  for (const name of LIBRARIES) {
    try {
      run('apt-get', ['-q', 'download', name], { cwd: packages, stdio: 'ignore' });
    } catch {
      process.stderr.write(`${name} cannot be downloaded here: the machine must have it\n`);
    }
  }
  for (const file of readdirSync(packages)) run('dpkg', ['-x', file, 'unpacked'], { cwd: packages });
  const libraries = existsSync(path.join(packages, 'unpacked')) ? readdirSync(path.join(packages, 'unpacked'), { recursive: true }).filter((file) => /\.so\.\d+$/.test(file)) : [];
  for (const file of libraries) cpSync(realpathSync(path.join(packages, 'unpacked', file)), path.join(folder, path.basename(file)));
  rmSync(packages, { recursive: true });
  return readdirSync(folder);
}

rmSync(target, { recursive: true, force: true });
mkdirSync(app, { recursive: true });
run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json', '--noCheck', '--outDir', path.join(app, 'dist'), '--declaration', 'false', '--sourceMap', 'false', '--incremental', 'false', '--tsBuildInfoFile', 'null']);
for (const folder of ['dist/kernels', 'configs', 'assets', 'bin', 'package.json', 'LICENSE']) cpSync(path.join(root, folder), path.join(app, folder), { recursive: true });
cpSync(path.join(root, 'test/fixtures'), path.join(app, 'dist/test/fixtures'), { recursive: true });
cpSync(path.join(root, 'bench/peers'), path.join(stage, 'peers'), { recursive: true, filter: (file) => !file.endsWith('.ts') && !file.endsWith('__pycache__') });
const packages = copyPackages([...Object.keys(JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).dependencies), ...TEST_PACKAGES]);
const libraries = copyLibraries();
const node = path.join(stage, 'node');
cpSync(realpathSync(process.execPath), node);
if (hasProgram('strip')) run('strip', [node]);
chmodSync(node, 0o755);
const isClean = run('git', ['status', '--porcelain', '--untracked-files=no']).trim() === '';
writeFileSync(path.join(stage, 'commit'), `${run('git', ['rev-parse', 'HEAD']).trim()}${isClean ? '' : ' with changes'}\n`);
for (const folder of [stage, target]) cpSync(path.join(root, 'scripts/gpu-run.sh'), path.join(folder, 'gpu-run.sh'));

const archive = path.join(target, 'bispik-gpu.tar.xz');
run('tar', ['-cJf', archive, '-C', target, 'bispik-gpu'], { env: { ...process.env, XZ_OPT: flags.fast ? '-0 -T0' : '-6 -T0' } });
rmSync(stage, { recursive: true });
const { size } = statSync(archive);
process.stdout.write(`${archive}: ${(size / 2 ** 20).toFixed(1)} MiB; ${packages.length} packages; libraries ${libraries.length === 0 ? 'none' : libraries.join(', ')}\n`);
if (size >= MAX_BYTES) throw new Error(`${archive} has ${size} bytes, ${size - MAX_BYTES} too many: leave --fast out, or find what grew with tar -tvf`);
