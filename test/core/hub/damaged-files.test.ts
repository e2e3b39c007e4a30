import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BispikError } from '../../../src/core/errors.js';
import { openSafetensors } from '../../../src/core/hub/safetensors.js';
import type { TensorMap } from '../../../src/core/hub/tensor-map.js';
import { openTorchFile } from '../../../src/core/hub/torch-file.js';
import { stateDictPickle, torchArchive } from '../../support/pickle-bytes.js';
import { floatBytes, safetensorsBytes, SOUND_DATA, SOUND_HEADER } from '../../support/safetensors-bytes.js';

/** Whatever happens to its bytes, a file is read or refused with one of our errors: no crash, no hang. */
describe('hub: damaged weight files', () => {
  let folder: string;
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'bispik-damage-')); });
  after(() => rm(folder, { recursive: true }));

  const pickle = stateDictPickle([{ name: 'a', storage: { type: 'FloatStorage', key: '0', elements: 6 }, offset: 0, shape: [2, 3], strides: [3, 1] }]);
  const FILES: readonly (readonly [name: string, sound: Uint8Array, open: (path: string) => Promise<TensorMap>])[] = [
    ['safetensors', safetensorsBytes(SOUND_HEADER, SOUND_DATA), openSafetensors],
    ['torch archive', torchArchive(pickle, { 0: floatBytes(1, 2, 3, 4, 5, 6) }), openTorchFile],
    ['torch archive, deflated zip64', torchArchive(pickle, { 0: floatBytes(1, 2, 3, 4, 5, 6) }, { deflate: true, zip64: true }), openTorchFile],
  ];

  for (const [name, sound, open] of FILES) {
    it(`${name}: 150 seeded damages`, async () => {
      const path = join(folder, 'file');
      const byte = fc.tuple(fc.nat(sound.length - 1), fc.nat(255));
      const damage = fc.record({ changes: fc.array(byte, { minLength: 1, maxLength: 4 }), cut: fc.option(fc.nat(sound.length), { freq: 4 }) });
      await fc.assert(fc.asyncProperty(damage, async ({ changes, cut }) => {
        const bytes = sound.slice(0, cut ?? sound.length);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        await writeFile(path, bytes);
        try {
          for (const entry of (await open(path)).values()) await entry.readFloat32();
        } catch (error) {
          if (!(error instanceof BispikError)) throw error;
        }
      }), { numRuns: 150, seed: 2605 });
    });
  }
});
