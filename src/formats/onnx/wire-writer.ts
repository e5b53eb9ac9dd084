import { ShiboriError } from '../../errors.js';
import { FIXED32, LENGTH_DELIMITED, VARINT } from './wire-reader.js';

/** From this size on, byte strings are kept as views until the file is put together. Below, a copy is cheaper. */
const LARGE_BYTES = 1024;

const utf8Encoder = new TextEncoder();

/**
 * Writes one message. Small fields go into one growing buffer; large byte strings are only remembered with the place
 * they belong to, so that nesting a message inside another never copies weights.
 */
export class WireWriter {
  #small = new Uint8Array(64);
  #length = 0;
  readonly #large: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  #largeBytes = 0;

  /** Size of the message in bytes. */
  get size(): number {
    return this.#length + this.#largeBytes;
  }

  /** The message in pieces, in order; large byte strings are the very arrays that were written. */
  chunks(): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    let from = 0;
    for (const { at, bytes } of this.#large) {
      if (at > from) chunks.push(this.#small.subarray(from, at));
      chunks.push(bytes);
      from = at;
    }
    if (this.#length > from) chunks.push(this.#small.subarray(from, this.#length));
    return chunks;
  }

  int(number: number, value: number): void {
    this.#varint(number * 8 + VARINT);
    if (!Number.isInteger(value))
      throw new ShiboriError(`Cannot write ${value} as an integer.`, { code: 'invalid-file' });
    if (value < -(2 ** 63) || value > 2 ** 63)
      throw new ShiboriError(`Cannot write ${value} in 64 bits.`, { code: 'invalid-file' });
    // 2^63 stands for the largest integer, as the reader has it.
    if (value === 2 ** 63) this.#bigVarint(2n ** 63n - 1n);
    else if (value < 0) this.#bigVarint(BigInt.asUintN(64, BigInt(value)));
    else this.#varint(value);
  }

  float(number: number, value: number): void {
    this.#varint(number * 8 + FIXED32);
    this.#reserve(4);
    new DataView(this.#small.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  string(number: number, value: string): void {
    this.bytes(number, utf8Encoder.encode(value));
  }

  bytes(number: number, value: Uint8Array): void {
    this.#varint(number * 8 + LENGTH_DELIMITED);
    this.#varint(value.length);
    if (value.length < LARGE_BYTES) {
      this.#append(value);
    } else {
      this.#large.push({ at: this.#length, bytes: value });
      this.#largeBytes += value.length;
    }
  }

  /** A finished message as a field of this one. */
  message(number: number, inner: WireWriter): void {
    this.#varint(number * 8 + LENGTH_DELIMITED);
    this.#varint(inner.size);
    for (const { at, bytes } of inner.#large) this.#large.push({ at: this.#length + at, bytes });
    this.#largeBytes += inner.#largeBytes;
    this.#append(inner.#small.subarray(0, inner.#length));
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.#small[this.#length++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#small[this.#length++] = rest;
  }

  #bigVarint(value: bigint): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80n) {
      this.#small[this.#length++] = Number(rest & 0x7fn) + 0x80;
      rest >>= 7n;
    }
    this.#small[this.#length++] = Number(rest);
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#small.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(extra: number): void {
    if (this.#length + extra <= this.#small.length) return;
    const grown = new Uint8Array(Math.max(this.#small.length * 2, this.#length + extra));
    grown.set(this.#small.subarray(0, this.#length));
    this.#small = grown;
  }
}

/** Puts chunks together into one array. */
export function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((total, chunk) => total + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
