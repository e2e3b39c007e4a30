import { FormatError } from '../errors.js';

/** Reads a pickle's bytes in order; every length is compared with what is left before anything is allocated. */
export class PickleCursor {
  /** Byte of the opcode being executed; errors name it. */ opcodeAt = 0;
  private readonly view: DataView;

  constructor(readonly file: string, private readonly bytes: Uint8Array, public at: number) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  opcode(): number {
    if (this.left <= 0) throw new FormatError(`${this.file}: pickle ends without STOP after ${this.at} bytes: truncated`);
    this.opcodeAt = this.at;
    return this.u8();
  }

  u8(): number {
    return this.view.getUint8(this.advance(1, 'byte'));
  }

  u16(): number {
    return this.view.getUint16(this.advance(2, 'number'), true);
  }

  u32(): number {
    return this.view.getUint32(this.advance(4, 'number'), true);
  }

  i32(): number {
    return this.view.getInt32(this.advance(4, 'number'), true);
  }

  u64(): bigint {
    return this.view.getBigUint64(this.advance(8, 'number'), true);
  }

  f64(): number {
    return this.view.getFloat64(this.advance(8, 'number'), false);
  }

  /** Little-endian two's complement of any length; a plain number where it fits exactly. */
  integer(length: number): number | bigint {
    const start = this.advance(length, 'number');
    let value = 0n;
    for (let i = length - 1; i >= 0; i -= 1) value = (value << 8n) | BigInt(this.bytes[start + i]!);
    const signed = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  text(length: number | bigint): string {
    const start = this.advance(length, 'string');
    return this.decode(this.bytes.subarray(start, this.at));
  }

  /** Up to the next line feed, which is consumed. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) this.fail('line without an end');
    const start = this.advance(end + 1 - this.at, 'line');
    return this.decode(this.bytes.subarray(start, end));
  }

  /** The announced length of a frame; its content follows as usual. */
  frame(): void {
    const length = this.u64();
    if (length > BigInt(this.left)) this.fail(`frame of ${length} bytes exceeds the pickle`);
  }

  fail(reason: string): never {
    throw new FormatError(`${this.file}: ${reason} at byte ${this.opcodeAt} of the pickle`);
  }

  private advance(length: number | bigint, what: string): number {
    if (length > this.left) this.fail(`${what} of ${length} bytes exceeds the pickle`);
    const start = this.at;
    this.at += Number(length);
    return start;
  }

  private decode(bytes: Uint8Array): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.fail('string that is not UTF-8');
    }
  }
}
