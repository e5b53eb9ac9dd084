import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Dim, Graph, Value } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { foldConstants } from '../../src/passes/fold-constants.js';
import { bindInputs } from '../../src/passes/rewrite.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.js';

const opsOf = (graph: Graph) => graph.nodes.map(({ op }) => op);
const dimsOf = (graph: Graph) => graph.outputs.map(({ type }) => type?.dims);
const scalar = (b: GraphBuilder, value: number) => b.initializer('index', int64([value], []));

/** `x.size(axis)` as PyTorch exports it. */
function sizeOf(b: GraphBuilder, x: Value, axis: number): Value {
  return b.op('Gather', [b.op('Shape', [x]), scalar(b, axis)]);
}

/** `[a, b, …]` of sizes as PyTorch exports it: each unsqueezed, all concatenated. */
function shapeOf(b: GraphBuilder, ...sizes: (Value | number)[]): Value {
  const parts = sizes.map((size) =>
    typeof size === 'number' ? b.ints([size]) : b.op('Unsqueeze', [size, b.ints([0])]),
  );
  return b.op('Concat', parts, { axis: 0 });
}

function random(dims: readonly number[]): Tensor {
  const stream = seeded(3);
  return float32(
    Array.from({ length: dims.reduce((a, c) => a * c, 1) }, () => stream.uniform(-1, 1)),
    dims,
  );
}

/** Folds, and checks that nothing else changed: open and bound, on both engines. */
async function folded(graph: Graph, dims: readonly number[]): Promise<Graph> {
  const { graph: after } = foldConstants(graph);
  const feeds = { x: random(dims) };
  const expected = await runOnce(referenceEngine(), graph, feeds);
  for (const variant of [after, bindInputs(after, { x: dims })]) {
    expect(variant.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
    expect(await runOnce(referenceEngine(), variant, feeds)).toEqual(expected);
    expect(await runOnce(nodeEngine({ threads: 1 }), variant, feeds)).toEqual(expected);
  }
  return after;
}

describe('shapes that are computed from shapes', () => {
  it('Flatten by shape: the batch is copied', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3, 4]);
    b.output(b.op('Reshape', [x, shapeOf(b, sizeOf(b, x, 0), -1)]));
    const graph = await folded(b.build('flatten'), [2, 3, 4]);
    expect(opsOf(graph)).toEqual(['Reshape']);
    expect(dimsOf(graph)).toEqual([['N', 12]]);
    expect([...graph.initializers.values()].map(({ data }) => [...data])).toEqual([[0n, 12n]]);
  });

  it('a channel shuffle: all sizes from the shape, their quotient too', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 6, 2, 2]);
    const [n, c, h, w] = [0, 1, 2, 3].map((axis) => sizeOf(b, x, axis)) as [Value, Value, Value, Value];
    const perGroup = b.op('Div', [c, b.scalar(2, 'int64')]);
    const apart = b.op('Reshape', [x, shapeOf(b, n, 2, perGroup, h, w)]);
    const swapped = b.op('Transpose', [apart], { perm: [0, 2, 1, 3, 4] });
    b.output(b.op('Reshape', [swapped, shapeOf(b, n, -1, h, w)]));
    const graph = await folded(b.build('shuffle'), [3, 6, 2, 2]);
    expect(opsOf(graph)).toEqual(['Reshape', 'Transpose', 'Reshape']);
    expect(dimsOf(graph)).toEqual([['N', 6, 2, 2]]);
  });

  it('a window partition: a multiple of the batch becomes the batch, and the batch again', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 4, 4, 2]);
    const n = sizeOf(b, x, 0);
    const windows = b.op('Reshape', [x, shapeOf(b, n, 2, 2, 2, 2, 2)]);
    const ordered = b.op('Transpose', [windows], { perm: [0, 1, 3, 2, 4, 5] });
    const merged = b.op('Reshape', [ordered, shapeOf(b, b.op('Mul', [n, b.scalar(4, 'int64')]), 4, 2)]);
    const rows = sizeOf(b, merged, 0);
    const batch = b.op('Div', [rows, b.scalar(4, 'int64')]);
    b.output(b.op('Reshape', [merged, shapeOf(b, batch, 4, 4, 2)]));
    b.output(merged);
    const graph = await folded(b.build('windows'), [2, 4, 4, 2]);
    expect(opsOf(graph)).toEqual(['Reshape', 'Transpose', 'Reshape', 'Reshape']);
    expect(dimsOf(graph)).toEqual([
      ['N', 4, 4, 2],
      ['4*N', 4, 2],
    ]);
  });

  it('a class token: Expand keeps its computed shape while the batch is open, and a fixed batch folds all of it', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 5, 3]);
    const token = b.initializer('class_token', float32([1, 2, 3], [1, 1, 3]));
    const wanted = shapeOf(b, sizeOf(b, x, 0), -1, -1);
    const filled = b.op('ConstantOfShape', [b.ints([3])], { value: int64([1]) });
    const negative = b.op('Mul', [filled, b.scalar(-1, 'int64')]);
    const shape = b.op('Where', [b.op('Equal', [wanted, negative]), filled, wanted]);
    b.output(b.op('Concat', [b.op('Expand', [token, shape]), x], { axis: 1 }));
    const graph = await folded(b.build('token'), [2, 5, 3]);
    expect(dimsOf(graph)).toEqual([['N', 6, 3]]);
    expect(listParameters(graph).map(({ name }) => name)).toEqual(['class_token']);
    expect(opsOf(bindInputs(graph, { x: [2, 5, 3] }))).toEqual(['Expand', 'Concat']);
  });

  it('padding as PyTorch exports it: reversed pairs', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2, 3, 3]);
    const given = b.ints([1, 2, 0, 1]);
    const rest = b.op('ConstantOfShape', [b.ints([4])], { value: int64([0]) });
    const pairs = b.op('Reshape', [b.op('Concat', [given, rest], { axis: 0 }), b.ints([-1, 2])]);
    const reversed = b.op('Slice', [pairs, b.ints([-1]), b.ints([-(2 ** 31)]), b.ints([0]), b.ints([-1])]);
    const pads = b.op('Reshape', [b.op('Transpose', [reversed], { perm: [1, 0] }), b.ints([-1])]);
    b.output(b.op('Pad', [x, b.op('Cast', [pads], { to: 7 })]));
    const graph = await folded(b.build('pad'), [2, 2, 3, 3]);
    expect(opsOf(graph)).toEqual(['Pad']);
    expect(dimsOf(graph)).toEqual([['N', 2, 4, 6]]);
  });

  it('the scale of an attention: a root of a size', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 4]);
    const size = b.op('Cast', [sizeOf(b, x, 1)], { to: 1 });
    b.output(b.op('Div', [x, b.op('Sqrt', [size])]));
    expect(opsOf(await folded(b.build('scale'), [2, 4]))).toEqual(['Div']);
  });

  it.each<[string, readonly Dim[], readonly Dim[]]>([
    ['two open sizes in their places', ['N', 3, 'W'], ['N', 3, 'W']],
    ['a size that is not known at all', ['N', '?', 4], ['N', '?', 4]],
  ])('keeps what cannot be fixed: %s', async (_, dims, expected) => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', dims);
    b.output(b.op('Reshape', [x, shapeOf(b, sizeOf(b, x, 0), sizeOf(b, x, 1), sizeOf(b, x, 2))]));
    expect(dimsOf(await folded(b.build('open'), [2, 3, 4]))).toEqual([expected]);
  });
});

describe('constants', () => {
  it('are computed where nothing else is read: a table of positions', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 6]);
    const numbers = b.op('Range', [scalar(b, 0), scalar(b, 6), scalar(b, 1)]);
    const table = b.op('Cast', [b.op('Mul', [numbers, numbers])], { to: 1 });
    // Too large to be a shape, and reshaped
    const large = b.op('Expand', [b.op('Reshape', [table, b.ints([1, 6])]), b.ints([100, 6])]);
    const back = b.op('Reshape', [large, b.ints([10, 60])]);
    const sums = b.op('Reshape', [
      b.op('ReduceMean', [b.op('Reshape', [back, b.ints([100, 6])]), b.ints([0])]),
      b.ints([6]),
    ]);
    b.output(b.op('Add', [x, sums]));
    const graph = await folded(b.build('positions'), [2, 6]);
    expect(opsOf(graph)).toEqual(['Add']);
    expect(listParameters(graph)).toEqual([]);
  });

  it('never swallow a parameter, not even its transposition', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3]);
    const weight = b.initializer('weight', float32([1, 2, 3, 4, 5, 6], [2, 3]));
    b.output(b.op('MatMul', [x, b.op('Transpose', [weight], { perm: [1, 0] })]));
    const graph = await folded(b.build('linear'), [2, 3]);
    expect(opsOf(graph)).toEqual(['Transpose', 'MatMul']);
    expect(listParameters(graph).map(({ name }) => name)).toEqual(['weight']);
  });

  it('do not grow beyond bounds', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [1]);
    const large = b.op('ConstantOfShape', [b.ints([1024, 1024])]);
    b.output(b.op('ReduceSum', [b.op('Add', [large, x])], { keepdims: 0 }));
    const { graph } = foldConstants(b.build('large'));
    expect(opsOf(graph)).toEqual(['ConstantOfShape', 'Add', 'ReduceSum']);
  });

  it('what changes nothing goes, but for an output', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2]);
    const padded = b.op('Pad', [b.op('Cast', [b.op('Identity', [x])], { to: 1 }), b.ints([0, 0, 0, 0])]);
    const same = b.op('Slice', [padded, b.ints([0]), b.ints([2]), b.ints([1])]);
    b.output(b.op('Relu', [same]));
    b.output(b.op('Identity', [same]));
    expect(opsOf(await folded(b.build('same'), [2, 2]))).toEqual(['Relu', 'Identity']);
  });

  it('what changes elements but no dimensions stays', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3]);
    const backwards = b.op('Slice', [x, b.ints([-1]), b.ints([-4]), b.ints([1]), b.ints([-1])]);
    b.output(b.op('Relu', [b.op('Pad', [backwards, b.ints([0, 1, 0, -1])])]));
    expect(opsOf(await folded(b.build('moved'), [2, 3]))).toEqual(['Slice', 'Pad', 'Relu']);
  });

  it('an Identity of a parameter is a parameter of its own, as PyTorch stores equal ones', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3, 2, 2]);
    const ones = b.initializer('bn1.weight', float32([1, 1, 1], [3]));
    const zeros = b.initializer('bn1.bias', float32([0, 0, 0], [3]));
    const again = (value: Value, outputName: string) => b.op('Identity', [value], {}, { outputName });
    b.output(
      b.op('BatchNormalization', [x, ones, zeros, again(zeros, 'bn1.running_mean'), again(ones, 'bn1.running_var')]),
    );
    const { graph } = foldConstants(b.build('equal'));
    expect(opsOf(graph)).toEqual(['BatchNormalization']);
    expect(listParameters(graph).map(({ name, kind, tensor }) => [name, kind, ...tensor.data])).toEqual([
      ['bn1.weight', 'parameter', 1, 1, 1],
      ['bn1.bias', 'parameter', 0, 0, 0],
      ['bn1.running_mean', 'buffer', 0, 0, 0],
      ['bn1.running_var', 'buffer', 1, 1, 1],
    ]);
  });

  it('leaves an output that is known as an output of that name', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [2, 3]);
    b.output(b.op('Shape', [x]));
    b.output(b.op('Relu', [x]));
    const graph = await folded(b.build('shape'), [2, 3]);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['Shape:0', 'Relu:0']);
  });

  it('finds nothing a second time', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3, 4]);
    b.output(b.op('Reshape', [x, shapeOf(b, sizeOf(b, x, 0), -1)]));
    const { graph: once } = foldConstants(b.build('flatten'));
    expect(opsOf(foldConstants(once).graph)).toEqual(opsOf(once));
  });
});
