import { computeEinsumSizes, parseEinsum } from '../ops/einsum.js';
import type { linear as specs } from '../ops/linear.js';
import { computeStrides, countElements } from '../tensor/dims.js';
import {
  expectEntry,
  fromNumbers,
  generate,
  type Kernels,
  listBroadcastPositions,
  listStridedPositions,
  readNumbers,
} from './kernel.js';

export const linear: Kernels<keyof typeof specs> = {
  // Y = alpha A' B' + beta C, where A' and B' are A and B or their transposes.
  Gemm: ({ alpha, beta, transA, transB }, inputs, types) => {
    const [A, B, C, type] = [expectEntry(inputs, 0), expectEntry(inputs, 1), inputs[2], expectEntry(types, 0)];
    const [a, b] = [readNumbers(A), readNumbers(B)];
    const [rows = 0, columns = 0] = type.dims;
    const inner = A.dims[transA ? 0 : 1] ?? 0;
    const c = C && { data: readNumbers(C), from: listBroadcastPositions(C.dims, type.dims) };
    return [
      generate(type, (at) => {
        const [i, j] = [Math.floor(at / columns), at % columns];
        let sum = 0;
        for (let k = 0; k < inner; k++) {
          sum +=
            (a[transA ? k * rows + i : i * inner + k] as number) *
            (b[transB ? j * inner + k : k * columns + j] as number);
        }
        return alpha * sum + (c ? beta * (c.data[c.from[at] as number] as number) : 0);
      }),
    ];
  },
  // Y[…, i, j] = Σk A[…, i, k] B[…, k, j]
  MatMul: (_, inputs, types) => {
    const [A, B, type] = [expectEntry(inputs, 0), expectEntry(inputs, 1), expectEntry(types, 0)];
    const [a, b] = [readNumbers(A), readNumbers(B)];
    // A vector is a row on the left and a column on the right.
    const left = A.dims.length === 1 ? [1, ...A.dims] : A.dims;
    const right = B.dims.length === 1 ? [...B.dims, 1] : B.dims;
    const [rows, inner, columns] = [left.at(-2) ?? 1, left.at(-1) ?? 1, right.at(-1) ?? 1];
    const batch = type.dims.slice(0, type.dims.length - (A.dims.length > 1 ? 1 : 0) - (B.dims.length > 1 ? 1 : 0));
    const [fromA, fromB] = [
      listBroadcastPositions(left.slice(0, -2), batch),
      listBroadcastPositions(right.slice(0, -2), batch),
    ];
    const out = new Float64Array(countElements(type.dims));
    let position = 0;
    for (let n = 0; n < fromA.length; n++) {
      const [startA, startB] = [(fromA[n] as number) * rows * inner, (fromB[n] as number) * inner * columns];
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          let sum = 0;
          for (let k = 0; k < inner; k++) {
            sum += (a[startA + i * inner + k] as number) * (b[startB + k * columns + j] as number);
          }
          out[position++] = sum;
        }
      }
    }
    return [fromNumbers(type, out)];
  },
  // Y[output labels] = Σ over the other labels of the product of all inputs.
  Einsum: ({ equation }, inputs, types) => {
    const operands = inputs.map((_, i) => expectEntry(inputs, i));
    const dims = operands.map((operand) => operand.dims);
    const labels = parseEinsum(
      equation,
      dims.map(({ length }) => length),
    );
    const sizes = computeEinsumSizes(labels.inputs, dims);
    const summed = [...sizes.keys()].filter((label) => !labels.output.includes(label));
    const visits = (operand: number, along: readonly string[]) => {
      const strides = computeStrides(dims[operand] ?? []);
      // A label that stands for two axes walks along both: a diagonal. An axis of 1 repeats.
      const getLabelStride = (label: string) =>
        (labels.inputs[operand] ?? []).reduce(
          (sum, own, axis) => sum + (own === label && dims[operand]?.[axis] !== 1 ? (strides[axis] ?? 0) : 0),
          0,
        );
      return listStridedPositions(
        along.map((label) => sizes.get(label) ?? 1),
        along.map(getLabelStride),
      );
    };
    const factors = operands.map((operand, i) => ({
      data: readNumbers(operand),
      kept: visits(i, labels.output),
      summed: visits(i, summed),
    }));
    const terms = countElements(summed.map((label) => sizes.get(label) ?? 1));
    return [
      generate(expectEntry(types, 0), (i) => {
        let sum = 0;
        for (let k = 0; k < terms; k++) {
          let product = 1;
          for (const { data, kept, summed } of factors) {
            product *= data[(kept[i] as number) + (summed[k] as number)] as number;
          }
          sum += product;
        }
        return sum;
      }),
    ];
  },
};
