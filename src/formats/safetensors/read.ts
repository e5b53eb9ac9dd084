/*
 * safetensors: a length (uint64, little endian), a JSON header of that many bytes, then the elements of all tensors,
 * row-major and little endian, without gaps. Source: the format's README, huggingface/safetensors.
 */
import { z } from 'zod';
import { ShiboriError } from '../../errors.js';
import { allocate, type DType, fromBytes, getBytesPerElement } from '../../tensor/dtype.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { describeFileKind } from '../file-kind.js';
import { safetensorsDtypes } from './dtypes.js';
import { parseHeader } from './header.js';

const LENGTH_BYTES = 8;
/** The format's own limit: longer headers could only make the parser slow. */
const MAX_HEADER_BYTES = 100_000_000;

const size = z.int().nonnegative();
const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(size),
  data_offsets: z.tuple([size, size]),
});
const metadataSchema = z.record(z.string(), z.string());

type Entry = z.infer<typeof entrySchema> & { readonly name: string };
type Fail = (problem: string) => ShiboriError;

/** Named tensors, in the header's order, and the file's free text. */
export interface SafetensorsFile {
  readonly tensors: Map<string, Tensor>;
  /** `__metadata__`, empty when there is none. */
  readonly metadata: Record<string, string>;
}

/**
 * The tensors of a `.safetensors` file, as views into `bytes` where they are aligned.
 *
 * @param file Its name, for error messages.
 * @throws ShiboriError for any other file, and when header and elements do not agree to the byte.
 */
export function readSafetensors(bytes: Uint8Array, file: string): SafetensorsFile {
  const fail: Fail = (problem) => new ShiboriError(`Reading ${file}: ${problem}`, { code: 'invalid-file' });
  const { header, end } = readSafetensorsHeader(bytes, fail);
  const { __metadata__, ...described } = header;
  const metadata = metadataSchema.safeParse(__metadata__ ?? {});
  if (!metadata.success) throw fail('its __metadata__ is not a list of texts, as the format wants it. Save it again.');
  const entries = Object.entries(described).map(([name, value]) => parseEntry(name, value, fail));
  const elements = bytes.subarray(end);
  checkOffsets(entries, elements.length, fail);
  const tensors = new Map(entries.map((entry) => [entry.name, readSafetensor(entry, elements, fail)] as const));
  return { tensors, metadata: metadata.data };
}

function readSafetensorsHeader(bytes: Uint8Array, fail: Fail): { header: Record<string, unknown>; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A few bytes of text show best what the file is.
  const other = `it is ${describeFileKind(bytes)}, not a safetensors file. Give the right file, or rename it.`;
  if (bytes.length <= LENGTH_BYTES || bytes[LENGTH_BYTES] !== 0x7b) throw fail(other);
  const length = view.getBigUint64(0, true);
  const found = bytes.length - LENGTH_BYTES;
  if (length > BigInt(found)) {
    throw fail(
      `its header claims ${length} bytes, but only ${found} follow. It is cut short or damaged: copy or download it again.`,
    );
  }
  if (length > MAX_HEADER_BYTES)
    throw fail(`its header claims ${length} bytes; the format allows ${MAX_HEADER_BYTES}.`);
  const end = LENGTH_BYTES + Number(length);
  return { header: parseHeader(bytes.subarray(LENGTH_BYTES, end), fail), end };
}

function parseEntry(name: string, value: unknown, fail: Fail): Entry {
  const parsed = entrySchema.safeParse(value);
  if (parsed.success) return { name, ...parsed.data };
  const [issue] = parsed.error.issues;
  const where = issue?.path.length ? `${issue.path.join('.')}: ` : '';
  throw fail(`tensor ${JSON.stringify(name)} is not described as the format wants it (${where}${issue?.message}).`);
}

/** Throws unless the tensors follow each other without overlap or gap, from the first byte to the last. */
function checkOffsets(entries: readonly Entry[], available: number, fail: Fail): void {
  const inOrder = [...entries].sort(
    (a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  );
  let position = 0;
  let before: string | undefined;
  for (const {
    name,
    data_offsets: [begin, end],
  } of inOrder) {
    const what = `tensor ${JSON.stringify(name)} takes the bytes ${begin} to ${end}`;
    const last = before === undefined ? 'the start' : `tensor ${JSON.stringify(before)}`;
    if (end < begin) throw fail(`${what}, which end before they begin.`);
    if (end > available) {
      throw fail(`${what}, but the file holds ${available}. It is cut short: copy or download it again.`);
    }
    if (begin < position) throw fail(`${what}, which overlap those of ${last}, up to ${position}.`);
    if (begin > position) {
      throw fail(`${what}, but the bytes ${position} to ${begin}, after ${last}, belong to no tensor.`);
    }
    position = end;
    before = name;
  }
  if (position < available) {
    const last = before === undefined ? 'its header' : `its last tensor, ${JSON.stringify(before)},`;
    throw fail(`${available - position} bytes after ${last} belong to none. Save the file again.`);
  }
}

function readSafetensor(entry: Entry, elements: Uint8Array, fail: Fail): Tensor {
  const {
    name,
    dtype: code,
    shape,
    data_offsets: [begin, end],
  } = entry;
  const what = `tensor ${JSON.stringify(name)}`;
  const dtype = Object.hasOwn(safetensorsDtypes, code) ? safetensorsDtypes[code] : undefined;
  if (dtype === undefined) {
    const known = Object.keys(safetensorsDtypes).join(', ');
    throw fail(`${what} has elements of type ${JSON.stringify(code)}; supported: ${known}. Convert it to one of them.`);
  }
  // May be infinite or inexact: it is only compared with a number of bytes that are really there.
  const count = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
  const needed = count * getBytesPerElement(dtype);
  if (needed !== end - begin) {
    throw fail(
      `${what}, ${code} [${shape.join(', ')}], needs ${needed} bytes, but its offsets give it ${end - begin}.`,
    );
  }
  return buildSafetensor(dtype, shape, elements.subarray(begin, end), what, fail);
}

function buildSafetensor<T extends DType>(
  dtype: T,
  dims: readonly number[],
  bytes: Uint8Array,
  what: string,
  fail: Fail,
): Tensor<T> {
  if (dtype === 'bool' && bytes.some((byte) => byte > 1)) throw fail(`${what}: its booleans are not all 0 or 1.`);
  return tensor(dtype, dims, bytes.length === 0 ? allocate(dtype, 0) : fromBytes(dtype, bytes));
}
