import type { BackendChoice, ComputeBackend } from '../backend/select.js';
import type { DistillConfig, TeacherConfig } from '../config/schema.js';
import { checkThreads, threadLimit } from '../engine/crew.js';
import { UsageError } from '../errors.js';
import type { Tokenizer } from '../tokenizer/load.js';
import type { PassRunner } from '../train/passes.js';
import { mixedRunner, soloRunner } from '../train/passes.js';
import { startReplicas } from '../train/replica-pool.js';
import type { TrainingTask } from '../train/task.js';
import type { Reporter } from '../types.js';

/** What a thread builds its copy of a task from; it reads the teacher's folder again, but no text. */
export type ReplicaPlan =
  | { readonly kind: 'distill'; readonly backend: ComputeBackend; readonly config: DistillConfig }
  | {
    readonly kind: 'teacher'; readonly backend: ComputeBackend; readonly config: TeacherConfig;
    readonly tokenizer: Pick<Tokenizer, 'vocabSize' | 'bosId' | 'eosId'>;
  };

/** Backends that compute in the thread that calls them, so that several threads compute more. */
const IN_THREAD: readonly ComputeBackend[] = ['wasm', 'cpu'];
/** More threads than this are used only when asked for: each has its own teacher, student and activations in memory. */
const DEFAULT_MAX_THREADS = 8;
/** Entry point of the threads: beside this file, or the built one where the sources run directly, since threads load JavaScript only. */
const ENTRY = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/src/core/pipeline/replica-worker.js' : './replica-worker.js', import.meta.url);

/** What decides how many threads a run may have. */
export interface ThreadUse {
  readonly backend: ComputeBackend;
  readonly accumulate: number;
  /** A profile sees the kernels of one thread only. */ readonly hasProfile: boolean;
}

/**
 * How many threads train: what the user wants, or one for every micro-batch of a step as far as there are cores.
 * @throws UsageError when more are wanted than there are cores, or several where they are of no use.
 */
export function trainingThreads(wanted: number | null, { backend, accumulate, hasProfile }: ThreadUse): number {
  if (wanted !== null) checkThreads(wanted);
  const isUseful = IN_THREAD.includes(backend) && !hasProfile;
  if (wanted === null) return isUseful ? Math.min(threadLimit(), accumulate, DEFAULT_MAX_THREADS) : 1;
  if (wanted === 1 || isUseful) return wanted;
  if (hasProfile) throw new UsageError(`--profile measures one thread; --threads ${wanted} was asked for as well`, { suggestions: ['--threads 1', 'Leave out --profile'] });
  throw new UsageError(`--threads ${wanted} is for training on ${IN_THREAD.join(' or ')}; this run computes on ${backend}`, { suggestions: ['Leave out --threads', '--set backend=wasm'] });
}

/** What `openRunner` needs to know. */
export interface RunnerOptions {
  readonly threads: number;
  readonly plan: ReplicaPlan;
  readonly backend: BackendChoice;
  readonly reporter: Reporter;
}

/** Who runs the micro-batches of a task; the caller disposes it. */
export function openRunner(task: TrainingTask, { threads, plan, backend, reporter }: RunnerOptions): PassRunner {
  if (plan.config.train.precision === 'mixed') return mixedRunner; // WebGPU: always one thread
  if (threads === 1) return soloRunner;
  const { accumulate } = plan.config.train;
  const idle = accumulate < threads ? `; with train.accumulate: ${accumulate} ${accumulate === 1 ? 'one trains' : `${accumulate} train`} and all validate` : '';
  reporter.notice(`${threads} threads share the micro-batches of a step${idle}`);
  return startReplicas(task, { entry: ENTRY, plan, threads, device: backend.device });
}
