/** Rules of the matrix products. */
import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { computeEinsumSizes, formatEinsum, parseEinsum } from '../../ops/einsum.js';
import type { linear as specs } from '../../ops/linear.js';
import { countElements, range } from '../../tensor/dims.js';
import type { RuleContext, Rules } from '../rule.js';
import { constantLike, reshapeTo, scaleBy } from './terms.js';

/** A stack of matrices with rows and columns swapped. */
function transposeMatrices(builder: GraphBuilder, value: Value, rank: number): Value {
  return builder.op('Transpose', [value], { perm: [...range(rank - 2), rank - 1, rank - 2] });
}

export const linear: Rules<keyof typeof specs> = {
  // Y = alpha A' B' + beta C, where ' transposes if asked to.
  // dA' = alpha dY B'^T, dB' = alpha A'^T dY, dC = beta dY
  Gemm({ builder: b, attributes: { alpha, beta, transA, transB }, dy, ...c }) {
    const [A, B] = [c.x(0), c.x(1)];
    const product = (left: Value, right: Value, transLeft: number, transRight: number) =>
      b.op('Gemm', [left, right], { alpha, transA: transLeft, transB: transRight });
    let dA: Value | undefined;
    if (c.needs(0)) dA = transA ? product(B, dy, transB, 1) : product(dy, B, 0, transB ? 0 : 1);
    let dB: Value | undefined;
    if (c.needs(1)) dB = transB ? product(dy, A, 1, transA) : product(A, dy, transA ? 0 : 1, 0);
    return [dA, dB, c.needs(2) ? scaleBy(b, dy, beta) : undefined];
  },

  // dA = dY B^T, dB = A^T dY
  MatMul({ builder: b, ...c }) {
    const [dimsA, dimsB] = [c.dims(c.x(0)), c.dims(c.x(1))];
    // A vector is a row on the left and a column on the right: its axis of size 1 comes back into dY.
    const rowsA = dimsA.length === 1 ? [1, ...dimsA] : dimsA;
    const columnsB = dimsB.length === 1 ? [...dimsB, 1] : dimsB;
    const dimsY = [...c.dims(c.y)];
    if (dimsB.length === 1) dimsY.push(1);
    if (dimsA.length === 1) dimsY.splice(dimsY.length - 1, 0, 1);
    const A = reshapeTo(b, c.x(0), rowsA);
    const B = reshapeTo(b, c.x(1), columnsB);
    const dY = reshapeTo(b, c.dy, dimsY);

    const dA = c.needs(0) ? b.op('MatMul', [dY, transposeMatrices(b, B, columnsB.length)]) : undefined;
    let dB: Value | undefined;
    if (c.needs(1) && columnsB.length === 2) {
      // One product over all rows of all matrices, instead of a product each and a sum.
      const flat = (value: Value, dims: readonly number[]) =>
        reshapeTo(b, value, [countElements(dims.slice(0, -1)), dims.at(-1) ?? 1]);
      dB = b.op('Gemm', [flat(A, rowsA), flat(dY, dimsY)], { transA: 1 });
    } else if (c.needs(1)) {
      dB = b.op('MatMul', [transposeMatrices(b, A, rowsA.length), dY]);
    }
    // The row axis of a vector on the left is a leading one, which the walker sums away with the others.
    return [dA, dB && dimsB.length === 1 ? reshapeTo(b, dB, c.dims(dB).slice(0, -1)) : dB];
  },
  Einsum: (c) => c.node.inputs.map((_, i) => (c.needs(i) ? buildEinsumGradient(c, i) : undefined)),
};

// dXi = Einsum of dY and all other operands with the labels of Xi as output. What they do not name at its full length
// comes from a vector of ones; an axis of Xi that was repeated is summed; a label that Xi has twice (a diagonal) gets a
// second name, and the identity matrix between the two.
function buildEinsumGradient({ builder: b, dy, ...c }: RuleContext<'Einsum'>, i: number): Value {
  const operands = c.node.inputs.map((_, k) => c.x(k));
  const dims = operands.map((operand) => c.dims(operand));
  const { inputs, output } = parseEinsum(
    c.attributes.equation,
    dims.map(({ length }) => length),
  );
  const sizes = computeEinsumSizes(inputs, dims);
  const own = dims[i] ?? [];
  const factors = [{ value: dy, labels: output, dims: c.dims(c.y) }];
  for (const [k, value] of operands.entries()) {
    if (k !== i) factors.push({ value, labels: inputs[k] ?? [], dims: dims[k] ?? [] });
  }
  const constant = (values: readonly number[], labels: readonly string[], dims: readonly number[]) =>
    factors.push({ value: constantLike(b, values, dims, dy), labels, dims });
  const result: string[] = [];
  for (const [axis, label] of (inputs[i] ?? []).entries()) {
    const size = own[axis] ?? 1;
    if (size === 1 && sizes.get(label) !== 1) continue;
    if (result.includes(label)) {
      const second = `${label} again at ${axis}`;
      const identity = range(size * size).map((at) => (at % (size + 1) === 0 ? 1 : 0));
      constant(identity, [label, second], [size, size]);
      result.push(second);
      continue;
    }
    const isNamed = factors.some(({ labels, dims }) => labels.some((one, at) => one === label && dims[at] === size));
    if (!isNamed) constant(new Array<number>(size).fill(1), [label], [size]);
    result.push(label);
  }
  const equation = formatEinsum({ inputs: factors.map(({ labels }) => labels), output: result });
  const values = factors.map(({ value }) => value);
  return reshapeTo(b, b.op('Einsum', values, { equation }), own);
}
