import { UsageError } from '../../errors.js';
import { getBytesPerElement } from '../../tensor/dtype.js';
import { countTensorBytes, getTensorBytes, type Tensor } from '../../tensor/tensor.js';
import { safetensorsDtypes } from './dtypes.js';

const METADATA = '__metadata__';
const LENGTH_BYTES = 8;
/** The elements begin at a multiple of the widest element. */
const ELEMENT_ALIGNMENT = 8;

const safetensorsCodes = new Map(Object.entries(safetensorsDtypes).map(([code, dtype]) => [dtype, code] as const));

/**
 * Named tensors as the bytes of a `.safetensors` file, every element type kept.
 *
 * @param metadata Free text, stored under `__metadata__`. Default: none.
 * @throws UsageError for a tensor named `__metadata__`, which the format reserves.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  if (tensors.has(METADATA)) throw new UsageError(`A safetensors file cannot hold a tensor named ${METADATA}.`);
  // Wide elements first: then all are aligned to their own size without gaps, which the format forbids.
  const layout = [...tensors].sort(([, a], [, b]) => getBytesPerElement(b.dtype) - getBytesPerElement(a.dtype));
  const begins = new Map<string, number>();
  let total = 0;
  for (const [name, tensor] of layout) {
    begins.set(name, total);
    total += countTensorBytes(tensor);
  }

  const entries = [...tensors].map(([name, tensor]) => {
    const begin = begins.get(name) ?? 0;
    const entry = {
      dtype: safetensorsCodes.get(tensor.dtype),
      shape: tensor.dims,
      data_offsets: [begin, begin + countTensorBytes(tensor)],
    };
    return [name, entry] as const;
  });
  const described = Object.keys(metadata).length > 0 ? [[METADATA, metadata] as const, ...entries] : entries;
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries<unknown>(described)));
  const start = Math.ceil((LENGTH_BYTES + text.length) / ELEMENT_ALIGNMENT) * ELEMENT_ALIGNMENT;

  const bytes = new Uint8Array(start + total);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - LENGTH_BYTES), true);
  bytes.fill(0x20, LENGTH_BYTES, start);
  bytes.set(text, LENGTH_BYTES);
  for (const [name, tensor] of tensors) bytes.set(getTensorBytes(tensor), start + (begins.get(name) ?? 0));
  return bytes;
}
