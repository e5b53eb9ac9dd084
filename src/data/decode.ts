/*
 * Image files to RGB pixels, as PIL's `Image.open(file).convert('RGB')`: no rotation by EXIF, alpha dropped, grey repeated.
 * JPEG is decoded by libjpeg-turbo in WebAssembly, whose pixels are PIL's; other formats by a decoder of the platform.
 */
import createModule from '@jsquash/jpeg/codec/dec/mozjpeg_dec.js';
import { ShiboriError } from '../errors.js';
import type { RgbImage } from './image.js';
import { isJpeg, readJpegHeader } from './jpeg-header.js';

/** Decodes the bytes of an image file; `file` names it in errors. Throws a ShiboriError for what it cannot decode. */
export type ImageDecoder = (bytes: Uint8Array, file: string) => Promise<RgbImage>;

/** The most pixels an image may claim: 100 million, 300 MB of RGB. */
export const MAX_PIXELS = 100_000_000;
/** The fewest bits with which a JPEG file can describe a block of 8×8 pixels: one code word of one bit. */
const PIXELS_PER_BYTE = 64 * 8;
/** Above this, the decoder's memory (which never shrinks) is given back after the image. */
const RELEASE_ABOVE_PIXELS = 16_000_000;

/** What this file uses of the decoder's WebAssembly module. */
interface JpegModule {
  decode(
    bytes: Uint8Array,
    preserveOrientation: boolean,
  ): { width: number; height: number; data: Uint8ClampedArray } | null;
}
type CreateJpegModule = (overrides: {
  noInitialRun: boolean;
  print(line: string): void;
  printErr(line: string): void;
  instantiateWasm?(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void): WebAssembly.Exports;
}) => Promise<JpegModule>;

/** Refuses an image that claims more pixels than allowed, before anything is allocated for it. */
export function checkPixels(width: number, height: number, file: string): void {
  if (!(width > 0 && height > 0))
    throw new ShiboriError(`"${file}" claims to be ${width}×${height} pixels.`, { code: 'invalid-data' });
  if (width * height > MAX_PIXELS) {
    throw new ShiboriError(
      `"${file}" claims ${width}×${height} pixels, more than the ${MAX_PIXELS} that are allowed.`,
      { code: 'invalid-data' },
    );
  }
}

/** RGB of RGBA. */
function dropAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from] as number;
    rgb[to++] = rgba[from + 1] as number;
    rgb[to++] = rgba[from + 2] as number;
  }
  return rgb;
}

/**
 * A decoder of grey and colour JPEG files, with WebAssembly memory of its own.
 *
 * A truncated file is an error, as in PIL; other damage that libjpeg can decode through is not.
 *
 * @param loadWasm where `@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm` comes from. Default: fetched from the folder of its script.
 */
export function createJpegDecoder(loadWasm?: () => Promise<WebAssembly.Module>): ImageDecoder {
  const complaints: string[] = [];
  let loading: Promise<JpegModule> | undefined;

  async function load(): Promise<JpegModule> {
    const create: CreateJpegModule = createModule;
    const complain = (line: string) => complaints.push(line);
    const silent = { noInitialRun: true, print: complain, printErr: complain };
    if (loadWasm === undefined) return create(silent);
    const wasm = await loadWasm();
    return create({
      ...silent,
      instantiateWasm(imports, done) {
        const instance = new WebAssembly.Instance(wasm, imports);
        done(instance);
        return instance.exports;
      },
    });
  }

  return async (bytes, file) => {
    const { width, height } = readJpegHeader(bytes, file);
    checkPixels(width, height, file);
    if (width * height > bytes.length * PIXELS_PER_BYTE) {
      throw new ShiboriError(
        `"${file}" claims ${width}×${height} pixels, which its ${bytes.length} bytes cannot hold.`,
        { code: 'invalid-data' },
      );
    }
    loading ??= load();
    const module = await loading;
    complaints.length = 0;
    let decoded: ReturnType<JpegModule['decode']>;
    try {
      decoded = module.decode(bytes, false);
    } catch (error) {
      // libjpeg gave up in the middle of its work and freed nothing: the next image gets a fresh instance.
      loading = undefined;
      if (complaints.length === 0) complaints.push(String(error));
      decoded = null;
    }
    if (complaints.some((line) => line.includes('Premature end of JPEG file'))) {
      throw new ShiboriError(`Cannot decode "${file}": its JPEG data ends too early (the file is truncated).`, {
        code: 'invalid-data',
      });
    }
    if (decoded === null) {
      throw new ShiboriError(`Cannot decode "${file}" as a JPEG image: ${complaints.at(-1) ?? 'no pixels came out'}.`, {
        code: 'invalid-data',
      });
    }
    if (width * height > RELEASE_ABOVE_PIXELS) loading = undefined;
    return { width: decoded.width, height: decoded.height, data: dropAlpha(decoded.data) };
  };
}

/** A decoder that takes grey and colour JPEG files to `jpeg`, everything else (CMYK included) to `others`. */
export function combineDecoders(jpeg: ImageDecoder, others: ImageDecoder): ImageDecoder {
  return async (bytes, file) =>
    isJpeg(bytes) && readJpegHeader(bytes, file).components !== 4 ? jpeg(bytes, file) : others(bytes, file);
}
