import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CompressibleLayer, findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import { buildReplacement, computeOutputMetric } from '../../src/compression/layer-replacement.js';
import { describeRefusedLayers } from '../../src/compression/refused-layers.js';
import { createMapRegression } from '../../src/compression/schemes/layer-metric.js';
import { schemes } from '../../src/compression/schemes/scheme-table.js';
import { computeTruncationErrors } from '../../src/compression/schemes/truncation-errors.js';
import { createMatrixMoments, withDamping } from '../../src/compression/statistics/second-moment-matrix.js';
import { findTtDescriptors } from '../../src/decompose/tt-layer.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { listParameters } from '../../src/graph/parameters.js';
import { type Matrix, matrix } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { getSpec, isOp, readAttributes } from '../../src/ops/table.js';
import { rewrite } from '../../src/passes/rewrite.js';
import { expectFloat32, float32 } from '../../src/tensor/tensor.js';
import { naiveProduct } from '../linalg/support.js';
import { lossOf, minus, moments, oneConvolution, onlyLayer, random } from './support.js';

const engine = nodeEngine({ threads: 1 });
const names = ['svd', 'svd-input', 'spatial', 'tucker2', 'tt-conv'] as const;
const trains = ['tt', 'tt-matrix'] as const;
const DAMPING = 1e-6;
/** float64 through a Cholesky factor and a root of matrices with a condition of about 1e3, per unit of the whole mass. */
const EXACT = 1e-9;
/** A few float32 sums of tens of numbers. */
const FLOAT32_ROUNDING = 1e-4;

/** A layer's stage, and both sides of its metric. */
async function inMetric(layer: CompressibleLayer, inputs: Matrix, gradients: Matrix) {
  const gram = withDamping(inputs, DAMPING, 'inputs');
  const roots = await computeOutputMetric(layer.path, gradients, plainProducts, DAMPING);
  const map = await plainProducts.multiply(layer.weight, roots.root, {});
  const stage = await createMapRegression(createMatrixMoments(gram, plainProducts), map);
  return { gram, roots, stage, output: withDamping(gradients, DAMPING, 'gradients') };
}

async function prepared(shape: readonly [number, number, number, number], size: readonly [number, number] = [6, 5]) {
  const graph = oneConvolution(shape, size, { pads: [1, 1, 1, 1], strides: [2, 1] });
  const layer = onlyLayer(graph);
  return { graph, layer, ...(await inMetric(layer, moments(layer.weight.rows, 11), moments(layer.outputs, 12))) };
}

describe('convolution schemes', () => {
  it.each(names)('%s is exact at full rank', async (name) => {
    const { layer, gram, roots, stage } = await prepared([4, 3, 3, 2]);
    const scheme = schemes[name];
    const fitted = await scheme.fit(layer, scheme.limitRanks(layer), stage, roots, {}, plainProducts);
    const difference = minus(await fitted.computeMap(), layer.weight);
    expect(Math.max(...difference.data.map(Math.abs))).toBeLessThan(EXACT * 10);
    expect(fitted.loss).toBeLessThan(EXACT * lossOf(layer.weight, gram, roots.root));
  });

  it.each(names)('%s states the loss that its factors have, and sweeps only lower it', async (name) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 3 }), async (wanted) => {
        const { layer, gram, roots, stage, output } = await prepared([5, 4, 3, 3]);
        const scheme = schemes[name];
        const ranks = scheme.limitRanks(layer, wanted.slice(0, scheme.limitRanks(layer).length));
        const plain = await scheme.fit(layer, ranks, stage, roots, {}, plainProducts);
        const mass = lossOf(layer.weight, gram, output);
        for (const fitted of [plain, await scheme.fit(layer, ranks, stage, roots, { sweeps: 3 }, plainProducts)]) {
          const difference = minus(await fitted.computeMap(), layer.weight);
          expect(Math.abs(lossOf(difference, gram, output) - fitted.loss)).toBeLessThan(EXACT * mass);
          expect(fitted.loss).toBeLessThanOrEqual(plain.loss);
          expect(fitted.factors.reduce((sum, { tensor }) => sum + tensor.data.length, 0)).toBe(
            scheme.countParameters(layer, ranks),
          );
        }
      }),
      { numRuns: 8 },
    );
  });

  it.each(names)(
    '%s runs as the dense convolution with its weight would, in as many multiply-adds as it says',
    async (name) => {
      const { graph, layer, roots, stage } = await prepared([5, 4, 3, 3]);
      const scheme = schemes[name];
      const ranks = [2, 2, 2].slice(0, scheme.limitRanks(layer).length);
      const fitted = await scheme.fit(layer, ranks, stage, roots, {}, plainProducts);
      const squeezed = rewrite(graph, { replace: new Map([buildReplacement(layer, fitted, layer.bias)]) });
      const map = await fitted.computeMap();
      const dense = rewrite(graph, {
        initializer: (value, data) =>
          value.name === 'conv.weight'
            ? float32(
                Array.from(data.data, Number).map((_, at) => map.data[(at % 36) * 5 + Math.floor(at / 36)] ?? 0),
                data.dims,
              )
            : data,
      });
      const feeds = { input: random([2, 4, 6, 5], 5) };
      const [a, b] = [await runOnce(engine, squeezed, feeds), await runOnce(engine, dense, feeds)];
      const [left, right] = [expectFloat32(a.output, 'output'), expectFloat32(b.output, 'output')];
      expect(left.dims).toEqual(right.dims);
      left.data.forEach((value, i) => {
        expect(Math.abs(value - (right.data[i] ?? Number.NaN))).toBeLessThan(FLOAT32_ROUNDING);
      });
      const parameters = listParameters(squeezed).map(({ name }) => name);
      expect(parameters).toEqual([...fitted.factors.map((_, k) => `conv.factor${k}`), 'conv.bias']);
      const counted = rewrite(squeezed, { inputDims: { input: [1, 4, 6, 5] } }).nodes.reduce((sum, node) => {
        if (!isOp(node.op)) return sum;
        const dims = (value: (typeof node.inputs)[number]) => (value?.type?.dims ?? []).map(Number);
        const spec = getSpec(node.op);
        return (
          sum +
          (spec.countOperatorMacs?.(readAttributes(node.op, node), node.inputs.map(dims), dims(node.outputs[0])) ?? 0)
        );
      }, 0);
      expect(scheme.countMacs(layer, fitted.ranks)).toBe(counted);
      // The layer's output keeps its name: latencies are measured from name to name.
      expect(squeezed.nodes.at(-1)?.inputs[0]?.name).toBe(layer.output.name);
    },
  );

  it('truncates a linear layer as the singular value decomposition in the metric does', async () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 7]);
    b.output(b.op('Gemm', [x, b.initializer('fc.weight', random([5, 7], 3))], { transB: 1 }, { name: 'fc' }));
    const layer = onlyLayer(b.build('linear'));
    const { roots, stage } = await inMetric(layer, moments(7, 1), moments(5, 2));
    const losses: number[] = [];
    for (const rank of [1, 2, 3, 4, 5]) {
      losses.push((await schemes.svd.fit(layer, [rank], stage, roots, {}, plainProducts)).loss);
    }
    for (const [i, loss] of losses.entries())
      expect(loss).toBeLessThanOrEqual(losses[i - 1] ?? Number.POSITIVE_INFINITY);
    expect(losses.at(-1)).toBeLessThan(EXACT);
  });
});

describe('tensor trains of a linear layer', () => {
  async function linear() {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 24]);
    const w = b.initializer('fc.weight', random([12, 24], 3));
    const y = b.op('Gemm', [x, w, b.initializer('fc.bias', random([12], 4))], { transB: 1 }, { name: 'fc' });
    b.output(b.op('Identity', [y], {}, { name: 'end', outputName: 'output' }));
    const graph = b.build('linear');
    const layer = onlyLayer(graph);
    return { graph, layer, ...(await inMetric(layer, moments(24, 1), moments(12, 2))) };
  }

  it.each(trains)('%s is exact at full rank, and states the loss of its cores below', async (name) => {
    const { layer, gram, roots, stage, output } = await linear();
    const scheme = schemes[name];
    const mass = lossOf(layer.weight, gram, output);
    const full = scheme.limitRanks(layer);
    const whole = await scheme.fit(layer, full, stage, roots, {}, plainProducts);
    expect(whole.loss).toBeLessThan(EXACT * mass);
    const half = full.map((rank) => Math.ceil(rank / 2));
    const fitted = await scheme.fit(layer, half, stage, roots, {}, plainProducts);
    const loss = lossOf(minus(await fitted.computeMap(), layer.weight), gram, output);
    expect(loss).toBeGreaterThan(0);
    expect(Math.abs(loss - fitted.loss)).toBeLessThan(EXACT * mass);
    expect(fitted.factors.reduce((sum, { tensor }) => sum + tensor.data.length, 0)).toBe(
      scheme.countParameters(layer, fitted.ranks),
    );
  });

  it.each(trains)('%s runs as its map says, and is found again as a tensor-train layer', async (name) => {
    const { graph, layer, roots, stage } = await linear();
    const scheme = schemes[name];
    const ranks = scheme.limitRanks(layer).map(() => 2);
    const fitted = await scheme.fit(layer, ranks, stage, roots, {}, plainProducts);
    const squeezed = rewrite(graph, { replace: new Map([buildReplacement(layer, fitted, layer.bias)]) });
    expect(findTtDescriptors(squeezed)).toMatchObject([{ path: 'fc', layout: name, bonds: ranks }]);
    const input = random([3, 24], 5);
    // It is the graph's output, which callers ask for by its name.
    const [outputName] = graph.outputs.map((value) => value.name);
    expect(squeezed.outputs[0]?.name).toBe(outputName);
    const output = (await runOnce(engine, squeezed, { input }))[outputName ?? ''];
    const map = await fitted.computeMap();
    const expected = naiveProduct(matrix(3, 24, Float64Array.from(input.data)), map);
    expectFloat32(output, 'output').data.forEach((value, i) => {
      const wanted = (expected.data[i] ?? Number.NaN) + (layer.bias?.[i % 12] ?? 0);
      expect(Math.abs(value - wanted)).toBeLessThan(FLOAT32_ROUNDING);
    });
  });

  it.each(['svd', ...trains] as const)('%s runs on the tokens of an image, [N, T, C]', async (name) => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 5, 24]);
    const product = b.op('MatMul', [x, b.initializer('fc.weight', random([24, 12], 3))], {}, { name: 'fc' });
    const sum = b.op('Add', [product, b.initializer('fc.bias', random([12], 4))], {}, { name: 'fc/1' });
    b.output(b.op('Relu', [sum], {}, { name: 'end', outputName: 'output' }));
    const graph = b.build('tokens');
    const layer = onlyLayer(graph);
    expect(layer).toMatchObject({ kind: 'linear', inputs: 24, outputs: 12, outputSize: [5, 1] });
    const { roots, stage } = await inMetric(layer, moments(24, 1), moments(12, 2));
    const scheme = schemes[name];
    const fitted = await scheme.fit(
      layer,
      scheme.limitRanks(layer).map(() => 2),
      stage,
      roots,
      {},
      plainProducts,
    );
    const squeezed = rewrite(graph, { replace: new Map([buildReplacement(layer, fitted, layer.bias)]) });
    expect(squeezed.nodes.at(-1)?.inputs[0]?.name).toBe(layer.output.name);
    const input = random([3, 5, 24], 5);
    const output = expectFloat32((await runOnce(engine, squeezed, { input })).output, 'output');
    expect(output.dims).toEqual([3, 5, 12]);
    const expected = naiveProduct(matrix(15, 24, Float64Array.from(input.data)), await fitted.computeMap());
    output.data.forEach((value, i) => {
      const wanted = Math.max(0, (expected.data[i] ?? Number.NaN) + (layer.bias?.[i % 12] ?? 0));
      expect(Math.abs(value - wanted)).toBeLessThan(FLOAT32_ROUNDING);
    });
    expect(scheme.countMacs({ ...layer, outputSize: [1, 1], inputSize: [1, 1] }, fitted.ranks) * 5).toBe(
      scheme.countMacs(layer, fitted.ranks),
    );
  });

  it.each(trains)('%s offers a curve: more parameters, less loss', async (name) => {
    const { layer, roots, stage } = await linear();
    const tails = await computeTruncationErrors(layer, stage, plainProducts);
    const points = await schemes[name].predict({
      layer,
      regression: stage,
      output: roots,
      truncationErrors: tails,
      products: plainProducts,
    });
    expect(points.length).toBeGreaterThan(3);
    const [first, last] = [points[0], points.at(-1)];
    const size = (point: typeof first) => schemes[name].countParameters(layer, point?.ranks ?? []);
    expect(size(first)).toBeLessThan(size(last));
    expect(first?.discardedEnergy).toBeGreaterThan(last?.discardedEnergy ?? Number.POSITIVE_INFINITY);
  });

  it.each(trains)('%s leaves convolutions and sizes without divisors alone', (name) => {
    const shape = { kernel: [1, 1], inputSize: [1, 1], outputSize: [1, 1] } as const;
    expect(schemes[name].findRefusal({ kind: 'conv', inputs: 4, outputs: 4, ...shape })).toContain('convolution');
    expect(schemes[name].findRefusal({ kind: 'linear', inputs: 7, outputs: 4, ...shape })).toContain('prime');
    expect(schemes[name].findRefusal({ kind: 'linear', inputs: 6, outputs: 4, ...shape })).toBeUndefined();
  });
});

describe('squeezeLayers', () => {
  it('gives a reason once, however many layers it holds for', () => {
    const refusal = (path: string, reason: string) => ({ path, reason });
    const depthwise = ['a', 'b', 'c', 'd', 'e'].map((path) => refusal(path, 'it is small'));
    // Both factors of a layer that is decomposed already are called by its name.
    expect(describeRefusedLayers([...depthwise, refusal('b', 'it is small'), refusal('f', 'it is odd')])).toEqual([
      'a, b, c and 2 more are left as they are: it is small',
      'f is left as it is: it is odd',
    ]);
  });

  it('leaves grouped convolutions and shared weights alone, and says so', () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 4, 5, 5]);
    const depthwise = b.op(
      'Conv',
      [x, b.initializer('d.weight', random([4, 1, 3, 3], 1))],
      { group: 4 },
      { name: 'd' },
    );
    const shared = b.initializer('s.weight', random([4, 4, 1, 1], 2));
    const once = b.op('Conv', [depthwise, shared], {}, { name: 's1' });
    b.output(b.op('Conv', [once, shared], {}, { name: 's2' }));
    const { layers, refused } = findCompressibleLayers(b.build('odd'));
    expect(layers).toEqual([]);
    expect(refused).toMatchObject([
      { path: 'd', reason: expect.stringContaining('a convolution in groups') },
      { path: 's1', reason: expect.stringContaining('shared with "s2"') },
      { path: 's2', reason: expect.stringContaining('shared with "s1"') },
    ]);
  });

  it('refuses statistics that are not finite, naming the layer', async () => {
    const bad = moments(3, 1);
    bad.data[4] = Number.NaN;
    expect(() => computeOutputMetric('features.0', bad, plainProducts)).toThrow(/"features\.0".*NaN/);
  });
});
