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

/** What the first bytes of a file show it to be, for error messages: "a JPEG image". */
export function describeFileKind(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file';
  const start = String.fromCharCode(...bytes.subarray(0, 32));
  // A safetensors file begins with a length in eight bytes, of which nobody needs the last two.
  if (start.length >= 9 && start.slice(6, 9) === '\0\0{') return 'a safetensors file';
  const kind = beginnings.find(([beginning]) => start.startsWith(beginning))?.[1];
  if (kind !== undefined) return kind;
  const shown = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `a file that begins with the bytes ${shown}`;
}
