/** Prints the README of a results folder of scripts/gpu-run.sh, from whatever files are in it: node dist/bench/gpu-readme.js FOLDER */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ChecksDocument, EnvironmentDocument, TorchDocument, WebGpuDocument } from './support/gpu-report.js';
import { renderGpuResults } from './support/gpu-report.js';

const folder = process.argv[2];
if (folder === undefined) throw new Error('a results folder is missing');

function read<Document>(file: string): Document | null {
  const path = join(folder as string, file);
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Document;
  } catch {
    return null; // a part that was stopped before it wrote anything
  }
}

const card = join(folder, 'nvidia-smi.txt');
process.stdout.write(renderGpuResults({
  commit: process.env['BISPIK_COMMIT'] ?? null,
  card: existsSync(card) ? readFileSync(card, 'utf8').trim() : null,
  environment: read<EnvironmentDocument>('environment.json'), checks: read<ChecksDocument>('checks.json'), webgpu: read<WebGpuDocument>('webgpu.json'), torch: read<TorchDocument>('torch.json'),
}));
