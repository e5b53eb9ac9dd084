import type { ContractionPlan } from '../../src/decompose/contraction.js';
import { computeStrides, countElements } from '../../src/tensor/dims.js';

/** A tensor whose axes have names. */
export interface NamedTensor {
  readonly indices: readonly string[];
  readonly data: Float64Array;
}

type Sizes = Readonly<Record<string, number>>;

function dimsOf(indices: readonly string[], sizes: Sizes): number[] {
  return indices.map((index) => sizes[index] ?? Number.NaN);
}

/** The same tensor with its axes in another order, by the definition. */
export function ordered({ indices, data }: NamedTensor, order: readonly string[], sizes: Sizes): NamedTensor {
  const dims = dimsOf(order, sizes);
  const targetStrides = computeStrides(dims);
  const sourceStrides = computeStrides(dimsOf(indices, sizes));
  const strides = order.map((index) => sourceStrides[indices.indexOf(index)] ?? Number.NaN);
  const result = new Float64Array(countElements(dims));
  for (let at = 0; at < result.length; at++) {
    let from = 0;
    dims.forEach((dim, axis) => {
      from += (Math.floor(at / (targetStrides[axis] ?? 1)) % dim) * (strides[axis] ?? 0);
    });
    result[at] = data[from] ?? Number.NaN;
  }
  return { indices: order, data: result };
}

/** Runs a plan by plain loops: every step is Transpose, Reshape and one matrix product. */
export function evaluatePlan(
  plan: ContractionPlan,
  tensors: readonly NamedTensor[],
  sizes: Sizes,
  output: readonly string[],
): Float64Array {
  const operands = [...tensors];
  for (const { left, right, leftFree, contracted, rightFree } of plan.steps) {
    const [a, b] = [operands[left], operands[right]];
    if (!a || !b) throw new Error('The plan names an operand that does not exist yet.');
    const p = ordered(a, [...leftFree, ...contracted], sizes).data;
    const q = ordered(b, [...contracted, ...rightFree], sizes).data;
    const [m, k, n] = [leftFree, contracted, rightFree].map((group) => countElements(dimsOf(group, sizes))) as [
      number,
      number,
      number,
    ];
    const data = new Float64Array(m * n);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        for (let x = 0; x < k; x++)
          data[i * n + j] = (data[i * n + j] ?? 0) + (p[i * k + x] ?? 0) * (q[x * n + j] ?? 0);
      }
    }
    operands.push({ indices: [...leftFree, ...rightFree], data });
  }
  const result = operands.at(-1);
  if (!result) throw new Error('The plan has no operands.');
  return ordered(result, output, sizes).data;
}
