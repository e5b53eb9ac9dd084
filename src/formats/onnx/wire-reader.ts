import { ShiboriError } from '../../errors.js';

/**
 * The wire format of Protocol Buffers: a message is a sequence of `tag payload`, where `tag = number << 3 | wire type`.
 * Source: https://protobuf.dev/programming-guides/encoding/
 */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
export const FIXED32 = 5;

/** As deep as Google's own parsers go by default: enough for 30 nested `If` nodes, too little to exhaust the stack. */
const MAX_DEPTH = 100;

const strictUtf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads one message of a file. Byte strings are views: nothing is copied. Every failure is a ShiboriError. */
export class WireReader {
  readonly bytes: Uint8Array;
  #position: number;
  readonly #view: DataView;

  constructor(
    bytes: Uint8Array,
    /** Named in errors. */
    readonly file: string,
    /** Which message this is, for errors: `graph.node[3]`. Empty for the file itself. */
    readonly path = '',
    start = 0,
    readonly end = bytes.length,
    readonly depth = 0,
  ) {
    this.bytes = toPlainBytes(bytes);
    this.#position = start;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#position >= this.end;
  }

  fail(found: string): ShiboriError {
    const place = this.path === '' ? '' : ` in ${this.path}`;
    return new ShiboriError(
      `Cannot read ${this.file}: at byte ${this.#position}${place}, ${found}. The file is damaged, cut short or not an ONNX file; fetch or export it again.`,
      { code: 'invalid-file', file: this.file },
    );
  }

  /** An unsigned 64-bit integer: a number where it is below 2^49 (at most 7 bytes), otherwise a bigint. */
  varint(): number | bigint {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    let big = BigInt(value);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      big |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, big);
    }
    throw this.fail('an integer takes more than 10 bytes');
  }

  /**
   * A signed 64-bit integer as a number. `2^63 - 1`, which models write for "to the end", becomes 2^63.
   * Throws for any other integer that a number cannot hold.
   */
  int(): number {
    const value = this.varint();
    if (typeof value === 'number') return value;
    const signed = BigInt.asIntN(64, value);
    const number = Number(signed);
    if (BigInt(number) !== signed && signed !== 2n ** 63n - 1n) {
      throw this.fail(`the integer ${signed} needs more than the 53 bits of a number`);
    }
    return number;
  }

  float(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  /** `length` bytes as a view. */
  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.bytes.subarray(start, start + length);
  }

  /** The payload of a length-delimited field, as a view. */
  delimited(): Uint8Array {
    return this.take(this.#length());
  }

  string(): string {
    try {
      return strictUtf8Decoder.decode(this.delimited());
    } catch (error) {
      if (error instanceof ShiboriError) throw error;
      throw this.fail('a text is not UTF-8 (strings of arbitrary bytes are not supported)');
    }
  }

  /** A reader over a nested message. */
  nested(label: string): WireReader {
    if (this.depth >= MAX_DEPTH) throw this.fail(`messages are nested more than ${MAX_DEPTH} deep`);
    const length = this.#length();
    const start = this.#advance(length);
    const path = this.path === '' ? label : `${this.path}.${label}`;
    return new WireReader(this.bytes, this.file, path, start, start + length, this.depth + 1);
  }

  /** The next field's number and wire type. */
  tag(): { readonly number: number; readonly wire: number } {
    const tag = this.varint();
    if (typeof tag === 'bigint' || tag >= 2 ** 32 || tag < 8) throw this.fail(`${tag} is no field tag`);
    return { number: Math.floor(tag / 8), wire: tag % 8 };
  }

  /** The payload of a field in whatever wire type it has, as a view over its encoded bytes (without the length). */
  payload(wire: number): Uint8Array {
    if (wire === LENGTH_DELIMITED) return this.delimited();
    if (wire === FIXED32) return this.take(4);
    if (wire === FIXED64) return this.take(8);
    if (wire !== VARINT) throw this.fail(`a field has the wire type ${wire}, which ONNX never uses`);
    const start = this.#position;
    this.varint();
    return this.bytes.subarray(start, this.#position);
  }

  #length(): number {
    const length = this.varint();
    const left = this.end - this.#position;
    if (length > left) throw this.fail(`a field claims ${length} bytes, but ${left} are left`);
    return Number(length);
  }

  #byte(): number {
    return this.bytes[this.#advance(1)] as number;
  }

  #advance(length: number): number {
    const start = this.#position;
    const left = this.end - start;
    if (length > left) throw this.fail(`a value of ${length} bytes does not fit into the ${left} that are left`);
    this.#position = start + length;
    return start;
  }
}

/** The same bytes as a `Uint8Array` proper: Node's `Buffer` is one too, but its `slice` makes views, not copies. */
export function toPlainBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
