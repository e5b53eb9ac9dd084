import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { combineDecoders } from '../../src/data/decode.js';
import { readJpegHeader } from '../../src/data/jpeg-header.js';
import { ShiboriError } from '../../src/errors.js';
import { crc32 } from '../../src/images/crc32.js';
import { decodeImage } from '../../src/images/decode-image.js';

const golden: { decode: { file: string; size: [number, number]; crc32: number }[] } = JSON.parse(
  readFileSync(new URL('../golden/data/images.json', import.meta.url), 'utf8'),
);
const fileOf = (name: string) => new Uint8Array(readFileSync(new URL(`../golden/data/files/${name}`, import.meta.url)));
const jpeg = fileOf('baseline.jpg');

/** A copy of the JPEG that claims another size in its frame header. */
function claiming(width: number, height: number): Uint8Array {
  const bytes = jpeg.slice();
  const frame = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
  new DataView(bytes.buffer).setUint16(frame + 5, height);
  new DataView(bytes.buffer).setUint16(frame + 7, width);
  return bytes;
}

describe('decodeImage', () => {
  it.each(golden.decode)('gives the pixels of PIL for $file', async ({ file, size, crc32: expected }) => {
    const image = await decodeImage(fileOf(file), file);
    expect([image.width, image.height]).toEqual(size);
    expect(crc32(image.data)).toBe(expected);
  });

  it('refuses a truncated JPEG wherever it is cut, and decodes good ones afterwards', async () => {
    const expected = await decodeImage(jpeg, 'whole.jpg');
    for (let length = 0; length < jpeg.length; length += 37) {
      await expect(decodeImage(jpeg.subarray(0, length), 'cut.jpg')).rejects.toThrow(/"cut.jpg"/);
      if (length % 10 === 0) expect(await decodeImage(jpeg, 'whole.jpg')).toEqual(expected);
    }
    expect(await decodeImage(jpeg, 'whole.jpg')).toEqual(expected);
  });

  it('refuses truncated files of the other formats', async () => {
    for (const name of ['alpha.png', 'lossless.webp', 'cmyk.jpg', 'lzw.tif']) {
      const bytes = fileOf(name);
      await expect(decodeImage(bytes.subarray(0, bytes.length / 2), name)).rejects.toThrow(ShiboriError);
    }
  });

  it('refuses sizes that are too large or that the file cannot hold, before decoding', async () => {
    await expect(decodeImage(claiming(65_000, 65_000), 'bomb.jpg')).rejects.toThrow(/65000×65000 pixels, more than/);
    await expect(decodeImage(claiming(9000, 9000), 'liar.jpg')).rejects.toThrow(/which its \d+ bytes cannot hold/);
    await expect(decodeImage(claiming(0, 5), 'flat.jpg')).rejects.toThrow(/0×5/);
    const size = { width: 20_000, height: 10_000, channels: 3 as const, background: 'black' };
    const png = await sharp({ create: size, limitInputPixels: false }).png({ compressionLevel: 9 }).toBuffer();
    await expect(decodeImage(png, 'bomb.png')).rejects.toThrow(/"bomb.png".*pixel/);
  });

  it('refuses what is no image, and SVG, which is not pixels', async () => {
    await expect(decodeImage(new Uint8Array(), 'empty')).rejects.toThrow(/"empty"/);
    await expect(decodeImage(new TextEncoder().encode('hello'), 'hello.png')).rejects.toThrow(/convert other formats/);
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="4" height="4"/></svg>';
    await expect(decodeImage(new TextEncoder().encode(svg), 'x.svg')).rejects.toThrow(/svg images are not read/);
  });

  it('survives any damage: an image of the stated size or a ShiboriError', async () => {
    const damage = fc.array(fc.tuple(fc.nat(jpeg.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const bytes = jpeg.slice();
        for (const [at, value] of changes) bytes[at] = value;
        try {
          const image = await decodeImage(bytes, 'damaged.jpg');
          expect(image.data).toHaveLength(image.width * image.height * 3);
        } catch (error) {
          expect(error).toBeInstanceOf(ShiboriError);
        }
      }),
      { numRuns: 200 },
    );
    expect(await decodeImage(jpeg, 'whole.jpg')).toMatchObject({ width: 33, height: 21 });
  });
});

describe('readJpegHeader', () => {
  it('skips segments, padding and stray bytes before the frame', () => {
    const bytes = Uint8Array.of(
      ...[0xff, 0xd8, 0x00, 0xff, 0xff, 0xe0, 0, 4, 0xff, 0xc0],
      ...[0xff, 0xc4, 0, 2, 0xff, 0xc2, 0, 11, 8, 1, 2, 3, 4, 1, 0],
    );
    expect(readJpegHeader(bytes, 'x')).toEqual({ height: 0x102, width: 0x304, components: 1 });
  });

  it('never reads beyond the bytes there are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (tail) => {
        try {
          readJpegHeader(Uint8Array.of(0xff, 0xd8, ...tail), 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(ShiboriError);
        }
      }),
    );
  });
});

describe('combineDecoders', () => {
  it('gives CMYK and other formats to the second decoder', async () => {
    const one = (width: number) => async () => ({ width, height: 1, data: new Uint8Array(3 * width) });
    const decode = combineDecoders(one(1), one(2));
    expect((await decode(jpeg, 'a')).width).toBe(1);
    expect((await decode(fileOf('cmyk.jpg'), 'b')).width).toBe(2);
    expect((await decode(fileOf('palette.png'), 'c')).width).toBe(2);
  });
});
