import type { EngineShape } from './engine-shapes.js';
import type { Machine } from './machine.js';

/** The parts of the results of scripts/gpu-run.sh that are put into words. */
export interface EnvironmentDocument {
  readonly name: string;
  readonly machine: Machine;
  readonly device: { readonly features: readonly string[]; readonly limits: Readonly<Record<string, number>> };
}
export interface ChecksDocument {
  readonly passes: number;
  readonly pending: number;
  readonly failures: number;
  readonly notRun: number;
  readonly files: readonly { readonly file: string; readonly failures?: readonly { readonly test: string; readonly message: string }[]; readonly notRun?: string }[];
}
interface WebGpuBatch {
  readonly batch: number;
  readonly error?: string;
  readonly tokensPerSecond?: number;
  readonly stepMs?: { readonly min: number; readonly median: number; readonly max: number };
  readonly dispatches?: number;
  readonly boundBytes?: number;
  readonly operations?: number;
  readonly peakAllocatedBytes?: number;
  readonly cardBytes?: number | null;
  readonly profile?: { readonly utilisation: number; readonly largestGap: { readonly ms: number; readonly after: string; readonly before: string } | null };
}
export interface WebGpuDocument {
  readonly shape: EngineShape;
  readonly context: number;
  readonly set: readonly string[];
  readonly students: readonly {
    readonly preset: string; readonly timeSteps: number; readonly recompute: string; readonly precision: string; readonly cutOff: boolean; readonly failed: string | null;
    readonly device: { readonly device: string; readonly peak: { readonly operationsPerSecond: number; readonly bytesPerSecond: number } | null } | null;
    readonly batches: readonly WebGpuBatch[];
  }[];
}
interface TorchBatch {
  readonly batch: number;
  readonly error?: string;
  readonly tokensPerSecond?: number;
  readonly stepMs?: { readonly min: number; readonly median: number; readonly max: number };
  readonly maxAllocatedBytes?: number | null;
}
export interface TorchDocument {
  readonly implementation: string;
  readonly device: string;
  readonly students: readonly { readonly timeSteps: number; readonly mode: string; readonly batches: readonly TorchBatch[]; readonly skipped?: string; readonly failed?: string }[];
}
export interface GpuResults {
  readonly commit: string | null;
  /** What nvidia-smi said of the card. */ readonly card: string | null;
  readonly environment: EnvironmentDocument | null;
  readonly checks: ChecksDocument | null;
  readonly webgpu: WebGpuDocument | null;
  readonly torch: TorchDocument | null;
}

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string[] => [heads, heads.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
const gigabytes = (bytes: number | null | undefined): string => (bytes == null ? '–' : `${(bytes / 1e9).toPrecision(3)} GB`);
const times = (ms: WebGpuBatch['stepMs']): string => (ms === undefined ? '–' : `${ms.median.toFixed(1)} (${ms.min.toFixed(1)}–${ms.max.toFixed(1)})`);
const round = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(0));
const scientific = (value: number | undefined, unit: string): string => (value === undefined ? '–' : `${(value / 1e12).toPrecision(3)} ${unit}`);

/** The fastest PyTorch result at one number of time steps and one batch. */
function fastestPeer(torch: TorchDocument | null, timeSteps: number, batch: number): { mode: string; tokensPerSecond: number } | null {
  const found = (torch?.students ?? []).filter((student) => student.timeSteps === timeSteps).flatMap(({ mode, batches }) =>
    batches.flatMap((one) => (one.batch === batch && one.tokensPerSecond !== undefined ? [{ mode, tokensPerSecond: one.tokensPerSecond }] : [])));
  return found.sort((a, b) => b.tokensPerSecond - a.tokensPerSecond)[0] ?? null;
}

function webgpuRows({ webgpu, torch }: GpuResults): string[][] {
  return (webgpu?.students ?? []).flatMap(({ preset, timeSteps, recompute, precision, batches, failed }) => [
    ...batches.map((one) => {
      const peer = fastestPeer(torch, timeSteps, one.batch);
      const gap = one.profile?.largestGap ?? null;
      return [
        `${preset}, T ${timeSteps}, recompute ${recompute}, ${precision}`, String(one.batch), one.error ?? round(one.tokensPerSecond), times(one.stepMs), gigabytes(one.peakAllocatedBytes), gigabytes(one.cardBytes),
        round(one.dispatches), gigabytes(one.boundBytes), scientific(one.operations, 'T'),
        one.profile === undefined ? '–' : `${(100 * one.profile.utilisation).toFixed(0)} %`, gap === null ? '–' : `${gap.ms.toFixed(2)} ms, ${gap.after} to ${gap.before}`,
        peer === null || one.tokensPerSecond === undefined ? '–' : `${(one.tokensPerSecond / peer.tokensPerSecond).toFixed(2)} (${peer.mode})`,
      ];
    }),
    ...(failed === null ? [] : [[`${preset}, T ${timeSteps}, recompute ${recompute}, ${precision}`, '–', failed, ...Array.from({ length: 9 }, () => '–')]]),
  ]);
}

const WEBGPU_HEADS = [
  'student', 'batch', 'tokens/s', 'step, ms (min–max)', 'most allocated', 'card in use', 'dispatches', 'bytes bound', 'operations', 'GPU busy', 'largest gap', '÷ fastest PyTorch',
];

function torchRows({ torch }: GpuResults): string[][] {
  return (torch?.students ?? []).flatMap(({ timeSteps, mode, batches, skipped, failed }) => [
    ...batches.map((one) => [`T ${timeSteps}, ${mode}`, String(one.batch), one.error ?? round(one.tokensPerSecond), times(one.stepMs), gigabytes(one.maxAllocatedBytes)]),
    ...[skipped, failed].flatMap((why) => (why === undefined ? [] : [[`T ${timeSteps}, ${mode}`, '–', why, '–', '–']])),
  ]);
}

function checkLines({ checks }: GpuResults): string[] {
  if (checks === null) return ['Kernel checks: not run.'];
  const failures = checks.files.flatMap(({ failures: found = [] }) => found.map(({ test, message }) => `- ${test}: ${message.split('\n')[0]}`));
  const missing = checks.files.flatMap(({ file, notRun }) => (notRun === undefined ? [] : [`- ${file}: ${notRun}`]));
  return [
    `Kernel checks on this adapter: ${checks.passes} passed, ${checks.failures} failed, ${checks.pending} pending; ${checks.notRun} of the files not run.`, ...(failures.length + missing.length > 0 ? ['', ...failures, ...missing] : []),
  ];
}

/** The README of a results folder: what was run, on what, and the numbers side by side; parts that are missing are said to be. */
export function renderGpuResults(results: GpuResults): string {
  const { card, environment, webgpu, torch } = results;
  const { shape } = webgpu ?? {};
  const peak = webgpu?.students.find(({ device }) => device?.peak != null)?.device?.peak;
  return [
    '# Distillation steps on a GPU', '',
    `Card: ${card ?? 'unknown'}. Adapter: ${environment?.name ?? 'none was found'}; features ${environment?.device.features.join(', ') ?? '–'}.`,
    `Host: ${environment === null ? 'unknown' : `${environment.machine.processor}, ${environment.machine.cores} cores, Node.js ${environment.machine.node}`}. Commit ${results.commit ?? 'unknown'}.`,
    ...(shape === undefined ? [] : [`Student and teacher: D ${shape.hiddenSize}, ${shape.layers} layers, ${shape.heads} heads, F ${shape.feedForwardSize}, V ${shape.vocabSize}; context ${webgpu?.context}; random weights and tokens; further keys ${webgpu?.set.join(' ') || 'none'}.`]),
    ...(peak == null ? [] : [`Measured at most: ${scientific(peak.operationsPerSecond, 'TFLOP/s')} in a float32 product of our own, ${scientific(peak.bytesPerSecond, 'TB/s')} adding two vectors.`]),
    '', ...checkLines(results), '', '## WebGPU', '', ...table(WEBGPU_HEADS, webgpuRows(results)), '',
    `## ${torch?.implementation ?? 'PyTorch: not run'}`, '', ...(torch === null ? [] : table(['student', 'batch', 'tokens/s', 'step, ms (min–max)', 'most allocated'], torchRows(results))), '',
  ].join('\n');
}
