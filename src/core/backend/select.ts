import * as tf from '@tensorflow/tfjs-core';

import { BackendError } from '../errors.js';
import { startCpu } from './cpu.js';
import './gradients.js';
import type { HalfReport } from './half-report.js';
import type { BackendCapabilities, StartedBackend } from './started.js';
import { messageOf } from './started.js';
import { startTensorflow } from './tensorflow.js';
import { startWasm } from './wasm.js';
import { prepareWebGpuHalf, startWebGpu } from './webgpu.js';

/** Every backend, in the order in which `auto` tries them. */
export const BACKENDS = ['webgpu', 'tensorflow', 'wasm', 'cpu'] as const;
export type ComputeBackend = (typeof BACKENDS)[number];

/** The backend that computes from now on. */
export interface BackendChoice {
  readonly name: ComputeBackend;
  readonly device: string;
  readonly capabilities: BackendCapabilities;
  /** Why this one. */ readonly reason: string;
}

/** One line of `bispik doctor`. */
export interface BackendProbe {
  readonly name: ComputeBackend;
  readonly available: boolean;
  /** Empty when it is not available. */ readonly device: string;
  readonly reason: string;
}

type Starters = Readonly<Record<ComputeBackend, () => Promise<StartedBackend>>>;

/** What a name given by the user starts; `webgpu` by name accepts an emulated adapter. */
const BY_NAME: Starters = {
  webgpu: () => startWebGpu({ allowSoftware: true }),
  tensorflow: () => startTensorflow(),
  wasm: startWasm,
  cpu: startCpu,
};

/** What `auto` starts: an emulated adapter would be slower than wasm. */
const BY_ITSELF: Starters = { ...BY_NAME, webgpu: () => startWebGpu({ allowSoftware: false }) };

export function isBackendName(name: string): name is ComputeBackend {
  return (BACKENDS as readonly string[]).includes(name);
}

/**
 * Starts a backend and makes it the active one of TensorFlow.js. `auto` takes the first that works of webgpu (hardware
 * only), tensorflow, wasm and cpu, and says why it passed over the others.
 * @throws BackendError when it does not work here; the suggestions are the backends that do.
 */
export async function selectBackend(name: string, starters?: Starters): Promise<BackendChoice> {
  if (name === 'auto') return firstThatWorks(starters ?? BY_ITSELF);
  if (!isBackendName(name)) {
    throw new BackendError(`there is no backend "${name}"; known: auto, ${BACKENDS.join(', ')}`, { suggestions: ['--backend auto'] });
  }
  try {
    const { device, capabilities } = await (starters ?? BY_NAME)[name]();
    return { name, device, capabilities, reason: capabilities.software ? 'chosen by name; the adapter is emulated on the CPU and slow' : 'chosen by name' };
  } catch (cause) {
    throw await unavailable(name, { cause, starters: starters ?? BY_ITSELF });
  }
}

async function firstThatWorks(starters: Starters): Promise<BackendChoice> {
  const passed: string[] = [];
  for (const name of BACKENDS) {
    try {
      const { device, capabilities } = await starters[name]();
      return { name, device, capabilities, reason: ['chosen by auto', ...passed].join('; ') };
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      passed.push(`not ${name}: ${error.message}`);
    }
  }
  throw new BackendError(`no backend works here: ${passed.join('; ')}`, { suggestions: ['npm install', 'npm run build'] });
}

async function unavailable(name: ComputeBackend, { cause, starters }: { cause: unknown; starters: Starters }): Promise<BackendError> {
  const remedies = cause instanceof BackendError ? cause.suggestions : [];
  const others = (await probe(BACKENDS.filter((other) => other !== name), starters)).filter(({ available }) => available);
  const works = others.map((other) => other.name);
  const message = `the ${name} backend does not work here: ${messageOf(cause)}; ${works.length === 0 ? 'none of the others does' : `${works.join(', ')} do`}`;
  return new BackendError(message, { cause, suggestions: [...new Set([...remedies, ...works.map((other) => `--backend ${other}`)])] });
}

/** Readies products of float16 inputs on a started backend, where it has them; see `withHalfProducts`. */
export async function prepareHalfProducts(name: ComputeBackend): Promise<HalfReport> {
  return name === 'webgpu' ? prepareWebGpuHalf() : { isReady: false, details: [`${name} multiplies in float32 only`] };
}

/** As `probeBackends`, and of a hardware adapter also what it offers for products of float16 inputs, verified: a matter of seconds. */
export async function explainBackends(): Promise<BackendProbe[]> {
  const probes = await probeBackends();
  return Promise.all(probes.map(async (found) => {
    if (found.name !== 'webgpu' || !found.available) return found;
    const { capabilities } = await startWebGpu({ allowSoftware: true });
    const details = capabilities.software ? ['float16 and matrix units are verified only when a run asks for them'] : (await prepareWebGpuHalf()).details;
    return { ...found, reason: [found.reason, ...details].join('; ') };
  }));
}

/** Starts every backend in turn and says of each whether and on what it computes; the active backend stays what it was. */
export async function probeBackends(starters: Starters = BY_NAME): Promise<BackendProbe[]> {
  return probe(BACKENDS, starters);
}

async function probe(names: readonly ComputeBackend[], starters: Starters): Promise<BackendProbe[]> {
  const active = tf.engine().backendName as string | undefined;
  const probes: BackendProbe[] = [];
  for (const name of names) {
    try {
      const { device, capabilities } = await starters[name]();
      const reason = capabilities.software ? 'works, emulated on the CPU: used only when chosen by name' : 'works';
      probes.push({ name, available: true, device, reason });
    } catch (error) {
      probes.push({ name, available: false, device: '', reason: messageOf(error) });
    }
  }
  if (active !== undefined && active !== '') await tf.setBackend(active);
  return probes;
}
