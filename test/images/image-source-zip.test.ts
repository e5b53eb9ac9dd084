import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { openZip } from '../../src/images/image-source-zip.js';
import { makeZip, type ZipEntry } from '../data/zip.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-zip-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function openBytes(bytes: Uint8Array) {
  const file = join(folder, 'test.zip');
  writeFileSync(file, bytes);
  return openZip(file);
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const letters = 'squeeze '.repeat(200);

/** The error of reading the first entry. */
async function readError(entry: Partial<ZipEntry>): Promise<string> {
  const tree = await openBytes(
    makeZip([
      { name: 'a.jpg', data: letters, ...entry },
      { name: 'b.jpg', data: 'good' },
    ]),
  );
  try {
    expect(text(await tree.read('b.jpg'))).toBe('good');
    const error: unknown = await tree.read('a.jpg').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ShiboriError);
    return String(error);
  } finally {
    await tree.close();
  }
}

describe('openZip', () => {
  it('reads stored and deflated files in any order, folders left out', async () => {
    const entries = [
      { name: 'x/', data: '' },
      { name: 'x/a.jpg', data: letters, deflate: true },
      { name: 'x/ü.jpg', data: 'short', localExtra: 300 },
      { name: 'empty.txt', data: '' },
    ];
    const tree = await openBytes(makeZip(entries, {}, 'a comment PK\x05\x06 that lies'));
    expect(tree.paths).toEqual(['x/a.jpg', 'x/ü.jpg', 'empty.txt']);
    expect(text(await tree.read('x/ü.jpg'))).toBe('short');
    expect(text(await tree.read('x/a.jpg'))).toBe(letters);
    expect(await tree.read('empty.txt')).toHaveLength(0);
    await expect(tree.read('nothing')).rejects.toThrow(/has no file "nothing"/);
    await tree.close();
  });

  it.each([false, true])('reads what another program writes (zip64: %s)', async (zip64) => {
    const writer = new ZipWriter(new Uint8ArrayWriter(), { zip64, useWebWorkers: false });
    for (let i = 0; i < 5; i++)
      await writer.add(`c${i}/a.jpg`, new Uint8ArrayReader(new TextEncoder().encode(letters + i)));
    const tree = await openBytes(await writer.close());
    expect(tree.paths).toHaveLength(5);
    expect(text(await tree.read('c3/a.jpg'))).toBe(`${letters}3`);
    await tree.close();
  });

  it.each(['../a.jpg', 'x/../../a.jpg', '/etc/a.jpg', 'C:/a.jpg', 'x\\..\\a.jpg', '\\a.jpg', 'a\0.jpg'])(
    'refuses the name %j',
    async (name) => {
      await expect(openBytes(makeZip([{ name, data: '' }]))).rejects.toThrow(/points outside the archive/);
    },
  );

  it('refuses a name that comes twice', async () => {
    await expect(
      openBytes(
        makeZip([
          { name: 'a', data: '1' },
          { name: 'a', data: '2' },
        ]),
      ),
    ).rejects.toThrow(/"a" twice/);
  });

  it('refuses files whose sizes, checksum or position are not what they say', async () => {
    expect(await readError({ crc: 1 })).toMatch(/"a.jpg".*checksum is wrong/);
    expect(await readError({ deflate: true, crc: 1 })).toMatch(/checksum is wrong/);
    expect(await readError({ size: 10 })).toMatch(/claims 10 bytes/);
    expect(await readError({ deflate: true, size: 10 })).toMatch(/Cannot read/);
    expect(await readError({ deflate: true, size: letters.length + 1 })).toMatch(/expected 1601/);
    expect(await readError({ deflate: true, size: 0x7ffffff0 })).toMatch(/claims 2147483632 bytes/);
    expect(await readError({ deflate: true, size: 400_000 })).toMatch(/cannot hold/);
    expect(await readError({ compressedSize: 0x7ffffff0 })).toMatch(/beyond the end/);
    expect(await readError({ offset: 0x7ffffff0 })).toMatch(/beyond the end/);
    expect(await readError({ offset: 7 })).toMatch(/header is missing/);
    expect(await readError({ flags: 1 })).toMatch(/encrypted/);
    expect(await readError({ method: 12 })).toMatch(/method 12/);
    expect(await readError({ method: 8 })).toMatch(/Cannot read/);
  });

  it('refuses directories that are not there', async () => {
    const good = [{ name: 'a.jpg', data: 'x' }];
    await expect(openBytes(makeZip(good, { count: 60_000 }))).rejects.toThrow(/states 60000 entries/);
    await expect(openBytes(makeZip(good, { offset: 0x7ffffff0 }))).rejects.toThrow(/damaged/);
    await expect(openBytes(makeZip(good, { size: 0x7ffffff0 }))).rejects.toThrow(/damaged/);
    await expect(openBytes(makeZip(good, { offset: 3 }))).rejects.toThrow(/damaged/);
    await expect(openBytes(Buffer.alloc(0))).rejects.toThrow(/not a complete zip/);
    await expect(openBytes(makeZip(good).subarray(0, -1))).rejects.toThrow(/end record is missing/);
  });

  it('survives any damage: the right bytes or a ShiboriError', async () => {
    const bytes = makeZip([
      { name: 'a/1.jpg', data: letters, deflate: true },
      { name: 'a/2.jpg', data: 'stored' },
    ]);
    const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(40), async (changes, cut) => {
        const damaged = Uint8Array.from(bytes.subarray(0, cut > 20 ? bytes.length : bytes.length - cut));
        for (const [at, value] of changes) damaged[at] = value;
        try {
          const tree = await openBytes(damaged);
          try {
            for (const path of tree.paths) expect([letters, 'stored']).toContain(text(await tree.read(path)));
          } finally {
            await tree.close();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(ShiboriError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
