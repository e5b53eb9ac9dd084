import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { simplifyLosslessly } from '../../src/compression/simplify-losslessly.js';
import { verifyEqual } from '../../src/decompose/verify-equal.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { foldBatchNorms } from '../../src/passes/fold-batch-norm.js';
import { foldLinearChains } from '../../src/passes/fold-linear.js';
import { mergeDuplicates } from '../../src/passes/merge-duplicates.js';
import { countElements } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';

const engine = nodeEngine({ threads: 1 });
const stream = seeded(7);
const random = (dims: readonly number[], from = -1, to = 1): Tensor<'float32'> =>
  float32(
    Array.from({ length: countElements(dims) }, () => stream.uniform(from, to)),
    dims,
  );

/** A few float32 sums of tens of numbers in another order. */
const FLOAT32_ROUNDING = 1e-5;

function batchNorm(b: GraphBuilder, x: Value, channels: number, path: string): Value {
  const parameters = [random([channels]), random([channels]), random([channels]), random([channels], 0.5, 2)];
  const names = ['weight', 'bias', 'running_mean', 'running_var'];
  const values = parameters.map((data, i) => b.initializer(`${path}.${names[i]}`, data));
  return b.op('BatchNormalization', [x, ...values], {}, { name: path });
}

function built(dims: readonly number[], make: (b: GraphBuilder, x: Value) => Value): Graph {
  const b = new GraphBuilder();
  const y = make(b, b.input('input', 'float32', ['N', ...dims]));
  b.output(b.op('Identity', [y], {}, { name: 'end', outputName: 'output' }));
  return b.build('folding');
}

const opsOf = (graph: Graph) => graph.nodes.map(({ op }) => op);

describe('foldBatchNorms', () => {
  it.each([
    { name: 'a convolution with a bias', group: 1, bias: true },
    { name: 'a convolution without a bias', group: 1, bias: false },
    { name: 'a grouped convolution', group: 2, bias: true },
  ])('folds into $name before it', async ({ group, bias }) => {
    const graph = built([4, 5, 5], (b, x) => {
      const w = b.initializer('conv.weight', random([6, 4 / group, 3, 3]));
      const inputs = bias ? [x, w, b.initializer('conv.bias', random([6]))] : [x, w];
      const y = b.op('Conv', inputs, { pads: [1, 1, 1, 1], kernel_shape: [3, 3], group }, { name: 'conv' });
      return batchNorm(b, y, 6, 'bn');
    });
    const { graph: folded, notes } = foldBatchNorms(graph);
    expect(opsOf(folded)).toEqual(['Conv', 'Identity']);
    expect(notes).toMatchObject([{ node: 'bn', applied: true }]);
    expect(listParameters(folded).map(({ name }) => name)).toEqual(['conv.weight', 'conv.bias']);
    await verifyEqual(engine, graph, folded, FLOAT32_ROUNDING);
  });

  it('keeps one that normalises with the statistics of the batch', () => {
    const graph = built([4, 5, 5], (b, x) => {
      const y = b.op('Conv', [x, b.initializer('conv.weight', random([6, 4, 3, 3]))], {}, { name: 'conv' });
      const statistics = [1, 2, 3, 4].map((i) => b.initializer(`bn.${i}`, random([6], 0.5, 2)));
      return b.op('BatchNormalization', [y, ...statistics], { training_mode: 1 }, { name: 'bn' });
    });
    const { graph: folded, notes } = foldBatchNorms(graph);
    expect(folded).toBe(graph);
    expect(notes).toMatchObject([{ node: 'bn', applied: false, text: expect.stringMatching(/those of the batch/) }]);
  });

  it.each([0, 1])('folds into the Gemm behind it, through dropout, transB %i', async (transB) => {
    const graph = built([5], (b, x) => {
      const y = batchNorm(b, b.op('Relu', [x], {}, { name: 'relu' }), 5, 'bn');
      const dropped = b.op('Dropout', [y], {}, { name: 'dropout' });
      const w = b.initializer('fc.weight', random(transB ? [3, 5] : [5, 3]));
      return b.op('Gemm', [dropped, w], { transB }, { name: 'fc' });
    });
    const { graph: folded } = foldBatchNorms(graph);
    expect(opsOf(folded)).toEqual(['Relu', 'Dropout', 'Gemm', 'Identity']);
    await verifyEqual(engine, graph, folded, FLOAT32_ROUNDING);
  });

  it('folds into a convolution behind it only where no padding sees the shift', async () => {
    const withPads = (pads: number[]) =>
      built([4, 5, 5], (b, x) => {
        const y = batchNorm(b, b.op('Relu', [x]), 4, 'bn');
        return b.op(
          'Conv',
          [y, b.initializer('conv.weight', random([2, 2, 3, 3]))],
          { pads, group: 2 },
          { name: 'conv' },
        );
      });
    const open = withPads([0, 0, 0, 0]);
    const folded = foldBatchNorms(open).graph;
    expect(opsOf(folded)).toEqual(['Relu', 'Conv', 'Identity']);
    await verifyEqual(engine, open, folded, FLOAT32_ROUNDING);
    const padded = foldBatchNorms(withPads([1, 1, 1, 1]));
    expect(opsOf(padded.graph)).toContain('BatchNormalization');
    expect(padded.notes[0]?.text).toContain('pads with zeros');
  });

  it('says why it leaves one alone: what it reads is read elsewhere, or the weight is shared', () => {
    const branching = built([4, 5, 5], (b, x) => {
      const y = b.op('Conv', [x, b.initializer('conv.weight', random([4, 4, 1, 1]))], {}, { name: 'conv' });
      return b.op('Add', [y, batchNorm(b, y, 4, 'bn')]);
    });
    expect(foldBatchNorms(branching).notes).toMatchObject([
      { applied: false, text: expect.stringContaining('elsewhere') },
    ]);
    const shared = built([4, 5, 5], (b, x) => {
      const w = b.initializer('conv.weight', random([4, 4, 1, 1]));
      return batchNorm(b, b.op('Conv', [b.op('Conv', [x, w]), w]), 4, 'bn');
    });
    expect(foldBatchNorms(shared).notes).toMatchObject([
      { applied: false, text: expect.stringContaining('of its own') },
    ]);
  });
});

describe('foldBatchNorms on deep networks', () => {
  it.each([
    { name: 'a convolution upstream of each', convolutions: 2000 },
    { name: 'a convolution upstream of all', convolutions: 1 },
    { name: 'a convolution downstream of all', convolutions: 0 },
  ])('folds 2,000 batch norms in one rewrite: $name', ({ convolutions }) => {
    const graph = built([2, 1, 1], (b, x) => {
      let y = x;
      for (let i = 0; i < 2000; i++) {
        if (i < convolutions) y = b.op('Conv', [y, b.initializer(`c${i}.weight`, random([2, 2, 1, 1]))]);
        y = batchNorm(b, y, 2, `bn${i}`);
      }
      const weight = b.initializer('last.weight', random([2, 2, 1, 1]));
      return b.op('Conv', [y, weight], {}, { name: 'last' });
    });
    const copies = vi.spyOn(GraphBuilder.prototype, 'copy');
    const uses = countReads(graph);
    const { graph: folded, notes } = foldBatchNorms(uses.graph);
    expect(notes.filter(({ applied }) => applied)).toHaveLength(2000);
    expect(folded.nodes).toHaveLength(convolutions + 2);
    // The nodes that stay are copied once.
    expect(copies.mock.calls.length).toBeLessThanOrEqual(folded.nodes.length);
    expect(uses.count()).toBeLessThanOrEqual(10 * graph.nodes.length);
    copies.mockRestore();
  });
});

/** Counts how often a node is taken from a graph's list. */
function countReads(graph: Graph): { readonly graph: Graph; count(): number } {
  let count = 0;
  const nodes = new Proxy(graph.nodes, {
    get(target, key, receiver) {
      if (typeof key === 'string' && /^\d+$/.test(key)) count++;
      return Reflect.get(target, key, receiver);
    },
  });
  return { graph: { ...graph, nodes }, count: () => count };
}

describe('foldLinearChains', () => {
  const run = (graph: Graph, feeds: Record<string, Tensor>) => runOnce(engine, graph, feeds);

  it('folds what spreads few features over many inputs, whatever it is made of', async () => {
    const graph = built([3, 2, 2], (b, x) => {
      const pooled = b.op('MatMul', [
        b.op('Reshape', [x, b.ints([-1, 4])]),
        b.initializer('constant/pool', random([4, 9])),
      ]);
      const maps = b.op('Reshape', [pooled, b.ints([-1, 3, 3, 3])]);
      const shifted = b.op('Add', [maps, b.initializer('constant/shift', random([3, 1, 1]))]);
      const flat = b.op('Flatten', [shifted], { axis: 1 });
      const parameters = [b.initializer('fc.weight', random([5, 27])), b.initializer('fc.bias', random([5]))];
      return b.op('Gemm', [flat, ...parameters], { transB: 1 }, { name: 'fc' });
    });
    const { graph: folded, notes } = await foldLinearChains(graph, { run });
    expect(opsOf(folded)).toEqual(['Flatten', 'Gemm', 'Identity']);
    expect(notes).toMatchObject([{ node: 'fc', applied: true }]);
    expect(listParameters(folded).map(({ name, tensor }) => [name, tensor.dims])).toEqual([
      ['fc.weight', [5, 12]],
      ['fc.bias', [5]],
    ]);
    await verifyEqual(engine, graph, folded, FLOAT32_ROUNDING);
  });

  it('leaves chains alone that make a value smaller, not larger', async () => {
    const graph = built([3, 4, 4], (b, x) => {
      const flat = b.op('Flatten', [b.op('GlobalAveragePool', [x])], { axis: 1 });
      return b.op('Gemm', [flat, b.initializer('fc.weight', random([5, 3]))], { transB: 1 }, { name: 'fc' });
    });
    expect((await foldLinearChains(graph, { run })).graph).toBe(graph);
  });

  it('stops at what is not affine', async () => {
    const graph = built([2], (b, x) => {
      const wide = b.op('Expand', [b.op('Relu', [b.op('Unsqueeze', [x, b.ints([2])])]), b.ints([1, 1, 3])]);
      const flat = b.op('Flatten', [wide], { axis: 1 });
      return b.op('Gemm', [flat, b.initializer('fc.weight', random([5, 6]))], { transB: 1 }, { name: 'fc' });
    });
    expect((await foldLinearChains(graph, { run })).graph).toBe(graph);
  });
});

describe('mergeDuplicates', () => {
  it('keeps one of equal weights and drops dead nodes, and small parameters stay apart', async () => {
    const same = random([64, 64]);
    const graph = built([64], (b, x) => {
      const ones = () => float32(new Float32Array(64).fill(1));
      b.op('Exp', [x], {}, { name: 'dead' });
      const first = b.op('MatMul', [x, b.initializer('a.weight', same)]);
      const scaled = b.op('Mul', [first, b.initializer('a.scale', ones())]);
      const second = b.op('MatMul', [scaled, b.initializer('b.weight', float32(same.data, [64, 64]))]);
      return b.op('Mul', [second, b.initializer('b.scale', ones())]);
    });
    const { graph: merged } = mergeDuplicates(graph);
    expect(listParameters(merged).map(({ name }) => name)).toEqual(['a.weight', 'a.scale', 'b.scale']);
    expect(merged.nodes.map(({ name }) => name)).not.toContain('dead');
    expect(await verifyEqual(engine, graph, merged, 0)).toBe(0);
  });
});

describe('foldExact', () => {
  it('changes no output of random small networks, and a second time it finds nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('bn', 'relu', 'conv', 'pool'), { maxLength: 6 }), async (layers) => {
        const graph = built([3, 4, 4], (b, x) => {
          let y = x;
          layers.forEach((layer, i) => {
            if (layer === 'bn') y = batchNorm(b, y, 3, `l${i}`);
            else if (layer === 'relu') y = b.op('Relu', [y], {}, { name: `l${i}` });
            else if (layer === 'pool') {
              y = b.op('AveragePool', [y], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }, { name: `l${i}` });
            } else {
              const w = b.initializer(`l${i}.weight`, random([3, 3, 1, 1]));
              y = b.op('Conv', [y, w], { kernel_shape: [1, 1] }, { name: `l${i}` });
            }
          });
          const flat = b.op('Flatten', [y], { axis: 1 });
          return b.op('Gemm', [flat, b.initializer('fc.weight', random([4, 48]))], { transB: 1 }, { name: 'fc' });
        });
        const { graph: folded } = await simplifyLosslessly(engine, graph);
        expect((await simplifyLosslessly(engine, folded)).notes.filter(({ applied }) => applied)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  it('refuses to pass on a graph that computes something else', async () => {
    const one = built([2], (_, x) => x);
    const other = built([2], (b, x) => b.op('Mul', [x, b.scalar(1.001)]));
    await expect(verifyEqual(engine, one, other, 1e-4)).rejects.toThrow(/differ by 1\.0e-3 of their size/);
  });
});
