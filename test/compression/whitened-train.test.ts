import { describe, expect, it } from 'vitest';
import { computePartialTrace, whitenWeight } from '../../src/compression/schemes/whitened-weight.js';
import type { TtRequest } from '../../src/decompose/modes.js';
import { decomposeWeight, reconstructWeight, type TtWeight } from '../../src/decompose/tt-weight.js';
import { type Matrix, matrix, transpose } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { distance, randomMatrix } from '../linalg/support.js';
import { lossOf, minus, moments } from './support.js';

/** float64 through Cholesky factors of matrices with a condition of about 1e3. */
const EXACT = 1e-9;

/** a ⊗ b. */
function kronecker(a: Matrix, b: Matrix): Matrix {
  const result = matrix(a.rows * b.rows, a.cols * b.cols);
  for (let i = 0; i < result.rows; i++) {
    for (let j = 0; j < result.cols; j++) {
      const left = a.data[Math.floor(i / b.rows) * a.cols + Math.floor(j / b.cols)] ?? 0;
      result.data[i * result.cols + j] = left * (b.data[(i % b.rows) * b.cols + (j % b.cols)] ?? 0);
    }
  }
  return result;
}

const weight = randomMatrix(6, 8, 41);
const inputs = kronecker(moments(2, 1), moments(4, 2));
const gradients = kronecker(moments(2, 3), moments(3, 4));

async function lossFor({ shape, train }: TtWeight): Promise<number> {
  const cores = train.cores.map(({ data }) => data);
  const dense = matrix(6, 8, await reconstructWeight(shape, cores, plainProducts));
  return lossOf(transpose(minus(dense, weight)), inputs, gradients);
}

const requests: readonly TtRequest[] = [
  { layout: 'tt', outModes: [2, 3], inModes: [2, 4], bonds: [2, 3, 2] },
  { layout: 'tt', outModes: [6], inModes: [8], bonds: [3] },
  { layout: 'tt-matrix', outModes: [2, 3], inModes: [2, 4], bonds: [2] },
];

describe('modeMoments', () => {
  it('gives the factors of a Kronecker product back, up to a number', () => {
    const [first, second] = [computePartialTrace(inputs, [2, 4], 0), computePartialTrace(inputs, [2, 4], 1)];
    expect(distance(kronecker(first, second).data, inputs.data)).toBeLessThan(EXACT);
  });
});

const whiten = (request: TtRequest) => whitenWeight('fc', weight, request, { inputs, gradients }, plainProducts);

describe('whitenedTrain', () => {
  it.each(requests)('is exact at full rank: %j', async (request) => {
    expect(await lossFor(await (await whiten(request)).truncate(undefined))).toBeLessThan(EXACT);
  });

  it.each(requests)('finds bonds that discard no more than a share: %j', async (request) => {
    const at = await whiten(request);
    const whole = (await at.truncate(undefined)).train.norm ** 2;
    for (const share of [0.5, 0.1, 0.01]) {
      const ranks = await at.findRanks(share);
      const { train } = await at.truncate(ranks);
      expect(train.absoluteError ** 2).toBeLessThanOrEqual(share * whole * ranks.length);
    }
    expect((await at.findRanks(0.5)).join()).not.toBe((await at.findRanks(1e-12)).join());
  });

  it.each(requests)('states its loss in the metric, which the plain train does not beat: %j', async (request) => {
    const whitened = await (await whiten(request)).truncate(request.bonds);
    const loss = await lossFor(whitened);
    expect(Math.abs(loss - whitened.train.absoluteError ** 2)).toBeLessThan(EXACT * whitened.train.norm ** 2);
    expect(whitened.train.absoluteError).toBeLessThanOrEqual(whitened.train.absoluteBound);
    expect(loss).toBeLessThan(await lossFor(await decomposeWeight('fc', weight, request, plainProducts)));
  });

  it('refuses modes that do not fit, naming the layer', async () => {
    const request: TtRequest = { layout: 'tt', outModes: [2, 2], inModes: [2, 4] };
    await expect(whiten(request)).rejects.toThrow(/"fc"/);
  });
});
