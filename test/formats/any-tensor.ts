import fc from 'fast-check';
import { countElements } from '../../src/tensor/dims.js';
import { type DType, fromBytes, getBytesPerElement } from '../../src/tensor/dtype.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';

function build<T extends DType>(dtype: T, dims: readonly number[], bytes: Uint8Array): Tensor<T> {
  return tensor(dtype, dims, fromBytes(dtype, dtype === 'bool' ? bytes.map((byte) => byte & 1) : bytes));
}

/** Tensors of up to four axes, empty and scalar ones included, of any bits. */
export function anyTensor(dtypes: readonly DType[]): fc.Arbitrary<Tensor> {
  return fc
    .record({ dtype: fc.constantFrom(...dtypes), dims: fc.array(fc.nat(3), { maxLength: 4 }) })
    .chain(({ dtype, dims }) => {
      const length = countElements(dims) * getBytesPerElement(dtype);
      return fc
        .uint8Array({ minLength: length, maxLength: length })
        .map((bytes) => build(dtype, dims, new Uint8Array(bytes)));
    });
}
