import { createClutteredDigits } from '../data/cluttered-digits.js';
import type { ImageDecoder } from '../data/decode.js';
import { getBaseName, type ImageOrigin } from '../data/image-items.js';
import type { ImageRequest } from '../data/image-loader.js';
import { ShiboriError } from '../errors.js';
import { decodeImage } from './decode-image.js';
import { readFromFolder } from './image-source-tree.js';
import { openZipEntries } from './image-source-zip.js';
import { readMnist } from './mnist.js';

/** Decodes cluttered digits, which are pixels already: 64×64, RGB. */
export const decodeDigit: ImageDecoder = async (data) => ({ width: 64, height: 64, data });

/** How the bytes of an origin's images become pixels. */
export function getDecoder(origin: ImageOrigin): ImageDecoder {
  return origin.kind === 'digits' ? decodeDigit : decodeImage;
}

/**
 * Opens the images of an origin: what reads the bytes of one. Nothing is listed, so that it costs little to do once more
 * in each thread. A zip archive stays open until the thread ends.
 */
export async function openOrigin(origin: ImageOrigin): Promise<(image: ImageRequest) => Promise<Uint8Array>> {
  switch (origin.kind) {
    case 'folder':
      return ({ path }) => readFromFolder(origin.path, `${origin.root}${path}`);
    case 'zip': {
      const read = await openZipEntries(origin.path);
      return async ({ path, entry }) => {
        if (entry === undefined)
          throw new ShiboriError(`"${path}" has no place in the zip archive "${origin.path}".`, {
            code: 'invalid-data',
          });
        return read(`${origin.root}${path}`, entry);
      };
    }
    case 'digits': {
      const digits = createClutteredDigits({ ...origin, digits: await readMnist(origin.split) });
      return async ({ path }) => digits.drawImage(Number(getBaseName(path))).data;
    }
  }
}
