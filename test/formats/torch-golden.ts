import { readFileSync } from 'node:fs';
import { countElements } from '../../src/tensor/dims.js';
import { allocate, type DType } from '../../src/tensor/dtype.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';

/** What PyTorch found in a file. */
export type Described = Readonly<Record<string, { dtype: DType; dims: number[]; values: string[] }>>;

const folder = new URL('../golden/torch/', import.meta.url);
const expected: Record<string, Described> = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));

/** A file that make.py wrote. */
export function golden(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, folder)));
}

function fill<T extends DType>(dtype: T, dims: readonly number[], values: readonly string[]): Tensor<T> {
  const data = allocate(dtype, countElements(dims));
  for (const [i, value] of values.entries()) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(value);
    else
      data[i] =
        value === 'inf' ? Number.POSITIVE_INFINITY : value === 'True' ? 1 : value === 'False' ? 0 : Number(value);
  }
  return tensor(dtype, dims, data);
}

/** The tensors that PyTorch found in a file, in its order. */
export function expectedTensors(name: string): Map<string, Tensor> {
  const tensors = Object.entries(expected[name] ?? {});
  return new Map(tensors.map(([key, { dtype, dims, values }]) => [key, fill(dtype, dims, values)] as const));
}
