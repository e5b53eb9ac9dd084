/*
 * TensorBoard's event files: TFRecord frames
 *   length (uint64) · masked CRC-32C of it · payload · masked CRC-32C of the payload      all little endian
 * around Event messages (tensorflow/core/util/event.proto, framework/summary.proto), of which only what scalars need:
 *   Event   { wall_time = 1: double, step = 2: int64, file_version = 3: string, summary = 5: Summary, session_log = 7 }
 *   Summary { value = 1: repeated Value },  Value { tag = 1: string, simple_value = 2: float },  SessionLog { status = 1 }
 */
import { computeMaskedCrc32c } from './crc32c.js';

const DELIMITED = 2;
const FIXED64 = 1;
const FIXED32 = 5;

function encodeVarint(value: number): number[] {
  const bytes: number[] = [];
  // Division, not shifts: steps may pass 2³¹.
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

function encodeDelimited(field: number, content: ArrayLike<number>): number[] {
  return [field * 8 + DELIMITED, ...encodeVarint(content.length), ...Array.from(content)];
}

function encodeText(field: number, value: string): number[] {
  return encodeDelimited(field, new TextEncoder().encode(value));
}

function encodeDouble(field: number, value: number): number[] {
  return [field * 8 + FIXED64, ...new Uint8Array(Float64Array.of(value).buffer)];
}

function encodeFloat(field: number, value: number): number[] {
  return [field * 8 + FIXED32, ...new Uint8Array(Float32Array.of(value).buffer)];
}

/** One TFRecord frame around a payload. */
export function frameRecord(payload: Uint8Array): Uint8Array {
  const record = new Uint8Array(payload.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(payload.length), true);
  view.setUint32(8, computeMaskedCrc32c(record.subarray(0, 8)), true);
  record.set(payload, 12);
  view.setUint32(12 + payload.length, computeMaskedCrc32c(payload), true);
  return record;
}

/** The record every event file begins with. `wallTime` is in seconds since 1970. */
export function encodeVersionRecord(wallTime: number): Uint8Array {
  return frameRecord(Uint8Array.from([...encodeDouble(1, wallTime), ...encodeText(3, 'brain.Event:2')]));
}

/** Encodes the start or resumption of a training at a step: readers drop the records of that step and later. */
export function encodeRestartRecord(wallTime: number, step: number): Uint8Array {
  // SessionLog.START = 1.
  return frameRecord(
    Uint8Array.from([...encodeDouble(1, wallTime), 16, ...encodeVarint(step), ...encodeDelimited(7, [8, 1])]),
  );
}

/**
 * The record of scalars at a step (0 or more), by tag. `wallTime` is in seconds since 1970. NaN and infinities are
 * kept: TensorBoard shows them as such.
 */
export function encodeScalarsRecord(
  wallTime: number,
  step: number,
  scalars: Readonly<Record<string, number>>,
): Uint8Array {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    encodeDelimited(1, [...encodeText(1, tag), ...encodeFloat(2, value)]),
  );
  return frameRecord(
    Uint8Array.from([...encodeDouble(1, wallTime), 16, ...encodeVarint(step), ...encodeDelimited(5, values)]),
  );
}
