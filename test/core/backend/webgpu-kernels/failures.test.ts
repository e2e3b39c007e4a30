import { expect } from 'chai';

import { watchDevice } from '../../../../src/core/backend/webgpu-kernels/failures.js';
import type { GpuBackend } from '../../../../src/core/backend/webgpu-kernels/gpu.js';
import { BackendError } from '../../../../src/core/errors.js';

class GPUOutOfMemoryError { constructor(readonly message: string) {} }
class GPUValidationError { constructor(readonly message: string) {} }

/** A backend whose device fails when told to: what memory that runs out and a lost device look like cannot be had from a real one here. */
function standIn(): { backend: GpuBackend; report: (error: { message: string }) => void; lose: (reason: string, message: string) => void } {
  let listen: (event: object) => void = () => undefined;
  let lose: (loss: { reason: string; message: string }) => void = () => undefined;
  const backend = {
    device: {
      limits: { maxBufferSize: 1000 }, lost: new Promise((resolve) => { lose = resolve; }),
      addEventListener: (_type: string, listener: (event: object) => void) => { listen = listener; },
    },
    bufferManager: { acquireBuffer: (bytes: number) => { if (bytes === 999) throw new RangeError('no mapping'); return { size: bytes }; } },
    memory: () => ({ numBytesInGPU: 72_400_000 }), read: async () => [1, 2],
  } as unknown as GpuBackend;
  watchDevice(backend);
  return { backend, report: (error) => { listen({ error, preventDefault: () => undefined }); }, lose: (reason, message) => { lose({ reason, message }); } };
}

const failureOf = async ({ backend }: { backend: GpuBackend }): Promise<BackendError> => backend.read({}).then(() => { throw new Error('it was read'); }, (error: unknown) => error as BackendError);

describe('errors of a WebGPU device', () => {
  it('none: what is read arrives', async () => {
    expect(await standIn().backend.read({})).to.deep.equal([1, 2]);
  });

  it('memory that runs out says how much is in use and what to reduce', async () => {
    const device = standIn();
    device.report(new GPUOutOfMemoryError('Failed to allocate 4096 bytes\n'));
    device.report(new GPUValidationError('[Invalid Buffer] is invalid.')); // what follows from it
    const error = await failureOf(device);
    expect(error).to.be.instanceOf(BackendError).with.property('message', 'the device is out of memory with 72 MB of tensors on it: Failed to allocate 4096 bytes');
    expect(error.suggestions.join(' ')).to.match(/train\.batch.*train\.accumulate.*train\.context/);
  });

  it('memory that cannot be mapped is out of memory, too', () => {
    expect(() => standIn().backend.bufferManager.acquireBuffer(999, 0)).to.throw(BackendError, 'out of memory with 72 MB of tensors on it: no mapping');
  });

  it('a lost device fails reads, one that we destroyed does not', async () => {
    const lost = standIn();
    lost.lose('unknown', 'the driver was reset');
    expect((await failureOf(lost)).message).to.equal('the WebGPU device was lost: the driver was reset');
    const destroyed = standIn();
    destroyed.lose('destroyed', 'by us');
    expect(await destroyed.backend.read({})).to.deep.equal([1, 2]);
  });

  it('a command that is refused is named by the kernel it belongs to', async () => {
    const device = standIn();
    device.report(new GPUValidationError('Binding size is zero.\n - While validating [BindGroupDescriptor ""BispikLif""]'));
    expect((await failureOf(device)).message).to.match(/^the WebGPU kernel BispikLif failed: Binding size is zero/);
  });
});
