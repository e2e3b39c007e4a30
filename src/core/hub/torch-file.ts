import { FormatError } from '../errors.js';
import { fileSize, readFileRange } from './file-bytes.js';
import { FOREIGN_HEAD_BYTES, refuseForeignFile } from './foreign-file.js';
import type { TensorMap } from './tensor-map.js';
import { openTorchArchive } from './torch-archive.js';
import { isTorchLegacy, openTorchLegacy } from './torch-legacy.js';

/** Local header of a zip's first record. */
const ZIP_MAGIC = 'PK\x03\x04';

/**
 * Opens a PyTorch state dict (`pytorch_model.bin`), zip archive or the format before torch 1.6, as lazy tensors.
 * The pickle inside is read as data: nothing is imported or called, unknown names are refused before any tensor is handed out.
 * @throws FormatError naming the global, opcode, record or tensor that is refused.
 */
export async function openTorchFile(path: string): Promise<TensorMap> {
  const size = await fileSize(path);
  if (size === 0) throw new FormatError(`${path}: file is empty (0 bytes)`);
  const head = await readFileRange(path, { start: 0, length: Math.min(size, FOREIGN_HEAD_BYTES) });
  const start = new TextDecoder('latin1').decode(head.subarray(0, 9));
  if (start.startsWith(ZIP_MAGIC)) return openTorchArchive(path);
  if (isTorchLegacy(head)) return openTorchLegacy(path);
  refuseForeignFile(path, head);
  throw new FormatError(`${path} is not a PyTorch file (starts with ${JSON.stringify(start)})`, { suggestions: ['download it again, or use the model\'s safetensors file'] });
}
