/*
 * A zip archive read in place: the central directory once, then each file by its position when it is asked for, so that
 * an archive of any size costs the memory of its directory. Records as in PKWARE's APPNOTE 6.3.10, sections 4.3.7
 * (local header), 4.3.12 (central directory), 4.3.14-16 (its end, with zip64), 4.5.3 (zip64 sizes).
 *
 * Every length an archive states is checked against the bytes it has before anything is allocated for it.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import type { ZipEntry } from '../data/image-items.js';
import { ShiboriError } from '../errors.js';
import { crc32 } from './crc32.js';
import type { FileTree } from './image-source-tree.js';

const inflate = promisify(inflateRaw);
const utf8 = new TextDecoder();

const LOCAL_SIGNATURE = 0x04034b50;
const ENTRY_SIGNATURE = 0x02014b50;
const END_SIGNATURE = 0x06054b50;
const ZIP64_END_SIGNATURE = 0x06064b50;
const ZIP64_LOCATOR_SIGNATURE = 0x07064b50;
const LOCAL_BYTES = 30;
const ENTRY_BYTES = 46;
const END_BYTES = 22;
const ZIP64_END_BYTES = 56;
const ZIP64_LOCATOR_BYTES = 20;
const ZIP64_EXTRA = 0x0001;
const UNKNOWN_32 = 0xffffffff;
/** Deflate cannot shrink more than 1032 to 1. */
const DEFLATE_LIMIT = 1032;
/** More than any image that may be decoded takes. */
const MAX_UNPACKED_BYTES = 2 ** 29;
/** Room for the local header's own extra field, so that one read usually fetches header and data. */
const LOCAL_EXTRA_GUESS = 64;

/** Bytes `from … from + length` of the file, fewer at its end. */
async function readAt(handle: FileHandle, from: number, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, from + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return new DataView(bytes.buffer, 0, filled);
}

/** Where the central directory is and how many entries it has. */
async function findDirectory(handle: FileHandle, fileSize: number, file: string) {
  const tailStart = Math.max(0, fileSize - END_BYTES - 0xffff);
  const tail = await readAt(handle, tailStart, fileSize - tailStart);
  let end = tail.byteLength - END_BYTES;
  // The comment after the record must reach the end of the file, or the signature is part of something else.
  while (
    end >= 0 &&
    !(
      tail.getUint32(end, true) === END_SIGNATURE &&
      end + END_BYTES + tail.getUint16(end + 20, true) === tail.byteLength
    )
  ) {
    end--;
  }
  if (end < 0)
    throw new ShiboriError(`"${file}" is not a complete zip archive: its end record is missing.`, {
      code: 'invalid-data',
    });
  let count = tail.getUint16(end + 10, true);
  let size = tail.getUint32(end + 12, true);
  let offset = tail.getUint32(end + 16, true);
  const locator = end - ZIP64_LOCATOR_BYTES;
  if (locator >= 0 && tail.getUint32(locator, true) === ZIP64_LOCATOR_SIGNATURE) {
    const record = await readAt(handle, readSafeInteger(tail, locator + 8, file), ZIP64_END_BYTES);
    if (record.byteLength < ZIP64_END_BYTES || record.getUint32(0, true) !== ZIP64_END_SIGNATURE) {
      throw new ShiboriError(`"${file}" is a damaged zip archive: its zip64 end record is missing.`, {
        code: 'invalid-data',
      });
    }
    count = readSafeInteger(record, 32, file);
    size = readSafeInteger(record, 40, file);
    offset = readSafeInteger(record, 48, file);
  }
  if (offset + size > fileSize || count * ENTRY_BYTES > size) {
    throw new ShiboriError(
      `"${file}" is a damaged zip archive: it states ${count} entries in ${size} bytes at ${offset}, but has ${fileSize} bytes.`,
      { code: 'invalid-data' },
    );
  }
  return { count, size, offset };
}

function readSafeInteger(view: DataView, at: number, file: string): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value))
    throw new ShiboriError(`"${file}" is a damaged zip archive: it states a size of ${value}.`, {
      code: 'invalid-data',
    });
  return value;
}

function checkName(name: string, file: string): void {
  if (/^[\\/]|^[A-Za-z]:/.test(name) || name.includes('\0') || name.split(/[\\/]/).includes('..')) {
    throw new ShiboriError(
      `Refused the zip archive "${file}": its entry ${JSON.stringify(name)} points outside the archive.`,
      { code: 'invalid-data' },
    );
  }
}

/** The sizes and offset that stand in a zip64 extra field in place of 32-bit fields full of ones. */
function readZip64(view: DataView, start: number, end: number, values: number[], file: string): number[] {
  for (let at = start; at + 4 <= end; ) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === ZIP64_EXTRA) {
      let field = at + 4;
      return values.map((value) => {
        if (value !== UNKNOWN_32 || field + 8 > Math.min(end, at + 4 + length)) return value;
        field += 8;
        return readSafeInteger(view, field - 8, file);
      });
    }
    at += 4 + length;
  }
  return values;
}

function findObstacle(
  flags: number,
  method: number,
  entry: Omit<ZipEntry, 'obstacle'>,
  fileSize: number,
): string | undefined {
  const { offset, compressedSize, size, isDeflated } = entry;
  if (flags & 1) return 'it is encrypted';
  if (method !== 0 && method !== 8)
    return `it is compressed by method ${method}, only "stored" and "deflated" are read`;
  if (offset + LOCAL_BYTES + compressedSize > fileSize) return 'it reaches beyond the end of the archive';
  if (size > MAX_UNPACKED_BYTES) return `it claims ${size} bytes`;
  const limit = isDeflated ? compressedSize * DEFLATE_LIMIT : compressedSize;
  if (size > limit || (!isDeflated && size !== compressedSize)) {
    return `it claims ${size} bytes, which its ${compressedSize} bytes in the archive cannot hold`;
  }
  return undefined;
}

/** Reads the entry at `at`, and where the next one is. */
function readDirectoryEntry(view: DataView, at: number, fileSize: number, file: string) {
  const damaged = () =>
    new ShiboriError(`"${file}" is a damaged zip archive: its directory breaks off.`, { code: 'invalid-data' });
  if (at + ENTRY_BYTES > view.byteLength || view.getUint32(at, true) !== ENTRY_SIGNATURE) throw damaged();
  const nameLength = view.getUint16(at + 28, true);
  const extraStart = at + ENTRY_BYTES + nameLength;
  const extraEnd = extraStart + view.getUint16(at + 30, true);
  const next = extraEnd + view.getUint16(at + 32, true);
  if (next > view.byteLength) throw damaged();
  // Names are UTF-8 or plain ASCII; in the rare old code page, odd letters come out odd, and nothing else changes.
  const name = utf8.decode(new Uint8Array(view.buffer, at + ENTRY_BYTES, nameLength));
  checkName(name, file);
  const [size = 0, compressedSize = 0, offset = 0] = readZip64(
    view,
    extraStart,
    extraEnd,
    [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)],
    file,
  );
  const method = view.getUint16(at + 10, true);
  const crc = view.getUint32(at + 16, true);
  const entry = { offset, compressedSize, size, crc, isDeflated: method === 8, nameLength };
  const obstacle = findObstacle(view.getUint16(at + 8, true), method, entry, fileSize);
  return { name, entry: { ...entry, obstacle }, next };
}

async function readDirectory(handle: FileHandle, file: string): Promise<Map<string, ZipEntry>> {
  const { size: fileSize } = await handle.stat();
  const { count, size, offset } = await findDirectory(handle, fileSize, file);
  const view = await readAt(handle, offset, size);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const { name, entry, next } = readDirectoryEntry(view, at, fileSize, file);
    at = next;
    if (name.endsWith('/')) continue;
    if (entries.has(name))
      throw new ShiboriError(`Refused the zip archive "${file}": it has "${name}" twice.`, { code: 'invalid-data' });
    entries.set(name, entry);
  }
  return entries;
}

/** The bytes of an entry, still compressed. */
async function readRaw(handle: FileHandle, entry: ZipEntry): Promise<Uint8Array> {
  const { offset, compressedSize, nameLength } = entry;
  const guess = LOCAL_BYTES + nameLength + LOCAL_EXTRA_GUESS + compressedSize;
  const view = await readAt(handle, offset, guess);
  if (view.byteLength < LOCAL_BYTES || view.getUint32(0, true) !== LOCAL_SIGNATURE)
    throw new Error('its header is missing');
  const start = LOCAL_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
  const data =
    start + compressedSize <= view.byteLength
      ? new Uint8Array(view.buffer, start, compressedSize)
      : toBytes(await readAt(handle, offset + start, compressedSize));
  if (data.length < compressedSize) throw new Error('it reaches beyond the end of the archive');
  return data;
}

function toBytes(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

async function unpackEntry(raw: Uint8Array, { isDeflated, size, crc }: ZipEntry): Promise<Uint8Array> {
  const bytes = isDeflated ? await inflate(raw, { maxOutputLength: Math.max(size, 1) }) : raw;
  if (bytes.length !== size) throw new Error(`it has ${bytes.length} bytes, expected ${size}`);
  if (crc32(bytes) !== crc) throw new Error('its checksum is wrong');
  return bytes;
}

/** The bytes of a file in an archive. Throws a ShiboriError when they cannot be had. */
async function readFromZip(handle: FileHandle, file: string, path: string, entry: ZipEntry): Promise<Uint8Array> {
  try {
    if (entry.obstacle !== undefined) throw new Error(entry.obstacle);
    return await unpackEntry(await readRaw(handle, entry), entry);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ShiboriError(`Cannot read "${path}" from the zip archive "${file}": ${reason}.`, {
      code: 'invalid-data',
    });
  }
}

/** Opens a zip archive to read files whose places are known: its directory is not read. It stays open. */
export async function openZipEntries(file: string): Promise<(path: string, entry: ZipEntry) => Promise<Uint8Array>> {
  const handle = await open(file).catch((error: unknown) => {
    throw new ShiboriError(
      `Cannot open the zip archive "${file}" again: ${error instanceof Error ? error.message : error}.`,
      { code: 'invalid-data' },
    );
  });
  return (path, entry) => readFromZip(handle, file, path, entry);
}

/**
 * Opens a zip archive to be read in place.
 *
 * @throws ShiboriError when it is not a complete zip archive, or has a name that points outside it.
 */
export async function openZip(file: string): Promise<FileTree> {
  const handle = await open(file);
  let entries: Map<string, ZipEntry>;
  try {
    entries = await readDirectory(handle, file);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    name: file,
    paths: [...entries.keys()],
    async read(path) {
      const entry = entries.get(path);
      if (entry === undefined)
        throw new ShiboriError(`The zip archive "${file}" has no file "${path}".`, { code: 'invalid-data' });
      return readFromZip(handle, file, path, entry);
    },
    entryOf: (path) => entries.get(path),
    close: () => handle.close(),
  };
}
