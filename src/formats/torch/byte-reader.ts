import { type Fail, quote } from './pickle-values.js';

/** Reads little-endian numbers, texts and slices in order; past the end is an error, never a zero. */
export class ByteReader {
  readonly #view: DataView;
  // Names keep every character: a byte-order mark is part of them.
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(
    readonly bytes: Uint8Array,
    public position: number,
    readonly fail: Fail,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Moves on by `count` bytes and gives the offset before them. */
  #skip(count: number): number {
    const start = this.position;
    if (count > this.bytes.length - start) {
      throw this.fail(
        `it ends early: ${count} bytes are expected at byte ${start}, ${this.bytes.length - start} are there. ` +
          'Copy or download it again.',
      );
    }
    this.position = start + count;
    return start;
  }

  uint8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#skip(4), true);
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#skip(8), true);
  }

  /** Big endian, as pickles have it and nothing else. */
  float64(): number {
    return this.#view.getFloat64(this.#skip(8), false);
  }

  /** A view of the next `count` bytes. */
  slice(count: number): Uint8Array {
    const start = this.#skip(count);
    return this.bytes.subarray(start, start + count);
  }

  /** The next `count` bytes as UTF-8 text. */
  text(count: number): string {
    const bytes = this.slice(count);
    try {
      return this.#utf8.decode(bytes);
    } catch {
      throw this.fail(`a text in it, at byte ${this.position - count}, is not UTF-8. It is damaged.`);
    }
  }

  /** A length of eight bytes. */
  length(): number {
    // Longer than any file where it is beyond 2^53: then it ends early, whatever the last digits are.
    return Number(BigInt.asUintN(64, this.int64()));
  }

  /** The next `count` bytes as text; where they are none (strings of Python 2), as bytes. */
  textOrBytes(count: number): string | Uint8Array {
    const bytes = this.slice(count);
    try {
      return this.#utf8.decode(bytes);
    } catch {
      return bytes;
    }
  }

  /** The text up to the next line end, which is passed over. */
  line(): string {
    const line = this.text(this.#lineLength());
    this.position += 1;
    return line;
  }

  /** The same of a line whose bytes are a character each. */
  latin1Line(): string {
    const bytes = this.slice(this.#lineLength());
    this.position += 1;
    let line = '';
    // In pieces: so many arguments fit a call.
    for (let i = 0; i < bytes.length; i += 4096) line += String.fromCharCode(...bytes.subarray(i, i + 4096));
    return line;
  }

  #lineLength(): number {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end >= 0) return end - this.position;
    const rest = String.fromCharCode(...this.bytes.subarray(this.position, this.position + 100));
    throw this.fail(`it ends inside a name (${quote(rest)}). Copy or download it again.`);
  }

  /** A two's-complement integer of `count` bytes. */
  integer(count: number): number | bigint {
    let value = 0n;
    const bytes = this.slice(count);
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
    value = BigInt.asIntN(8 * count, value);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }
}
