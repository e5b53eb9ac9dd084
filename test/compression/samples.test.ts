import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeMeanOutput } from '../../src/compression/layer-replacement.js';
import { computeRectifiedTargets } from '../../src/compression/refit-layer.js';
import { ActivationStream } from '../../src/compression/statistics/activation-stream.js';
import {
  collectInputSamples,
  collectOutputSamples,
  computeVariances,
  SampleBuffer,
  type Samples,
} from '../../src/compression/statistics/layer-samples.js';
import {
  computeCrossCovariance,
  computeSampleCovariance,
  createSampleMoments,
} from '../../src/compression/statistics/sample-second-moments.js';
import {
  addToDiagonal,
  computeDamping,
  createMatrixMoments,
} from '../../src/compression/statistics/second-moment-matrix.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type Matrix, matrix, toDouble, toSingle } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32 } from '../../src/tensor/tensor.js';
import { naiveProduct, randomMatrix } from '../linalg/support.js';
import { findLargestDifference } from '../support/differences.js';
import { oneConvolution, onlyLayer, random } from './support.js';

const engine = nodeEngine({ threads: 1 });
/** Sums of about a hundred float32 products of numbers near one. */
const FLOAT32_ROUNDING = 1e-4;

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(findLargestDifference(found, expected)).toBeLessThan(FLOAT32_ROUNDING);
}

/** A layer of a network, and the network over two batches of images. */
function convolution(batches = [random([5, 2, 9, 9], 4), random([3, 2, 9, 9], 5)]) {
  const graph = oneConvolution([4, 2, 2, 2], [9, 9]);
  return { layer: onlyLayer(graph), stream: new ActivationStream(engine, graph, batches) };
}

/** Samples of rows about their means. */
function samples(rows: number, count: number, seed: number): Samples {
  return { columns: toSingle(randomMatrix(rows, count, seed)), mean: new Float64Array(rows) };
}

describe('samples of a layer', () => {
  it.each([undefined, 7])('obey the layer: E[x yᵀ] = G T, and so do their means (%s positions)', async (most) => {
    const { layer, stream } = convolution();
    const request = most === undefined ? {} : { perImage: most };
    const inputs = await collectInputSamples(stream, layer, request);
    const outputs = await collectOutputSamples(stream, layer, request);
    expect(inputs.columns.cols).toBe(8 * (most ?? 64));
    expect(outputs.columns.cols).toBe(inputs.columns.cols);
    const gram = await computeSampleCovariance(inputs, plainProducts);
    expectClose(
      naiveProduct(gram, layer.weight).data,
      (await computeCrossCovariance(inputs, outputs, plainProducts)).data,
    );
    expectClose(computeMeanOutput(layer, inputs.mean), outputs.mean);
  });

  it('are about their means, and take other positions of other batches', async () => {
    const { layer, stream } = convolution();
    const { columns } = await collectInputSamples(stream, layer, { perImage: 7 });
    for (let i = 0; i < columns.rows; i++) {
      const row = columns.data.subarray(i * columns.cols, (i + 1) * columns.cols);
      expect(Math.abs(row.reduce((sum, value) => sum + value, 0))).toBeLessThan(FLOAT32_ROUNDING);
    }
    const batch = random([5, 2, 9, 9], 4);
    const { layer: own, stream: same } = convolution([batch, batch]);
    const twice = await collectInputSamples(same, own, { perImage: 7 });
    const half = (from: number) => Array.from({ length: 35 }, (_, s) => twice.columns.data[from + s]);
    expect(half(0)).not.toEqual(half(35));
  });

  it('are those of the images that are asked for, in space that was used before', async () => {
    const { layer, stream } = convolution();
    const space = new SampleBuffer();
    await collectInputSamples(stream, layer, { buffer: space });
    const { columns } = await collectInputSamples(stream, layer, { perImage: 7, skip: 5, buffer: space });
    const second = convolution([random([3, 2, 9, 9], 5)]);
    const alone = await collectInputSamples(second.stream, second.layer, { perImage: 7 });
    expect(columns.data).toEqual(alone.columns.data);
    const first = await collectOutputSamples(stream, layer, { images: 2, buffer: space });
    expect(first.columns.cols).toBe(5 * 64);
  });

  it('are told while the stream moves on', async () => {
    const { layer, stream } = convolution();
    const still = await collectOutputSamples(stream, layer, { perImage: 7 });
    const moving = await collectOutputSamples(stream, layer, { perImage: 7, moveTo: layer.node });
    expect(moving).toEqual(still);
    expect(await collectOutputSamples(stream, layer, { perImage: 7 })).toEqual(still);
  });

  it('are rows of tokens where a layer sees several of an image', async () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 3, 4]);
    const rows = b.op('Reshape', [x, b.ints([-1, 4])]);
    const w = b.initializer('fc.weight', random([5, 4], 1));
    const y = b.op('Gemm', [rows, w], { transB: 1 }, { name: 'fc' });
    b.output(b.op('Reshape', [y, b.ints([-1, 15])], {}, { outputName: 'output' }));
    const graph = b.build('tokens');
    const layer = onlyLayer(graph);
    const stream = new ActivationStream(engine, graph, [random([2, 3, 4], 2), random([1, 3, 4], 3)]);
    // From here on the stream holds rows, three of an image.
    await stream.moveTo(layer.node);
    expect(stream.images).toBe(3);
    const all = await collectInputSamples(stream, layer, {});
    const outputs = await collectOutputSamples(stream, layer, {});
    expect([all.columns.cols, outputs.columns.cols]).toEqual([9, 9]);
    expectClose(computeMeanOutput(layer, all.mean), outputs.mean);
    const some = await collectInputSamples(stream, layer, { perImage: 2, images: 2 });
    expect(some.columns.cols).toBe(4);
  });

  it('refuse to be of no image', async () => {
    const { layer, stream } = convolution([]);
    await expect(collectInputSamples(stream, layer, {})).rejects.toThrow(
      'Layer "conv": there was no calibration image.',
    );
  });
});

describe('moments of samples', () => {
  it('are those of their Gram matrix', async () => {
    const size = fc.integer({ min: 1, max: 4 });
    await fc.assert(
      fc.asyncProperty(size, size, fc.integer({ min: 1, max: 40 }), async (left, right, count) => {
        const x = samples(left * right, count, 1);
        const ridge = Float64Array.from({ length: left * right }, (_, i) => 0.1 + i);
        const found = createSampleMoments(x, ridge, plainProducts);
        const all = toDouble(x.columns);
        const mean = naiveProduct(all, all, false, true);
        const gram = addToDiagonal(
          matrix(
            mean.rows,
            mean.cols,
            mean.data.map((value) => value / count),
          ),
          ridge,
        );
        const expected = createMatrixMoments(gram, plainProducts);
        const same = (a: Matrix, b: Matrix) => expectClose(a.data, b.data);
        same(await found.computeMatrix(), gram);
        const [a, b] = [await found.computeMarginals(right), await expected.computeMarginals(right)];
        same(a.left, b.left);
        same(a.right, b.right);
        const map = randomMatrix(left * right, 3, 2);
        same(await found.multiply(map), await expected.multiply(map));
        const core = randomMatrix(left, 2, 3);
        const [behind, wanted] = [await found.project(core), await expected.project(core)];
        expect(behind.size).toBe(2 * right);
        same(await behind.computeMatrix(), await wanted.computeMatrix());
      }),
      { numRuns: 40 },
    );
  });

  it('are summed a block of rows at a time where there are many', async () => {
    const x = samples(1300, 3, 5);
    const all = toDouble(x.columns);
    const gram = naiveProduct(all, all, false, true);
    expectClose(
      (await computeSampleCovariance(x, plainProducts)).data,
      gram.data.map((value) => value / 3),
    );
  });

  it('are not taken of what is not finite', () => {
    const x = samples(3, 4, 1);
    x.columns.data[5] = Number.NaN;
    expect(() => computeDamping(computeVariances(x), 1e-4, 'Layer "features.0": its statistics')).toThrow(
      /"features\.0".*NaN or infinite/,
    );
  });
});

it('keeps outputs that a rectifier passes on, and asks of the others only to stay negative', async () => {
  const { columns } = { columns: { rows: 1, cols: 4, data: Float32Array.of(1, -1, 1, -1) } };
  const x: Samples = { columns, mean: new Float64Array(1) };
  // The outputs are 3, 0.5, −1, −1 and 2, −5, −5, 2; the fit answers −2 ± 1 and 1 ± 3.
  const values = float32([3, 0.5, -1, -1, 2, -5, -5, 2], [2, 4]).data;
  const mean = Float64Array.of(0.375, -1.5);
  const y: Samples = {
    columns: { rows: 2, cols: 4, data: values.map((value, at) => value - (mean[Math.floor(at / 4)] ?? 0)) },
    mean,
  };
  const map = matrix(1, 2, Float64Array.of(1, 3));
  const found = await computeRectifiedTargets(x, y, map, Float64Array.of(-2, 1), plainProducts);
  const wanted = [3, 0.5, -1, -3, 2, -2, 0, 2];
  expectClose(
    found.columns.data.map((value, at) => value + (found.mean[Math.floor(at / 4)] ?? 0)),
    wanted,
  );
  expectClose(found.mean, [-0.125, 0.5]);
});
