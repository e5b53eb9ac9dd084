/** Rules of the operators that pick and place by indices: what went from i to o, comes back from o to i. */
import type { Value } from '../../graph/model.js';
import type { indexing as specs } from '../../ops/indexing.js';
import { computeStrides, countElements, normalizeAxis, range } from '../../tensor/dims.js';
import { int64 } from '../../tensor/tensor.js';
import { notDifferentiable, type RuleContext, type Rules } from '../rule.js';
import { castLike, reshapeTo, zerosLike } from './terms.js';

export const indexing: Rules<keyof typeof specs> = {
  Gather: gather,
  // dX[index] += dY
  GatherElements(c) {
    const { builder: b, dy } = c;
    const into = zerosLike(b, c.dims(c.x(0)), dy);
    return [b.op('ScatterElements', [into, c.x(1), dy], { axis: c.attributes.axis, reduction: 'add' })];
  },
  // dX[index] += dY, where the index of a batch dimension is its own position
  GatherND({ builder: b, dy, ...c }) {
    const dims = c.dims(c.x(0));
    const { batch_dims: batchDims } = c.attributes;
    let index = c.x(1);
    if (batchDims > 0) {
      const tuples = c.dims(index).slice(0, -1);
      const strides = computeStrides(tuples);
      const positions = range(countElements(tuples)).flatMap((i) =>
        range(batchDims).map((axis) => Math.floor(i / (strides[axis] ?? 1)) % (dims[axis] ?? 1)),
      );
      const batch = b.initializer('constant/positions', int64(positions, [...tuples, batchDims]));
      index = b.op('Concat', [batch, index], { axis: -1 });
    }
    return [b.op('ScatterND', [zerosLike(b, dims, dy), index, dy], { reduction: 'add' })];
  },
  // Y = X with Y[index] = U or Y[index] += U. dU = dY[index]; dX = dY, without the replaced elements
  ScatterElements({ builder: b, dy, ...c }) {
    const { axis, reduction } = c.attributes;
    if (reduction !== 'add' && reduction !== 'none') {
      throw c.fail(`there is no rule for reduction "${reduction}", only for "add" and "none".`);
    }
    const index = c.x(1);
    let dX: Value | undefined;
    if (c.needs(0) && reduction === 'add') dX = dy;
    else if (c.needs(0)) dX = b.op('ScatterElements', [dy, index, zerosLike(b, c.dims(index), dy)], { axis });
    return [dX, undefined, c.needs(2) ? b.op('GatherElements', [dy, index], { axis }) : undefined];
  },
  ScatterND({ builder: b, dy, ...c }) {
    const { reduction } = c.attributes;
    if (reduction !== 'add' && reduction !== 'none') {
      throw c.fail(`there is no rule for reduction "${reduction}", only for "add" and "none".`);
    }
    const index = c.x(1);
    let dX: Value | undefined;
    if (c.needs(0) && reduction === 'add') dX = dy;
    else if (c.needs(0)) dX = b.op('ScatterND', [dy, index, zerosLike(b, c.dims(c.x(2)), dy)]);
    return [dX, undefined, c.needs(2) ? b.op('GatherND', [dy, index]) : undefined];
  },
  // dX[position of each value] = dY
  TopK({ builder: b, dy, ...c }) {
    const { axis } = c.attributes;
    const [, index] = b.node('TopK', [c.x(0), c.x(1)], c.attributes, { outputs: 2 });
    if (!index) throw c.fail('it has no indices.');
    return [b.op('ScatterElements', [zerosLike(b, c.dims(c.x(0)), dy), index, dy], { axis })];
  },
  // Y = off + (on - off) at the indices: d off = sum of dY elsewhere, d on = sum of dY there
  OneHot({ builder: b, dy, ...c }) {
    const all = b.op('ReduceSum', [dy], { keepdims: 0 });
    const ends = b.initializer('constant/ends', int64([0, 1]));
    const mask = castLike(b, b.op('OneHot', [c.x(0), c.x(1), ends], c.attributes), dy);
    const on = b.op('ReduceSum', [b.op('Mul', [dy, mask])], { keepdims: 0 });
    const pair = [b.op('Sub', [all, on]), on].map((sum) => reshapeTo(b, sum, [1]));
    return [undefined, undefined, b.op('Concat', pair, { axis: 0 })];
  },
  // dX = the same triangle of dY
  Trilu: ({ builder: b, dy, ...c }) => [b.op('Trilu', [dy, c.has(1) ? c.x(1) : undefined], c.attributes)],
  // dX = dY, reversed back
  ReverseSequence: ({ builder: b, dy, ...c }) => [b.op('ReverseSequence', [dy, c.x(1)], c.attributes)],
  NonZero: notDifferentiable,
  ConstantOfShape: notDifferentiable,
  EyeLike: notDifferentiable,
  Range: notDifferentiable,
};

// dX[index] += dY along the axis
function gather({ builder: b, ...c }: RuleContext<'Gather'>): Value[] {
  const dims = c.dims(c.x(0));
  const axis = normalizeAxis(c.attributes.axis, dims.length);
  const count = countElements(c.dims(c.x(1)));
  const [before, after] = [countElements(dims.slice(0, axis)), countElements(dims.slice(axis + 1))];
  const flat = [before, count, after];
  const index = b.op('Expand', [reshapeTo(b, c.x(1), [1, count, 1]), b.ints(flat)]);
  const into = zerosLike(b, [before, dims[axis] ?? 1, after], c.dy);
  const scattered = b.op('ScatterElements', [into, index, reshapeTo(b, c.dy, flat)], { axis: 1, reduction: 'add' });
  return [reshapeTo(b, scattered, dims)];
}
