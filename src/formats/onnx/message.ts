import { FIXED32, LENGTH_DELIMITED, VARINT, type WireReader } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

/** How one field of a message is read and written. */
export interface Field<T> {
  readonly number: number;
  /** The field's value after one more occurrence of it; `key` names it in errors. */
  read(reader: WireReader, wire: number, previous: T | undefined, key: string): T;
  write(writer: WireWriter, value: T): void;
}

/** The fields of a message type, all optional as in ONNX. One table serves reading and writing. */
export type Fields<M> = { readonly [K in keyof M]-?: Field<Exclude<M[K], undefined>> };

/** Decodes a message. Fields that the table does not name are skipped, as Protocol Buffers asks. */
export function decodeMessage<M>(fields: Fields<M>, reader: WireReader): Partial<M> {
  const message: Partial<M> = {};
  const keys = indexKeysByNumber(fields);
  while (!reader.done) {
    const { number, wire } = reader.tag();
    const key = keys.get(number);
    if (key === undefined) reader.payload(wire);
    else message[key] = fields[key].read(reader, wire, message[key] as Exclude<M[keyof M], undefined>, String(key));
  }
  return message;
}

/** Encodes a message, its fields in the order of the table. Fields that are `undefined` are left out. */
export function encodeMessage<M>(fields: Fields<M>, message: Partial<M>): WireWriter {
  const writer = new WireWriter();
  for (const key of indexKeysByNumber(fields).values()) {
    const value = message[key];
    if (value !== undefined) fields[key].write(writer, value as Exclude<M[keyof M], undefined>);
  }
  return writer;
}

const keysByTable = new WeakMap<object, ReadonlyMap<number, PropertyKey>>();

/** The table's keys by field number. Built once for each table. */
function indexKeysByNumber<M>(fields: Fields<M>): ReadonlyMap<number, keyof M> {
  let keys = keysByTable.get(fields);
  if (!keys) {
    const names = Object.keys(fields) as (keyof M)[];
    keys = new Map(names.map((key) => [fields[key].number, key]));
    keysByTable.set(fields, keys);
  }
  return keys as ReadonlyMap<number, keyof M>;
}

function expectWireType(reader: WireReader, expected: number, wire: number, key: string): void {
  if (wire !== expected) throw reader.fail(`the field "${key}" has the wire type ${wire} instead of ${expected}`);
}

/** A single value that every occurrence replaces, as Protocol Buffers has it. */
function defineSingleField<T>(
  wireType: number,
  read: (reader: WireReader) => T,
  write: (writer: WireWriter, number: number, value: T) => void,
): (number: number) => Field<T> {
  return (number) => ({
    number,
    read(reader, wire, _previous, key) {
      expectWireType(reader, wireType, wire, key);
      return read(reader);
    },
    write: (writer, value) => write(writer, number, value),
  });
}

/** A list of values; files may pack several numbers into one occurrence. */
function defineListField<T>(
  wireType: number,
  read: (reader: WireReader) => T,
  write: (writer: WireWriter, number: number, value: T) => void,
): (number: number) => Field<T[]> {
  return (number) => ({
    number,
    read(reader, wire, previous, key) {
      const values = previous ?? [];
      if (wire === LENGTH_DELIMITED && wireType !== LENGTH_DELIMITED) {
        const packed = reader.nested(key);
        while (!packed.done) values.push(read(packed));
      } else {
        expectWireType(reader, wireType, wire, key);
        values.push(read(reader));
      }
      return values;
    },
    write(writer, values) {
      for (const value of values) write(writer, number, value);
    },
  });
}

const codecs = {
  int: [VARINT, (r: WireReader) => r.int(), (w: WireWriter, n: number, v: number) => w.int(n, v)],
  float: [FIXED32, (r: WireReader) => r.float(), (w: WireWriter, n: number, v: number) => w.float(n, v)],
  string: [LENGTH_DELIMITED, (r: WireReader) => r.string(), (w: WireWriter, n: number, v: string) => w.string(n, v)],
  bytes: [
    LENGTH_DELIMITED,
    (r: WireReader) => r.delimited(),
    (w: WireWriter, n: number, v: Uint8Array) => w.bytes(n, v),
  ],
} as const;

export const intField = defineSingleField(...codecs.int);
export const floatField = defineSingleField(...codecs.float);
export const stringField = defineSingleField(...codecs.string);
export const bytesField = defineSingleField(...codecs.bytes);
export const intsField = defineListField(...codecs.int);
export const floatsField = defineListField(...codecs.float);
export const stringsField = defineListField(...codecs.string);

/** Holds encoded numbers as views: a reader that has the element type decodes them directly into a typed array. */
export function packedField(number: number): Field<Uint8Array[]> {
  return {
    number,
    read(reader, wire, previous) {
      const segments = previous ?? [];
      segments.push(reader.payload(wire));
      return segments;
    },
    write(writer, segments) {
      for (const segment of segments) writer.bytes(number, segment);
    },
  };
}

/** A nested message. `fields` is a function because message types refer to each other. */
export function messageField<M>(number: number, fields: () => Fields<M>): Field<Partial<M>> {
  return {
    number,
    read(reader, wire, previous, key) {
      expectWireType(reader, LENGTH_DELIMITED, wire, key);
      if (previous !== undefined) throw reader.fail(`the field "${key}" appears twice`);
      return decodeMessage(fields(), reader.nested(key));
    },
    write: (writer, value) => writer.message(number, encodeMessage(fields(), value)),
  };
}

/** A list of nested messages. */
export function messagesField<M>(number: number, fields: () => Fields<M>): Field<Partial<M>[]> {
  return {
    number,
    read(reader, wire, previous, key) {
      expectWireType(reader, LENGTH_DELIMITED, wire, key);
      const values = previous ?? [];
      values.push(decodeMessage(fields(), reader.nested(`${key}[${values.length}]`)));
      return values;
    },
    write(writer, values) {
      for (const value of values) writer.message(number, encodeMessage(fields(), value));
    },
  };
}
