import { ShiboriError } from '../errors.js';

export interface JpegHeader {
  readonly width: number;
  readonly height: number;
  /** 1: grey, 3: colour, 4: CMYK. */
  readonly components: number;
}

/** Whether bytes begin as every JPEG file does. */
export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8;
}

const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

/** SOF0…SOF15, of which C4, C8 and CC are other things (ITU T.81, table B.1). */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Size and components, read from the frame header without decoding. `file` names the image in errors. */
export function readJpegHeader(bytes: Uint8Array, file: string): JpegHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (isJpeg(bytes) && at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) {
      at++;
      continue;
    }
    const marker = bytes[at + 1] as number;
    // 0xff may be repeated as padding; 0x00, TEM and RSTn stand alone.
    if (marker === 0xff || marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === START_OF_SCAN || marker === END_OF_IMAGE) break;
    if (isFrame(marker) && at + 10 <= bytes.length) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9] as number };
    }
    at += 2 + view.getUint16(at + 2);
  }
  throw new ShiboriError(`Cannot read "${file}" as a JPEG image: no frame header in its ${bytes.length} bytes.`, {
    code: 'invalid-data',
  });
}
