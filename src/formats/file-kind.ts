/*
 * What a file is, by its name and by its first bytes.
 */

/** Names a file format that models are read from and written to. */
export type ModelFormat = 'onnx' | 'torch' | 'safetensors';

/** The extensions of model files. */
const modelFormats: Readonly<Record<string, ModelFormat>> = {
  '.onnx': 'onnx',
  '.pt': 'torch',
  '.pth': 'torch',
  '.ckpt': 'torch',
  '.th': 'torch',
  '.bin': 'torch',
  '.safetensors': 'safetensors',
};

/** Lists the extensions of model files. */
export const modelExtensions: readonly string[] = Object.keys(modelFormats);

/** Finds the format that the extension of a model file promises; `undefined` for any other extension. */
export function findModelFormat(extension: string): ModelFormat | undefined {
  return modelFormats[extension.toLowerCase()];
}

/** Whether a file is a zip archive, by its first bytes. */
export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b;
}

/** Whether a file begins as a safetensors file: a length in eight bytes, of which the last two are never needed, and `{`. */
function isSafetensors(bytes: Uint8Array): boolean {
  return bytes[8] === 0x7b && bytes[6] === 0 && bytes[7] === 0;
}

/** Finds the model format that the first bytes of a file show; `undefined` where they show none. */
export function detectModelFormat(bytes: Uint8Array): ModelFormat | undefined {
  // First: the length of its header may begin with any byte.
  if (isSafetensors(bytes)) return 'safetensors';
  if (isZip(bytes)) return 'torch';
  const [first, protocol] = bytes;
  if (first === 0x80 && (protocol === undefined || protocol <= 5)) return 'torch';
  return first === 0x08 ? 'onnx' : undefined;
}

/** Beginnings of files that are taken for model files now and then, as Latin-1 text. */
const beginnings: readonly (readonly [start: string, kind: string])[] = [
  ['\xff\xd8\xff', 'a JPEG image'],
  ['\x89PNG', 'a PNG image'],
  ['PK\x03\x04', 'a zip archive'],
  ['PK\x05\x06', 'an empty zip archive'],
  ['\x80', 'a Python pickle'],
  ['\x1f\x8b', 'a gzip-compressed file'],
  ['\x89HDF', 'an HDF5 file'],
  ['\x93NUMPY', 'a NumPy array'],
  ['version https://git-lfs', 'a Git LFS pointer, which stands for a file that was not downloaded'],
  ['<', 'a web page or other markup'],
  ['\x08', 'perhaps an ONNX model'],
];

/** Describes what the first bytes of a file show it to be, for error messages: "a JPEG image". */
export function describeFileKind(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file';
  if (isSafetensors(bytes)) return 'a safetensors file';
  const start = String.fromCharCode(...bytes.subarray(0, 32));
  const kind = beginnings.find(([beginning]) => start.startsWith(beginning))?.[1];
  if (kind !== undefined) return kind;
  const shown = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `a file that begins with the bytes ${shown}`;
}

/** How the first characters of a file that is no model show what it is, and what to do about it. */
const otherFormats: readonly { readonly pattern: RegExp; what(match: RegExpExecArray): string }[] = [
  {
    pattern: /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n(?:.*\n)*?size (\d+)/,
    what: ([, size]) =>
      `it is a Git LFS pointer to a file of ${size} bytes, not the file itself. Run \`git lfs pull\`, or download the model by its own link`,
  },
  {
    pattern: /^\s*<(?:!doctype|html|head|\?xml|svg)/i,
    what: () =>
      'it is a web page (HTML), as servers send instead of a file that is missing or needs a login. Download the model again',
  },
  {
    pattern: /^\s*\{\s*"/,
    what: () => 'it is a JSON document, perhaps the answer of a server. Download the model again',
  },
];

/** Describes what a file is that was saved under a model's name; `undefined` where it may be a model. */
export function describeOtherFormat(bytes: Uint8Array): string | undefined {
  // Each byte a character: most of what is looked for is ASCII.
  const start = String.fromCharCode(...bytes.subarray(0, 512));
  for (const { pattern, what } of otherFormats) {
    const match = pattern.exec(start);
    if (match) return what(match);
  }
  return undefined;
}
