/* Layers of which some or all weights do not count: they take the smaller option, and the network stays what it was. */
import { describe, expect, it } from 'vitest';
import { compressToBudget } from '../../src/compression/compress-to-budget.js';
import { findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import { analyseWeights, decomposeByWeights } from '../../src/compression/weight-only-decomposition.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { summarizeGraph } from '../../src/models/summary.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';
import { random } from './support.js';

const engine = nodeEngine({ threads: 1 });
const CHANNELS = 12;

/** Changes the elements of a weight `[out, …]` by their output and their place behind it. */
type Change = (value: number, out: number, rest: number, all: Float32Array) => number;

const kinds: Readonly<
  Record<string, { weight?: Change; rank?: number; bias?: (out: number) => number; end?: 'times 0' | 'arg max' }>
> = {
  'all weights zero': { weight: () => 0, rank: 1 },
  'half of the filters zero': { weight: (value, out) => (out % 2 === 0 ? value : 0), rank: 6 },
  'weights of rank one': { weight: (_, out, rest) => Math.sin(1 + out) * Math.cos(2 + rest), rank: 1 },
  'channels that are equal': {
    weight: (_, out, rest, all) => all[Math.floor(out / 3) * 108 + rest] ?? Number.NaN,
    rank: 4,
  },
  'channels that a ReLU always makes zero': { bias: (out) => (out < 6 ? -100 : 0.1) },
  'a ReLU that makes everything zero': { bias: () => -100 },
  'an output that is multiplied by 0': { end: 'times 0' },
};

/** A convolution, the layer in question, and a linear layer; a branch keeps the scores apart from it. */
function network({ weight, bias, end }: (typeof kinds)[string]): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', 3, 8, 8]);
  const of = (name: string, ...dims: number[]) => b.initializer(name, random(dims, 4, name.length));
  const pads = [1, 1, 1, 1];
  const relu = (y: Value) => b.op('Relu', [y]);
  const first = relu(
    b.op('Conv', [x, of('first.w', CHANNELS, 3, 3, 3), of('first.bias', CHANNELS)], { pads }, { name: 'first' }),
  );
  const raw = random([CHANNELS, CHANNELS, 3, 3], 5);
  const changed = weight ? raw.data.map((value, i) => weight(value, Math.floor(i / 108), i % 108, raw.data)) : raw.data;
  const biases = float32(Array.from({ length: CHANNELS }, (_, i) => bias?.(i) ?? 0.05 * i));
  const inputs = [first, b.initializer('second.w', float32(changed, raw.dims)), b.initializer('second.bias', biases)];
  let second = relu(b.op('Conv', inputs, { pads }, { name: 'second' }));
  if (end === 'times 0') second = b.op('Mul', [second, b.scalar(0)]);
  if (end === 'arg max') {
    second = b.op('Cast', [b.op('ArgMax', [second], { axis: 1 })], { to: 1 });
    second = b.op('Mul', [second, b.scalar(0.01)]);
  }
  const pooled = b.op('GlobalAveragePool', [b.op('Add', [first, second])]);
  const flat = b.op('Flatten', [pooled]);
  const linear = [flat, of('linear.weight', 5, CHANNELS), of('linear.the.bias', 5)];
  b.output(b.op('Gemm', linear, { transB: 1 }, { name: 'linear', outputName: 'scores' }));
  return b.build('degenerate');
}

async function scoresOf(graph: Graph, images: Tensor): Promise<Float32Array> {
  return expectFloat32((await runOnce(engine, graph, { input: images })).scores, 'scores').data;
}

/** The largest difference of scores, relative to the largest score, at batch 1 and 5. */
async function difference(before: Graph, after: Graph): Promise<number> {
  let worst = 0;
  for (const batch of [1, 5]) {
    const images = random([batch, 3, 8, 8], 6, batch);
    const [a, b] = [await scoresOf(before, images), await scoresOf(after, images)];
    const most = a.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    worst = Math.max(worst, findLargestDifference(a, b) / most);
  }
  return worst;
}

const options = {
  curveSamples: 512,
  measuredImages: 16,
  gradientImages: 16,
  refit: { samples: 512 },
};
/** At 40 % of its size the second layer alone meets this share of all parameters, without a loss in each of the kinds. */
const SHARE = 0.75;
/** Of the largest score: statistics are damped by a ten-thousandth of each variance. Found are up to 1.1e-4. */
const SAME_WITH_IMAGES = 1e-3;
/** Of the largest score: float32 factors. */
const SAME_BY_WEIGHTS = 1e-4;

describe.each(Object.entries(kinds))('%s', (_, how) => {
  const graph = network(how);
  const amount = Math.ceil(SHARE * summarizeGraph(graph).parameters);
  const goal = 'parameters' as const;

  it.each([1, 16, 120])(
    'is made smaller by %i calibration images, and the network stays what it was',
    async (count) => {
      const chunks = [random([count, 3, 8, 8], 7, count)];
      const { graph: squeezed, layers } = await compressToBudget(
        engine,
        graph,
        chunks,
        { unit: goal, amount },
        options,
      );
      expect(summarizeGraph(squeezed).parameters).toBeLessThanOrEqual(amount);
      expect(layers.flatMap(({ path, scheme }) => (scheme ? [path] : []))).toEqual(['second']);
      // Two matrices of the weight's exact rank and a bias are enough.
      const { rank = CHANNELS } = how;
      const second = layers.find(({ path }) => path === 'second');
      expect(second?.parameters).toBeLessThanOrEqual(rank * (9 * CHANNELS + CHANNELS) + CHANNELS);
      for (const { predicted, alone } of layers) expect(predicted >= 0 && alone >= 0).toBe(true);
      expect(await difference(graph, squeezed)).toBeLessThan(SAME_WITH_IMAGES);
    },
  );

  it('is made smaller without images where the weights show it', async () => {
    const { layers } = findCompressibleLayers(graph);
    const study = await analyseWeights(engine, graph, layers, goal);
    const { graph: squeezed } = await decomposeByWeights(engine, study, amount);
    expect(summarizeGraph(squeezed).parameters).toBeLessThanOrEqual(amount);
    const found = await difference(graph, squeezed);
    expect(found).toBeLessThan(how.weight ? SAME_BY_WEIGHTS : Number.POSITIVE_INFINITY);
  });
});

describe('an output that reaches the scores through ArgMax alone', () => {
  it('has no gradient, so that its layer is left as it is, with the reason', async () => {
    const graph = network({ end: 'arg max' });
    const amount = Math.ceil(0.95 * summarizeGraph(graph).parameters);
    const chunks = [random([32, 3, 8, 8], 7)];
    const { layers } = await compressToBudget(engine, graph, chunks, { unit: 'parameters', amount }, options);
    const second = layers.find(({ path }) => path === 'second');
    expect(second?.scheme).toBeUndefined();
    expect(second?.reason).toBe('it reaches the scores through operators without a gradient alone');
  });
});
