import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Metadata, Sharp } from 'sharp';
import { checkPixels, combineDecoders, createJpegDecoder, type ImageDecoder, MAX_PIXELS } from '../data/decode.js';
import type { RgbImage } from '../data/image.js';
import { ShiboriError } from '../errors.js';

/** What sharp may be asked to decode: raster formats only, so that no text format (SVG) is interpreted. */
const formats: ReadonlySet<string> = new Set(['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif', 'avif']);

async function loadJpegWasm(): Promise<WebAssembly.Module> {
  const path = createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm');
  return WebAssembly.compile(await readFile(path));
}

/** The image with its header read, not yet its pixels. */
async function openImage(bytes: Uint8Array, file: string): Promise<{ image: Sharp; metadata: Metadata }> {
  // Only when it is needed: most images are JPEG files, and the library takes a while to load.
  const { default: sharp } = await import('sharp');
  try {
    // Colour profiles are ignored, as PIL ignores them: models saw the numbers in the files.
    const image = sharp(bytes, { ignoreIcc: true, limitInputPixels: MAX_PIXELS, failOn: 'error' });
    return { image, metadata: await image.metadata() };
  } catch (error) {
    const reason = bytes.length === 0 ? 'the file is empty' : error instanceof Error ? error.message : String(error);
    throw new ShiboriError(
      `Cannot decode "${file}": ${reason}. Expected one of ${[...formats].join(', ')}; convert other formats to PNG.`,
      { code: 'invalid-data' },
    );
  }
}

/** RGB of CMYK without a colour profile, as PIL converts it: each ink darkens what black leaves. */
function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4) {
    const light = 255 - (cmyk[from + 3] as number);
    for (let ink = 0; ink < 3; ink++) {
      const product = (cmyk[from + ink] as number) * light + 128;
      rgb[to++] = light - ((product + (product >> 8)) >> 8);
    }
  }
  return rgb;
}

const decodeOthers: ImageDecoder = async (bytes, file): Promise<RgbImage> => {
  const { image, metadata } = await openImage(bytes, file);
  const { format, space, width, height } = metadata;
  if (!formats.has(format)) {
    throw new ShiboriError(`Cannot decode "${file}": ${format} images are not read; convert it to PNG.`, {
      code: 'invalid-data',
    });
  }
  checkPixels(width, height, file);
  const isCmyk = space === 'cmyk';
  const pixels = isCmyk
    ? image.pipelineColourspace('cmyk').toColourspace('cmyk')
    : image.toColourspace('srgb').removeAlpha();
  try {
    const { data, info } = await pixels.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    const rgb = isCmyk ? cmykToRgb(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (rgb.length !== info.width * info.height * 3) {
      throw new Error(`expected 3 channels, found ${info.channels}`);
    }
    return { width: info.width, height: info.height, data: rgb };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ShiboriError(`Cannot decode "${file}": ${reason}.`, { code: 'invalid-data' });
  }
};

/**
 * Decodes an image file to RGB with the pixels of PIL's `Image.open(file).convert('RGB')`: JPEG, PNG, WebP, GIF, TIFF, AVIF.
 *
 * Not rotated by EXIF, alpha dropped, the first frame of several; 16-bit channels keep their upper 8 bits (PIL clips
 * 16-bit grey instead). Throws a ShiboriError that names `file` for what it cannot decode and beyond 100 million pixels.
 */
export const decodeImage: ImageDecoder = combineDecoders(createJpegDecoder(loadJpegWasm), decodeOthers);
