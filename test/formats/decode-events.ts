import { computeMaskedCrc32c } from '../../src/formats/tensorboard/crc32c.js';

/** An event as read back from a file, by a decoder that shares nothing with the writer but the checksum. */
export interface DecodedEvent {
  wallTime?: number;
  step?: number;
  fileVersion?: string;
  scalars?: [string, number][];
  /** Status of a session log; 1 is a start. */
  session?: number;
}

interface Field {
  number: number;
  integer: number;
  content: Uint8Array;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const textOf = (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    const integer = wire === 0 ? varint() : 0;
    const length = wire === 0 ? 0 : wire === 1 ? 8 : wire === 5 ? 4 : varint();
    yield { number: Math.floor(tag / 8), integer, content: bytes.subarray(at, at + length) };
    at += length;
  }
}

function scalarOf(value: Uint8Array): [string, number] {
  const scalar: [string, number] = ['', Number.NaN];
  for (const { number, content } of fieldsOf(value)) {
    if (number === 1) scalar[0] = textOf(content);
    if (number === 2) scalar[1] = viewOf(content).getFloat32(0, true);
  }
  return scalar;
}

/** The events of a file. Throws when a checksum is wrong or the file ends inside a record. */
export function decodeEvents(file: Uint8Array): DecodedEvent[] {
  const events: DecodedEvent[] = [];
  const view = viewOf(file);
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    const payload = file.subarray(at + 12, at + 12 + length);
    const sums = [view.getUint32(at + 8, true), view.getUint32(at + 12 + length, true)];
    if (sums[0] !== computeMaskedCrc32c(file.subarray(at, at + 8)) || sums[1] !== computeMaskedCrc32c(payload)) {
      throw new Error(`A wrong checksum in the record at ${at}.`);
    }
    const event: DecodedEvent = {};
    for (const { number, integer, content } of fieldsOf(payload)) {
      if (number === 1) event.wallTime = viewOf(content).getFloat64(0, true);
      if (number === 2) event.step = integer;
      if (number === 3) event.fileVersion = textOf(content);
      if (number === 7) event.session = [...fieldsOf(content)].find((field) => field.number === 1)?.integer ?? 0;
      if (number === 5) event.scalars = [...fieldsOf(content)].map((value) => scalarOf(value.content));
    }
    events.push(event);
    at += 16 + length;
  }
  return events;
}
