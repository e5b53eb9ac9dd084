import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import { PickleWriter } from '../../src/formats/torch/pickle-writer.js';

/** A zip file with these entries, stored unless a level is given. */
export async function zipOf(entries: Readonly<Record<string, Uint8Array>>, level = 0): Promise<Uint8Array> {
  const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false, level, extendedTimestamp: false });
  for (const [name, bytes] of Object.entries(entries)) await writer.add(name, new Uint8ArrayReader(bytes));
  return writer.close();
}

/** A zip file as torch.save writes it, of a pickle and its storages `0`, `1`, … */
export function archiveOf(pickle: PickleWriter, ...storages: readonly Uint8Array[]): Promise<Uint8Array> {
  const data = storages.map((bytes, key) => [`a/data/${key}`, bytes] as const);
  return zipOf({ 'a/data.pkl': pickle.bytes(), ...Object.fromEntries(data) });
}

export const pickle = () => new PickleWriter().operations('\x80\x02');

/** What a tensor of a crafted pickle claims. */
export interface Claim {
  readonly key?: string;
  readonly storageClass?: string;
  readonly length: number;
  readonly offset?: number;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
}

/** Pushes a tensor. */
export function pushTensor(writer: PickleWriter, claim: Claim): PickleWriter {
  const { key = '0', storageClass = 'FloatStorage', length, offset = 0, dims, strides } = claim;
  writer.global('torch._utils', '_rebuild_tensor_v2').operations('((').text('storage').global('torch', storageClass);
  writer.text(key).text('cpu').integer(length).operations('tQ').integer(offset).tuple(dims).tuple(strides);
  return writer.operations('\x89NtR');
}

/** The file of a state dict with one tensor, `weight`. */
export function archiveOfOne(claim: Claim, storage: Uint8Array): Promise<Uint8Array> {
  return archiveOf(pushTensor(pickle().operations('}').text('weight'), claim).operations('s.'), storage);
}

/** The beginning of a file of the old format: magic number, protocol, machine. */
export function legacyOf(object: PickleWriter, rest: Uint8Array, littleEndian = true): Uint8Array {
  const magic = pickle().operations('\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.');
  const protocol = pickle().operations('M\xe9\x03.');
  const machine = pickle()
    .operations('}')
    .text('little_endian')
    .operations(littleEndian ? '\x88s.' : '\x89s.');
  return concatenate(magic.bytes(), protocol.bytes(), machine.bytes(), object.bytes(), rest);
}

export function concatenate(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}
