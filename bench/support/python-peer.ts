import { spawnSync } from 'node:child_process';

export const NO_TORCH = 'no Python with PyTorch found (Debian: apt-get install python3-torch libopenblas0; or name one in PYTHON)';

/** The first Python that has PyTorch: $PYTHON, python3, Debian's own. */
export function findPythonWithTorch(): string | null {
  const candidates = [process.env['PYTHON'] ?? 'python3', 'python3', '/usr/bin/python3'];
  return candidates.find((python) => spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0) ?? null;
}
