// The whole path with the real program: distil the built-in teacher, evaluate, generate, and say what happened.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const bin = path.join(root, 'bin', 'run.js');
const folder = path.join(root, 'runs', 'quickstart');

/** Runs one command with progress shown; returns the document it prints. Ends the quickstart with the command's exit code when it fails. */
function bispik(title, args) {
  process.stderr.write(`\n${title}\n$ bispik ${args.map((arg) => (/^[\w./:=-]+$/.test(arg) ? arg : JSON.stringify(arg))).join(' ')}\n`);
  const { status, stdout } = spawnSync(process.execPath, [bin, ...args, '--json'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) {
    process.stderr.write(`${stdout}\nThe quickstart stopped: that command failed.\n`);
    process.exit(status ?? 1);
  }
  return JSON.parse(stdout);
}

/** A text that no model here has seen: stories the grammar writes from another seed. Returns its information content in nats. */
async function writeUnseenStories(file) {
  const { writeStories } = await import('../dist/src/core/corpus/stories.js');
  const { text, choicesNats } = writeStories({ seed: 2, count: 200 });
  writeFileSync(file, text);
  return choicesNats;
}

const percent = (ratio) => `${(100 * ratio).toFixed(1)} %`;
const nats = ({ nll }) => nll.toFixed(3);
const scratch = mkdtempSync(path.join(tmpdir(), 'bispik-quickstart-'));
try {
  rmSync(folder, { recursive: true, force: true });
  const beganMs = performance.now();
  const valid = path.join(scratch, 'valid.txt');
  const trueNats = await writeUnseenStories(valid);
  const run = bispik('1. Distil the built-in teacher into a spiking student', ['distill', '--config', 'configs/distill/stories.yaml', '--set', 'run=runs/quickstart']);
  const measured = bispik('2. Measure both on stories they have not seen', ['eval', run.student, '--data', valid]);
  const prompt = readFileSync(valid, 'utf8').split(/\s+/).slice(0, 3).join(' ');
  const written = bispik('3. Let the student write', ['generate', run.student, '--prompt', prompt, '--max-new-tokens', '60', '--temperature', '0.7', '--seed', '7']);
  process.stdout.write([
    '',
    `1. A dense teacher became a student in which every matrix input is 0 or 1: ${run.steps} steps on ${run.backend}, ${Math.round((performance.now() - beganMs) / 1000)} s in all.`,
    `2. Its loss on unseen stories is ${nats(measured.student)} nats per token: teacher ${nats(measured.teacher)}, bigram ${nats(measured.bigram)}, unigram ${nats(measured.unigram)}; no model can beat ${nats({ nll: trueNats / measured.tokens })}.`,
    `3. Its neurons fire ${percent(measured.student.firingRate)} of the time; its blocks cost ${percent(measured.student.energy.ratioBlocks)} of the dense energy (${percent(measured.student.energy.ratioWithHead)} with the output head).`,
    `4. It writes: ${prompt}${written.text.replaceAll(/\s+/g, ' ')}`,
    `5. It lies in ${path.relative(process.cwd(), run.student)}; more of it: node bin/run.js generate ${path.relative(process.cwd(), run.student)} --prompt ${JSON.stringify(prompt)} --seed 8`,
    '',
  ].join('\n'));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
