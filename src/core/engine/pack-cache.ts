import { createHash } from 'node:crypto';
import { mkdir, open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { BackendError } from '../errors.js';
import { explainWriteFailure, writeFileAtomically } from '../hub/atomic-write.js';
import type { StudentConfig } from '../student/config.js';
import { studentConfigToJson } from '../student/config.js';
import { openStoredStudent, readRecordedHash, readStudentConfig } from '../student/stored.js';
import type { ImagePlan } from './layout.js';
import type { WeightPrecision } from '../types.js';
import { planImage, WASM_MEMORY_BYTES } from './layout.js';
import { packStudent } from './pack-student.js';
import type { PackedWeights } from './weights.js';
import { bindWeights } from './weights.js';

/**
 * Packed weights are kept beside the model, so that later starts read them as they are. File: the magic, then little-endian
 * u32 version and u32 length of the JSON header, the header, zeros up to a multiple of 64, the image. All before the image
 * follows from the model and the image's hash, so that it is compared and never trusted.
 */
const MAGIC = 'BSPKPACK';
/** A change of the format, of the plan or of how weights are quantised or folded raises it. */
const VERSION = 2;
const FIXED_BYTES = 16;
const ALIGNMENT = 64;
/** A header has about 1 kB. */
const MAX_HEADER_BYTES = 64 * 1024;
/** Read and hashed at once: the next piece is read while this one is hashed. */
const CHUNK_BYTES = 8 * 2 ** 20;

/** A student's weights in the engine's memory, and how they got there. */
export interface OpenedWeights {
  readonly weights: PackedWeights;
  readonly imageBytes: number;
  /** `cache`: read as packed by an earlier start; `packed`: made from model.safetensors now. */ readonly origin: 'cache' | 'packed';
  /** Whether the next start finds the packed weights. */ readonly cached: boolean;
  /** Why the packed file was not used or could not be written, for people; null when there is nothing to say. */ readonly notice: string | null;
}

/** Gives memory for the image: at least `bytes` bytes that start at a multiple of 64, in place until {@link openPacked} returns. */
export type AllocateImage = (bytes: number) => Uint8Array;

/** The file that holds a student's packed weights. */
export function packedFile(folder: string, precision: WeightPrecision): string {
  return join(folder, '.bispik', `engine-${precision}.pack`);
}

/**
 * Puts a student's packed weights into memory: from the packed file when it is whole and of this very model, else packed anew
 * and written for the next start. A folder that cannot be written is no error.
 * @param allocate called once; addresses of the result count from the start of its buffer.
 * @throws BackendError when the image exceeds a 32-bit memory, and everything `readStudent` throws on a bad folder.
 */
export async function openPacked(folder: string, precision: WeightPrecision, allocate: AllocateImage): Promise<OpenedWeights> {
  const config = await readStudentConfig(folder);
  const path = packedFile(folder, precision);
  const key: PackKey = { config, precision, source: await identifySource(folder) };
  const found = await openPackedFile(path, key);
  const memory = new ImageMemory(allocate);
  let notice = found.rejected;
  if (found.file !== null) {
    const { handle, plan, imageStart, sha256 } = found.file;
    try {
      const target = memory.reserve(plan);
      if (await readImage(handle, imageStart, target).catch(() => null) === sha256) return { ...memory.opened(plan), origin: 'cache', cached: true, notice };
      notice = `${path} is damaged: packed again`;
    } finally {
      await handle.close();
    }
  }
  const student = await openStoredStudent(folder);
  const plan = planImage(student.config, precision);
  const target = memory.reserve(plan);
  await packStudent(student, plan, target);
  const failure = await writePackedFile(path, key, target);
  return { ...memory.opened(plan), origin: 'packed', cached: failure === null, notice: failure ?? notice };
}

/** What a packed file must have been made from. */
interface PackKey {
  readonly config: StudentConfig;
  readonly precision: WeightPrecision;
  readonly source: SourceIdentity | null;
}

/** What tells one model.safetensors from another without reading it. */
interface SourceIdentity {
  readonly weightsSha256: string | null;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** Null, which no packed file was made from, when the weight file cannot be seen; reading it will say why. */
async function identifySource(folder: string): Promise<SourceIdentity | null> {
  const file = await stat(join(folder, 'model.safetensors')).catch(() => null);
  return file === null ? null : { weightsSha256: await readRecordedHash(folder), sizeBytes: file.size, modifiedMs: file.mtimeMs };
}

/** The image's memory, asked for once, whether it is filled from the packed file, from the model, or from both in turn. */
class ImageMemory {
  private target: Uint8Array | null = null;

  constructor(private readonly allocate: AllocateImage) {}

  /** @throws BackendError when no 32-bit memory can hold the image. */
  reserve({ totalBytes, precision }: ImagePlan): Uint8Array {
    if (totalBytes > WASM_MEMORY_BYTES) throw tooLarge(totalBytes, precision);
    this.target ??= this.allocate(totalBytes).subarray(0, totalBytes);
    return this.target;
  }

  opened(plan: ImagePlan): Pick<OpenedWeights, 'weights' | 'imageBytes'> {
    return { weights: bindWeights(plan, this.reserve(plan).byteOffset), imageBytes: plan.totalBytes };
  }
}

function tooLarge(bytes: number, precision: WeightPrecision): BackendError {
  const smaller = { float32: 'int8', int8: 'int4', int4: null }[precision];
  return new BackendError(`the student's ${precision} weights need ${bytes} bytes, the engine's memory holds ${WASM_MEMORY_BYTES}`, {
    suggestions: [smaller === null ? 'take a smaller student' : `--precision ${smaller}`],
  });
}

interface PackedFile {
  readonly handle: FileHandle;
  readonly plan: ImagePlan;
  readonly imageStart: number;
  readonly sha256: string;
}

/** Opens a packed file whose size and header are right; `rejected` says why one that is there is not used. */
async function openPackedFile(path: string, key: PackKey): Promise<{ file: PackedFile | null; rejected: string | null }> {
  const handle = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => (cause.code === 'ENOENT' ? null : cause));
  if (handle === null) return { file: null, rejected: null };
  if (handle instanceof Error) return { file: null, rejected: `${path} cannot be read (${handle.code ?? handle.message}): packed again` };
  const checked = await checkPackedFile(handle, key).catch((cause: NodeJS.ErrnoException) => `cannot be read (${cause.code ?? cause.message})`);
  if (typeof checked !== 'string') return { file: checked, rejected: null };
  await handle.close();
  return { file: null, rejected: `${path} ${checked}: packed again` };
}

async function checkPackedFile(handle: FileHandle, key: PackKey): Promise<PackedFile | string> {
  const fixed = Buffer.alloc(FIXED_BYTES);
  if (await readFully(handle, fixed, 0) < FIXED_BYTES || fixed.toString('latin1', 0, MAGIC.length) !== MAGIC) return 'is no file of packed weights';
  if (fixed.readUInt32LE(8) !== VERSION) return `has format version ${fixed.readUInt32LE(8)}, ${VERSION} expected`;
  const imageStart = alignedHead(Math.min(fixed.readUInt32LE(12), MAX_HEADER_BYTES));
  const imageBytes = (await handle.stat()).size - imageStart;
  const head = Buffer.alloc(imageStart);
  await readFully(handle, head, 0);
  const sha256 = /"imageSha256":"([0-9a-f]{64})"/.exec(head.toString('latin1'))?.[1];
  const isExpected = sha256 !== undefined && head.equals(encodeHead(key, { bytes: imageBytes, sha256 }));
  // Every layer has sections of its own; asked first, so that an absurd number of layers is not spelt out.
  const plan = isExpected && key.config.layers <= imageBytes / ALIGNMENT ? planImage(key.config, key.precision) : null;
  if (!isExpected || plan?.totalBytes !== imageBytes) return 'was packed from another model or is damaged';
  return { handle, plan, imageStart, sha256 };
}

/** Everything before the image. */
function encodeHead({ config, precision, source }: PackKey, image: { readonly bytes: number; readonly sha256: string }): Buffer {
  const header = Buffer.from(JSON.stringify({
    imageSha256: image.sha256, imageBytes: image.bytes, precision, source, config: studentConfigToJson(config),
  }));
  const head = Buffer.alloc(alignedHead(header.length));
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(VERSION, 8);
  head.writeUInt32LE(header.length, 12);
  header.copy(head, FIXED_BYTES);
  return head;
}

function alignedHead(headerBytes: number): number {
  return Math.ceil((FIXED_BYTES + headerBytes) / ALIGNMENT) * ALIGNMENT;
}

/** Reads the image into `target`, which may lie in shared memory. @returns its SHA-256; of a file that ends earlier, another one. */
async function readImage(handle: FileHandle, start: number, target: Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  const readPiece = async (from: number): Promise<Uint8Array> => {
    const piece = target.subarray(from, from + CHUNK_BYTES);
    return piece.subarray(0, await readFully(handle, piece, start + from));
  };
  let pending = readPiece(0);
  for (let from = 0; from < target.length; from += CHUNK_BYTES) {
    const piece = await pending;
    pending = readPiece(Math.min(from + CHUNK_BYTES, target.length));
    hash.update(piece);
  }
  await pending;
  return hash.digest('hex');
}

/** Fills `target` from the file. @returns how many bytes there were. */
async function readFully(handle: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** @returns null when the file is written, else why not. */
async function writePackedFile(path: string, key: PackKey, image: Uint8Array): Promise<string | null> {
  const hash = createHash('sha256');
  for (let from = 0; from < image.length; from += CHUNK_BYTES) hash.update(image.subarray(from, from + CHUNK_BYTES));
  const sha256 = hash.digest('hex');
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFileAtomically(path, async (write) => {
      await write(encodeHead(key, { bytes: image.length, sha256 }));
      await write(image);
    });
    return null;
  } catch (cause) {
    const failure = explainWriteFailure(path, cause);
    if (!(failure instanceof Error) || (failure === cause && (cause as NodeJS.ErrnoException).code === undefined)) throw cause;
    return `${failure.message}; the next start packs the weights again`;
  }
}
