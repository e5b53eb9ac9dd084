/** Writes the part of the pickle language, protocol 2, that a state dict needs. */
export class PickleWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #encoder = new TextEncoder();

  /** The pickle so far, as a view. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Operations that take no argument, by their characters. */
  operations(characters: string): this {
    const start = this.#grow(characters.length);
    for (let i = 0; i < characters.length; i++) this.#bytes[start + i] = characters.charCodeAt(i);
    return this;
  }

  text(text: string): this {
    const encoded = this.#encoder.encode(text);
    this.operations('X');
    const start = this.#grow(4 + encoded.length);
    this.#view.setUint32(start, encoded.length, true);
    this.#bytes.set(encoded, start + 4);
    return this;
  }

  /** An integer from 0 to 2^53. */
  integer(value: number): this {
    if (value < 2 ** 8) return this.operations(`K${String.fromCharCode(value)}`);
    if (value < 2 ** 31) {
      this.operations('J');
      const start = this.#grow(4);
      this.#view.setInt32(start, value, true);
    } else {
      this.operations('\x8a\x08');
      const start = this.#grow(8);
      this.#view.setBigInt64(start, BigInt(value), true);
    }
    return this;
  }

  tuple(values: readonly number[]): this {
    this.operations('(');
    for (const value of values) this.integer(value);
    return this.operations('t');
  }

  global(module: string, name: string): this {
    return this.operations(`c${module}\n${name}\n`);
  }

  /** Makes room for `count` bytes, perhaps in a new buffer, and gives the offset of the first. */
  #grow(count: number): number {
    const start = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}
