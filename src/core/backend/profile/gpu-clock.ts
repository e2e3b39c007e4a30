import type { GpuBackend } from '../webgpu-kernels/gpu.js';

/** A stretch of time on the GPU, on its own clock. */
export interface GpuSpan {
  /** Kernel that was recorded. */ readonly name: string;
  /** Nanoseconds since an unknown start. */ readonly beginNs: number;
  readonly endNs: number;
}

/** Measures what the GPU spends on the kernels recorded between `start` and `stop`. */
export interface GpuClock {
  /** From now on commands belong to this kernel; they get compute passes of their own. */ enter(name: string): void;
  leave(): void;
  /** Ends the measuring. @returns every pass, in the order of recording. */ stop(): Promise<GpuSpan[]>;
}

interface TimedDevice {
  createQuerySet(options: { type: 'timestamp'; count: number }): object;
  createBuffer(options: { size: number; usage: number }): TimedBuffer;
  createCommandEncoder(): TimedEncoder;
}
interface TimedBuffer {
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  destroy(): void;
}
interface TimedEncoder {
  beginComputePass(options?: { timestampWrites?: object }): object;
  resolveQuerySet(set: object, first: number, count: number, buffer: TimedBuffer, offset: number): void;
  copyBufferToBuffer(from: TimedBuffer, fromOffset: number, to: TimedBuffer, toOffset: number, bytes: number): void;
}

/** The most a query set may hold. */
const QUERIES = 4096;
/** GPUBufferUsage and GPUMapMode, fixed by the standard. */
const [MAP_READ, COPY_SRC, COPY_DST, QUERY_RESOLVE, READ] = [0x1, 0x4, 0x8, 0x200, 0x1];

/** Starts measuring, or null where the device has no timestamp queries. */
export function startGpuClock(backend: GpuBackend): GpuClock | null {
  if (!backend.device.features.has('timestamp-query')) return null;
  const device = backend.device as unknown as TimedDevice;
  const names: string[] = [];
  const sets: object[] = [];
  let current = 'other';
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  const finishPass = (): void => { backend.endComputePassEncoder(); };
  const timed = (): TimedEncoder => {
    const encoder = createCommandEncoder();
    const beginComputePass = encoder.beginComputePass.bind(encoder);
    Object.defineProperty(encoder, 'beginComputePass', {
      value: () => {
        const index = (2 * names.length) % QUERIES;
        if (index === 0) sets.push(device.createQuerySet({ type: 'timestamp', count: QUERIES }));
        names.push(current);
        return beginComputePass({ timestampWrites: { querySet: sets.at(-1), beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 } });
      },
    });
    return encoder;
  };
  submitRecorded(backend);
  Object.defineProperty(device, 'createCommandEncoder', { value: timed, configurable: true });
  return {
    enter: (name) => { finishPass(); current = name; },
    leave: () => { finishPass(); current = 'other'; },
    stop: async () => {
      submitRecorded(backend);
      delete (device as { createCommandEncoder?: unknown }).createCommandEncoder; // the class's own again
      const times: number[] = [];
      for (const set of sets) times.push(...await readQueries(device, backend, set));
      return names.map((name, i) => ({ name, beginNs: times[2 * i] as number, endNs: times[2 * i + 1] as number }));
    },
  };
}

function submitRecorded(backend: GpuBackend): void {
  if (backend.commandEncoder === null) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

async function readQueries(device: TimedDevice, { device: { queue } }: GpuBackend, set: object): Promise<number[]> {
  const size = 8 * QUERIES;
  const resolved = device.createBuffer({ size, usage: QUERY_RESOLVE | COPY_SRC });
  const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(set, 0, QUERIES, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
  (queue as unknown as { submit(commands: object[]): void }).submit([(encoder as unknown as { finish(): object }).finish()]);
  await staging.mapAsync(READ);
  const times = Array.from(new BigUint64Array(staging.getMappedRange()), Number);
  resolved.destroy();
  staging.destroy();
  return times;
}
