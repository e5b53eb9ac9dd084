import { describe, expect, it } from 'vitest';
import { findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import { ActivationStream } from '../../src/compression/statistics/activation-stream.js';
import { computeGradientSecondMoments } from '../../src/compression/statistics/gradient-second-moments.js';
import { appendPatchColumns } from '../../src/compression/statistics/patch-columns.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { matrix } from '../../src/linalg/matrix.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { expectFloat32, float32 } from '../../src/tensor/tensor.js';
import { naiveProduct } from '../linalg/support.js';
import { findLargestDifference } from '../support/differences.js';
import { oneConvolution, onlyLayer, random } from './support.js';

const engine = nodeEngine({ threads: 1 });
/** Sums of about a hundred float32 products of numbers near one. */
const FLOAT32_ROUNDING = 1e-4;

const closeTo = (found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void => {
  // One assertion: there may be millions of elements.
  expect(findLargestDifference(found, expected)).toBeLessThan(tolerance);
};

/** A linear softmax classifier: its gradient at the scores is p − e(label). */
function classifier(scale = 1): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', 4]);
  const w = b.initializer(
    'fc.weight',
    float32(
      random([3, 4], 1).data.map((value) => value * scale),
      [3, 4],
    ),
  );
  b.output(b.op('LogSoftmax', [b.op('Gemm', [x, w], { transB: 1 }, { name: 'fc' })], { axis: 1 }, { outputName: 'p' }));
  return b.build('classifier');
}

describe('patchColumns', () => {
  it.each([{ pads: [1, 1, 1, 1] }, { pads: [2, 0, 1, 3], strides: [2, 1] }, { dilations: [1, 2], strides: [1, 3] }])(
    'times the weight is the convolution: %j',
    async (attributes) => {
      const graph = oneConvolution([4, 3, 3, 2], [7, 6], attributes);
      const layer = onlyLayer(graph);
      const b = new GraphBuilder();
      const x = b.input('x', 'float32', ['N', 3, 7, 6]);
      b.output(b.op('Identity', [appendPatchColumns(b, x, layer)], {}, { outputName: 'columns' }));
      const input = random([2, 3, 7, 6], 9);
      const columns = expectFloat32((await runOnce(engine, b.build('patches'), { x: input })).columns, 'columns');
      const [rows = 0, count = 0] = columns.dims;
      const product = naiveProduct(layer.weight, matrix(rows, count, Float64Array.from(columns.data)), true);
      const y = expectFloat32((await runOnce(engine, graph, { input })).output, 'output');
      const positions = count / 2;
      const expected = Array.from({ length: product.data.length }, (_, at) => {
        const [o, n, p] = [Math.floor(at / count), Math.floor((at % count) / positions), at % positions];
        return (y.data[(n * 4 + o) * positions + p] ?? Number.NaN) - (layer.bias?.[o] ?? 0);
      });
      closeTo(product.data, expected, FLOAT32_ROUNDING);
    },
  );
});

describe('gradientMoments', () => {
  const images = [random([3, 4], 5), random([2, 4], 6)];
  const probabilities = async (graph: Graph) => {
    const rows: number[][] = [];
    for (const input of images) {
      const { data } = expectFloat32((await runOnce(engine, graph, { input })).p, 'p');
      for (let n = 0; n < data.length; n += 3) rows.push(Array.from(data.subarray(n, n + 3), Math.exp));
    }
    return rows;
  };

  it('with labels given is the mean of (p − e)(p − e)ᵀ for a softmax classifier', async () => {
    const graph = classifier();
    const labels = [0, 2, 1, 1, 0];
    const { layers } = findCompressibleLayers(graph);
    const found = await computeGradientSecondMoments(engine, graph, layers, images, { labels });
    const expected = new Float64Array(9);
    for (const [n, p] of (await probabilities(graph)).entries()) {
      const g = p.map((value, c) => value - (labels[n] === c ? 1 : 0));
      for (let i = 0; i < 9; i++) {
        expected[i] = (expected[i] ?? 0) + ((g[Math.floor(i / 3)] ?? 0) * (g[i % 3] ?? 0)) / 5;
      }
    }
    closeTo(found.get('fc')?.data ?? [], expected, FLOAT32_ROUNDING);
  });

  it('with labels drawn comes near to diag(p) − p pᵀ, and the same seed draws the same', async () => {
    const graph = classifier();
    const { layers } = findCompressibleLayers(graph);
    const many = Array.from({ length: 400 }, () => images[0] ?? random([3, 4], 5));
    const draw = async (seed: number) =>
      (await computeGradientSecondMoments(engine, graph, layers, many, { seed })).get('fc')?.data ?? [];
    const first = await draw(1);
    expect(Array.from(await draw(1))).toEqual(Array.from(first));
    const expected = new Float64Array(9);
    for (const p of (await probabilities(graph)).slice(0, 3)) {
      for (let i = 0; i < 9; i++) {
        const [a, b] = [Math.floor(i / 3), i % 3];
        expected[i] = (expected[i] ?? 0) + ((a === b ? (p[a] ?? 0) : 0) - (p[a] ?? 0) * (p[b] ?? 0)) / 3;
      }
    }
    // 1,200 draws: five standard errors of a mean of numbers below 1.
    closeTo(first, expected, 5 / Math.sqrt(1200));
  });

  it('refuses gradients that are not finite, naming the layer', async () => {
    const graph = classifier();
    const { layers } = findCompressibleLayers(graph);
    const bad = [float32([Number.NaN, 0, 0, 0], [1, 4])];
    await expect(computeGradientSecondMoments(engine, graph, layers, bad)).rejects.toThrow(/"fc".*NaN/);
  });
});

describe('ActivationStream', () => {
  it('gives the same from a frontier as from the images, skips included, and replaces what is asked', async () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 4]);
    const first = b.op('Gemm', [x, b.initializer('a.weight', random([4, 4], 1))], { transB: 1 }, { name: 'a' });
    const second = b.op(
      'Gemm',
      [b.op('Relu', [first]), b.initializer('b.weight', random([4, 4], 2))],
      {},
      { name: 'b' },
    );
    b.output(b.op('Add', [second, first], {}, { name: 'sum', outputName: 'output' }));
    const graph = b.build('skip');
    const [output] = graph.outputs;
    const node = graph.nodes.find(({ name }) => name === 'b');
    if (!output || !node) throw new Error('the graph lacks its nodes');
    const chunks = [random([3, 4], 3), random([2, 4], 4)];
    const stream = new ActivationStream(engine, graph, chunks);
    const read = async (replace?: Parameters<typeof stream.run>[0]['replace']) => {
      const found: number[] = [];
      const request = replace ? { values: [output], replace } : { values: [output] };
      for await (const [value] of stream.run(request)) found.push(...expectFloat32(value, 'output').data);
      return found;
    };
    const before = await read();
    const onTheWay: number[] = [];
    for await (const [value] of stream.runWhileMovingTo(node, [output])) {
      onTheWay.push(...expectFloat32(value, 'output').data);
    }
    expect(onTheWay).toEqual(before);
    expect(await read()).toEqual(before);
    const [input] = node.inputs;
    const [result] = node.outputs;
    if (!input || !result) throw new Error('the node lacks its values');
    const zero = {
      reads: [input],
      emit: ([value]: readonly (typeof input)[], builder: GraphBuilder) => builder.op('Sub', [value, value]),
    };
    const replaced = await read(new Map([[result, zero]]));
    const plain: number[] = [];
    for await (const [value] of stream.run({ values: [first] })) plain.push(...expectFloat32(value, 'first').data);
    expect(replaced).toEqual(plain);
    expect(stream.images).toBe(5);
  });
});
