import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';

import { probeBackends } from '../../src/core/backend/select.js';

const SETTING = fileURLToPath(new URL('../../bench/support/gpu-setting.ts', import.meta.url));

interface Kernels { readonly kernels: readonly { readonly kernel: string; readonly operations: number }[] }
interface Counts { readonly batch: number; readonly dispatches: number; readonly boundBytes: number; readonly kernelBytes: number; readonly operations: number; readonly peakUsedBytes: number }

/** Steps of a small student, on the adapter of this machine or on none, the limits of the device, and the operations of each kernel in the first of them. */
function countSteps(flags: readonly string[]): { limits: object; counts: Counts[]; operations: Record<string, number> } {
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', SETTING, '--heads', '2', '--seconds-per-batch', '0.1', ...flags], { encoding: 'utf8' });
  const [first, ...rest] = stdout.trim().split('\n');
  if (rest.length === 0) throw new Error(stderr);
  const lines = rest.map((line) => JSON.parse(line) as Counts & Partial<Kernels> & { readonly profile?: Kernels; readonly error?: string });
  const { limits } = JSON.parse(first as string) as { limits: object };
  const counts = lines.map(({ error, batch, dispatches, boundBytes, kernelBytes, operations, peakUsedBytes }) => {
    if (error !== undefined) throw new Error(error);
    return { batch, dispatches, boundBytes, kernelBytes, operations, peakUsedBytes };
  });
  const [step] = lines;
  const kernels = step?.kernels ?? step?.profile?.kernels ?? [];
  return { limits, counts, operations: Object.fromEntries(kernels.map(({ kernel, operations }) => [kernel, operations])) };
}

describe('steps counted on a device that does nothing', function () {
  this.timeout(180_000);

  it('are those of a real device: dispatches, bytes, operations and peak memory', async function () {
    if (!(await probeBackends()).some(({ name, available }) => name === 'webgpu' && available)) this.skip();
    const shape = ['--layers', '1', '--hidden-size', '16', '--vocab-size', '61', '--context', '13', '--time-steps', '3', '--batches', '2,3', '--recompute', 'blocks'];
    const real = countSteps(shape);
    const dry = countSteps([...shape, '--dry', '--device-limits', JSON.stringify(real.limits)]);
    expect(real.counts).to.have.length(2);
    // Numbers that were read back, such as a loss, still lie on a real device: some bytes.
    const withoutMemory = ({ counts }: typeof real): object[] => counts.map((count) => ({ ...count, peakUsedBytes: 0 }));
    expect(withoutMemory(dry)).to.deep.equal(withoutMemory(real));
    dry.counts.forEach(({ peakUsedBytes }, i) => { expect(peakUsedBytes / real.counts[i]!.peakUsedBytes).to.be.closeTo(1, 1e-3); });
  });

  it('can be bound by an adapter that has no more than WebGPU guarantees, 128 MiB a binding: embedding, logits and activations of 125M', () => {
    const { counts } = countSteps([
      '--dry', '--device-limits', JSON.stringify({ maxStorageBufferBindingSize: 2 ** 27 }), '--presets', 'practical', '--layers', '1', '--heads', '12', '--batches', '8,16', '--time-steps', '4',
      '--recompute', 'blocks', '--precision', 'float32',
    ]);
    expect(counts.map(({ batch }) => batch)).to.deep.equal([8, 16]);
    for (const { peakUsedBytes } of counts) expect(peakUsedBytes).to.be.above(2 ** 30);
  });

  it('have the operations of the products, counted by hand', () => {
    const [D, F, V, L, B, T, layers] = [8, 32, 50, 8, 2, 2, 2];
    const { operations } = countSteps([
      '--presets', 'practical', '--layers', String(layers), '--hidden-size', String(D), '--vocab-size', String(V), '--context', String(L), '--time-steps', String(T),
      '--batches', String(B), '--recompute', 'none', '--dry',
    ]);
    const tokens = B * L;
    const student = 2 * T * tokens * layers * (2 * D * 3 * D + D * D + 2 * D * F + F * D); // on/off pairs enter qkv and fc1
    const teacher = 2 * tokens * layers * (4 * D * D + 2 * D * F);
    const head = 2 * tokens * D * V;
    expect(operations['BispikSpikeMatMul'], 'forward').to.equal(student);
    expect(operations['BispikSpikeMatMulGradW'], 'towards weights').to.equal(student);
    // Towards spikes; the teacher; logits of both; from logits towards states and towards the head.
    expect((operations['BatchMatMul'] ?? 0) + (operations['_FusedMatMul'] ?? 0), 'dense').to.equal(student + teacher + 4 * head);
  });
});
