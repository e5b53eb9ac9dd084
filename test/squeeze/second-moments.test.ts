import { describe, expect, it } from 'vitest';
import { appendGradients } from '../../src/autodiff/gradient.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { matrix } from '../../src/linalg/matrix.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { ActivationStream } from '../../src/squeeze/activation-stream.js';
import { patchColumns } from '../../src/squeeze/patches.js';
import { centredCross, centredGram, meansOf, regressionSums } from '../../src/squeeze/regression-sums.js';
import { gradientMoments } from '../../src/squeeze/second-moments.js';
import { squeezeLayers } from '../../src/squeeze/squeeze-layer.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { naiveProduct } from '../linalg/support.js';
import { oneConvolution, onlyLayer, random } from '../squeeze/support.js';

const engine = nodeEngine({ threads: 1 });
/** Sums of about a hundred float32 products of numbers near one. */
const FLOAT32_ROUNDING = 1e-4;

const closeTo = (found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void => {
  expect(found.length).toBe(expected.length);
  // One assertion: there may be millions of elements.
  let worst = 0;
  for (let i = 0; i < found.length; i++) {
    const difference = Math.abs((found[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    if (!(difference <= worst)) worst = difference;
  }
  expect(worst).toBeLessThan(tolerance);
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

async function* once(x: Tensor, y: Tensor): AsyncGenerator<readonly [Tensor, Tensor]> {
  yield [x, y];
}

describe('patchColumns', () => {
  it.each([{ pads: [1, 1, 1, 1] }, { pads: [2, 0, 1, 3], strides: [2, 1] }, { dilations: [1, 2], strides: [1, 3] }])(
    'times the weight is the convolution: %j',
    async (attributes) => {
      const graph = oneConvolution([4, 3, 3, 2], [7, 6], attributes);
      const layer = onlyLayer(graph);
      const b = new GraphBuilder();
      const x = b.input('x', 'float32', ['N', 3, 7, 6]);
      b.output(b.op('Identity', [patchColumns(b, x, layer)], {}, { outputName: 'columns' }));
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

describe('regressionSums', () => {
  it('gives the normal equations whose solution is the layer itself', async () => {
    const graph = oneConvolution([4, 2, 2, 2], [9, 9]);
    const layer = onlyLayer(graph);
    const x = random([5, 2, 9, 9], 4);
    const { output } = await runOnce(engine, graph, { input: x });
    const sums = await regressionSums(engine, layer, once(x, expectFloat32(output, 'y')), { kind: 'outputs' });
    expect(sums.count).toBe(5 * 64);
    const cross = centredCross(sums);
    const { meanX, meanTarget } = meansOf(sums);
    const gram = centredGram(sums);
    closeTo(naiveProduct(gram, layer.weight).data, cross.data, FLOAT32_ROUNDING);
    const means = naiveProduct(matrix(1, 8, meanX), layer.weight).data.map(
      (value, o) => value + (layer.bias?.[o] ?? 0),
    );
    closeTo(means, meanTarget, FLOAT32_ROUNDING);
  });

  it('sums wide layers a block of rows at a time', async () => {
    const b = new GraphBuilder();
    const wide = b.op(
      'Gemm',
      [b.input('input', 'float32', ['N', 1300]), b.initializer('fc.weight', random([2, 1300], 1))],
      {
        transB: 1,
      },
    );
    b.output(wide);
    const layer = onlyLayer(b.build('wide'));
    const x = random([3, 1300], 5);
    const { gram } = await regressionSums(engine, layer, once(x, random([3, 2], 6)), { kind: 'outputs' });
    const rows = matrix(3, 1300, Float64Array.from(x.data));
    closeTo(gram.data, naiveProduct(rows, rows, true).data, FLOAT32_ROUNDING);
  });

  it('keeps outputs that a rectifier passes on, and asks of the others only to stay negative', async () => {
    const graph = oneConvolution([2, 1, 1, 1], [1, 1]);
    const layer = onlyLayer(graph);
    const x = float32([1, 1, 1, 1], [4, 1, 1, 1]);
    const y = float32([3, -5, 0.5, -5, -1, -5, -1, 2], [4, 2, 1, 1]);
    const emit = (b: GraphBuilder, value: Value) =>
      b.op('Conv', [
        value,
        b.initializer('fit', float32([-2, 1], [2, 1, 1, 1])),
        b.initializer('bias', float32([0, 3])),
      ]);
    const sums = await regressionSums(engine, layer, [[x, y]], { kind: 'rectified', emit });
    // The first channel is fitted by −2: kept where y < 0. The second by 4: 0 where y < 0.
    closeTo(sums.target, [3 + 0.5 - 2 - 2, 2], FLOAT32_ROUNDING);
  });

  it('takes a few positions of each image, the same of its inputs and its outputs, however images come', async () => {
    const graph = oneConvolution([4, 2, 2, 2], [9, 9]);
    const layer = onlyLayer(graph);
    const x = random([12, 2, 9, 9], 4);
    const y = expectFloat32((await runOnce(engine, graph, { input: x })).output, 'y');
    const sums = await regressionSums(engine, layer, once(x, y), { kind: 'outputs' }, 7);
    expect(sums.count).toBe(12 * 7);
    const cross = centredCross(sums);
    closeTo(naiveProduct(centredGram(sums), layer.weight).data, cross.data, FLOAT32_ROUNDING);
    const all = await regressionSums(engine, layer, once(x, y), { kind: 'outputs' });
    expect(sums.x).not.toEqual(all.x);
    const part = ({ data, dims }: Tensor<'float32'>, n: number) => {
      const each = data.length / 12;
      return float32(data.subarray(n * each, (n + 1) * each), [1, ...dims.slice(1)]);
    };
    const single = Array.from({ length: 12 }, (_, n) => [part(x, n), part(y, n)] as const);
    expect(await regressionSums(engine, layer, single, { kind: 'outputs' }, 7)).toEqual(sums);
  });
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
    const { layers } = squeezeLayers(graph);
    const found = await gradientMoments(engine, graph, layers, images, appendGradients, { labels });
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
    const { layers } = squeezeLayers(graph);
    const many = Array.from({ length: 400 }, () => images[0] ?? random([3, 4], 5));
    const draw = async (seed: number) =>
      (await gradientMoments(engine, graph, layers, many, appendGradients, { seed })).get('fc')?.data ?? [];
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
    const { layers } = squeezeLayers(graph);
    const bad = [float32([Number.NaN, 0, 0, 0], [1, 4])];
    await expect(gradientMoments(engine, graph, layers, bad, appendGradients)).rejects.toThrow(/"fc".*NaN/);
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
    await stream.moveTo(node);
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
