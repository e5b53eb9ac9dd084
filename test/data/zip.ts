import { deflateRawSync } from 'node:zlib';
import { crc32 } from '../../src/images/crc32.js';

/** An entry of a zip archive, and lies about it: the numbers given replace the true ones. */
export interface ZipEntry {
  name: string;
  data: Uint8Array | string;
  deflate?: boolean;
  method?: number;
  flags?: number;
  size?: number;
  compressedSize?: number;
  crc?: number;
  offset?: number;
  localExtra?: number;
}

/** Bytes of a zip archive. `end` replaces numbers of its end record, `comment` follows it. */
export function makeZip(
  entries: ZipEntry[],
  end: { count?: number; offset?: number; size?: number } = {},
  comment = '',
) {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const data = Buffer.from(entry.data);
    const packed = entry.deflate ? deflateRawSync(data) : data;
    const name = Buffer.from(entry.name);
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(20, 0);
    shared.writeUInt16LE(entry.flags ?? 0, 2);
    shared.writeUInt16LE(entry.method ?? (entry.deflate ? 8 : 0), 4);
    shared.writeUInt32LE(entry.crc ?? crc32(data), 10);
    shared.writeUInt32LE(entry.compressedSize ?? packed.length, 14);
    shared.writeUInt32LE(entry.size ?? data.length, 18);
    shared.writeUInt16LE(name.length, 22);
    const localExtra = Buffer.alloc(entry.localExtra ?? 0);
    const local = Buffer.from(shared);
    local.writeUInt16LE(localExtra.length, 24);
    parts.push(Buffer.from('PK\x03\x04'), local, name, localExtra, packed);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(entry.offset ?? offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), shared, rest, name);
    offset += 30 + name.length + localExtra.length + packed.length;
  }
  const directorySize = directory.reduce((sum, part) => sum + part.length, 0);
  const record = Buffer.alloc(22);
  record.write('PK\x05\x06', 'latin1');
  record.writeUInt16LE(end.count ?? entries.length, 8);
  record.writeUInt16LE(end.count ?? entries.length, 10);
  record.writeUInt32LE(end.size ?? directorySize, 12);
  record.writeUInt32LE(end.offset ?? offset, 16);
  record.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...parts, ...directory, record, Buffer.from(comment)]);
}
