import { describe, expect, it } from 'vitest';
import { type CompressToBudgetOptions, compressToBudget } from '../../src/compression/compress-to-budget.js';
import { computeMeanDivergence, sumDivergence } from '../../src/compression/kl-divergence.js';
import { ActivationStream } from '../../src/compression/statistics/activation-stream.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { bindSymbolicBatch } from '../../src/passes/free-batch.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { random } from './support.js';

/** What the networks here give. */
const LOGITS = { kind: 'logits', labels: 'single-label' } as const;

const engine = nodeEngine({ threads: 1 });

/** Weights whose singular values fall: products of two thin random factors, and a little more. */
function decaying(outputs: number, inputs: number, dims: readonly number[], key: number): Tensor<'float32'> {
  const [a, b, noise] = [random([outputs, 4], key, 1), random([4, inputs], key, 2), random(dims, key, 3)];
  const values = noise.data.map((value, at) => {
    const [o, i] = [Math.floor(at / inputs), at % inputs];
    let sum = 0;
    for (let k = 0; k < 4; k++) sum += ((a.data[o * 4 + k] ?? 0) * (b.data[k * inputs + i] ?? 0)) / 2 ** k;
    return (4 * (sum + 0.2 * value)) / Math.sqrt(inputs);
  });
  return float32(values, dims);
}

/** Two convolutions, a pooling, two linear layers. */
function network(): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', [1, 3, 8, 8]);
  const conv = (input: typeof x, path: string, outputs: number, inputs: number, key: number) => {
    const w = b.initializer(`${path}.weight`, decaying(outputs, inputs * 9, [outputs, inputs, 3, 3], key));
    const bias = b.initializer(`${path}.bias`, random([outputs], key));
    return b.op(
      'Relu',
      [b.op('Conv', [input, w, bias], { pads: [1, 1, 1, 1] }, { name: path })],
      {},
      { name: `${path}r` },
    );
  };
  const first = conv(x, 'features.0', 16, 3, 1);
  const second = conv(first, 'features.2', 16, 16, 2);
  const pooled = b.op('MaxPool', [second], { kernel_shape: [4, 4], strides: [4, 4] }, { name: 'pool' });
  const flat = b.op('Flatten', [pooled], { axis: 1 }, { name: 'flat' });
  const hidden = b.initializer('fc.0.weight', decaying(32, 64, [32, 64], 3));
  const y = b.op('Relu', [
    b.op('Gemm', [flat, hidden, b.initializer('fc.0.bias', random([32], 8))], { transB: 1 }, { name: 'fc.0' }),
  ]);
  const last = b.initializer('fc.2.weight', decaying(10, 32, [10, 32], 4));
  b.output(
    b.op(
      'Gemm',
      [y, last, b.initializer('fc.2.bias', random([10], 9))],
      { transB: 1 },
      { name: 'fc.2', outputName: 'scores' },
    ),
  );
  return b.build('network');
}

const images = [1, 2, 3, 4].map((key) => random([32, 3, 8, 8], 77, key));
const held = random([64, 3, 8, 8], 78);
const parameters = (graph: Graph) => listParameters(graph).reduce((sum, { tensor }) => sum + tensor.data.length, 0);

async function divergence(graph: Graph): Promise<number> {
  const b = network();
  const open: Graph[] = [b, graph];
  const scores: Tensor<'float32'>[] = [];
  for (const each of open) {
    const rows: number[] = [];
    for (let n = 0; n < 64; n += each === b ? 1 : 64) {
      const count = each === b ? 1 : 64;
      const input = float32(held.data.subarray(n * 192, (n + count) * 192), [count, 3, 8, 8]);
      rows.push(...expectFloat32((await runOnce(engine, each, { input })).scores, 'scores').data);
    }
    scores.push(float32(rows, [64, 10]));
  }
  const [before, after] = scores;
  return before && after ? sumDivergence(before, after, LOGITS) / 64 : Number.NaN;
}

const squeeze = (amount: number, options: Partial<CompressToBudgetOptions> = {}) =>
  compressToBudget(engine, network(), images, { unit: 'parameters', amount }, options);

describe('squeezeToBudget', () => {
  it('keeps the budget, spends most of it, and states what the graph has', async () => {
    const all = parameters(network());
    const { graph, layers } = await squeeze(0.5 * all);
    const found = parameters(graph);
    expect(found).toBeLessThanOrEqual(0.5 * all);
    expect(found).toBeGreaterThan(0.4 * all);
    expect(layers.reduce((sum, layer) => sum + layer.parameters, 0)).toBe(found);
    expect(layers.map(({ path }) => path)).toEqual(['features.0', 'features.2', 'fc.0', 'fc.2']);
    for (const { scheme, reason } of layers) expect(scheme === undefined).toBe(reason !== undefined);
  });

  it('gives the same graph again, to the bit', async () => {
    const tensors = async () =>
      listParameters((await squeeze(2000)).graph).map(({ name, tensor }) => [name, tensor.data]);
    expect(await tensors()).toEqual(await tensors());
  });

  it('costs less the more is left, and less with inputs from the squeezed network than without', async () => {
    const [small, large] = [await squeeze(1200), await squeeze(2600)];
    const alone = await squeeze(1200, { refit: false });
    expect(await divergence(large.graph)).toBeLessThan(await divergence(small.graph));
    expect(await divergence(small.graph)).toBeLessThan(await divergence(alone.graph));
  });

  it('tries other ways of sharing the budget, and takes the one that loses the least', async () => {
    const told: { round: number; divergence: number; isBest: boolean }[] = [];
    const fitted: string[] = [];
    const { graph, layers } = await squeeze(1200, {
      rounds: 5,
      onRound: (round, found, isBest) => told.push({ round, divergence: found, isBest }),
      onProgress: ({ phase, done, total, layer }) => phase === 'refit' && fitted.push(`${layer} ${done}/${total}`),
    });
    expect(parameters(graph)).toBeLessThanOrEqual(1200);
    const first = told[0];
    expect(first).toMatchObject({ round: 1, isBest: true });
    expect(told.length).toBeGreaterThan(1);
    const [best = Number.NaN] = told.flatMap((each) => (each.isBest ? [each.divergence] : [])).slice(-1);
    expect(best).toBe(Math.min(...told.map((each) => each.divergence)));
    expect(fitted.length).toBe(told.length * layers.length);
    expect(fitted[0]).toBe('features.0 0/20');
    // The model that is returned is the best of them, to the bit.
    const scores = (of: Graph) => new ActivationStream(engine, of, images).computeScores();
    const [before, after] = [await scores(bindSymbolicBatch(network()).graph), await scores(graph)];
    expect(computeMeanDivergence(before, after, LOGITS)).toBe(best);
    await expect(squeeze(1200, { rounds: 0 })).rejects.toThrow('at least one round');
  });

  it('leaves everything dense, and the outputs as they were, where the budget allows it', async () => {
    const { graph, layers } = await squeeze(1e6);
    expect(layers.every(({ scheme }) => scheme === undefined)).toBe(true);
    // float32 in another batch size.
    expect(Math.abs(await divergence(graph))).toBeLessThan(1e-6);
  });

  it('counts multiply-adds where these are the goal, and squeezes only what it is asked to', async () => {
    const goal = { unit: 'multiplyAdds', amount: 120_000 } as const;
    const options = { layers: ['features.*'] };
    const { layers } = await compressToBudget(engine, network(), images, goal, options);
    expect(layers.map(({ path }) => path)).toEqual(['features.0', 'features.2']);
    expect(layers.reduce((sum, layer) => sum + layer.multiplyAdds, 0)).toBeLessThanOrEqual(120_000);
  });

  it('says what can be reached when the budget cannot, and refuses empty and broken calibration sets', async () => {
    await expect(squeeze(100)).rejects.toThrow(
      /budget of -?\d+ cannot be met: the smallest these layers can be made is \d+/,
    );
    const run = (tensors: readonly Tensor[]) =>
      compressToBudget(engine, network(), tensors, { unit: 'parameters', amount: 1200 }, {});
    await expect(run([])).rejects.toThrow('needs calibration images');
    await expect(run([float32(new Float32Array(192).fill(Number.NaN), [1, 3, 8, 8])])).rejects.toThrow(
      /Layer "fc\.2".*NaN/,
    );
    await expect(squeeze(1200, { layers: ['nothing'] })).rejects.toThrow('nothing fits none');
  });

  it('tells how far it has come, and stops when it is asked to', async () => {
    const stages: string[] = [];
    await squeeze(1200, { onProgress: ({ phase }) => stages.push(phase) });
    expect([...new Set(stages)]).toEqual(['fold', 'gradients', 'curves', 'refit']);
    await expect(squeeze(1200, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  });
});
