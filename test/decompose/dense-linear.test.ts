/* Linear layers in all the ways that graphs write them: recognised, replaced at full rank, and equal to the original. */
import { describe, expect, it } from 'vitest';
import { findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import { decomposeLinear, replaceLinears } from '../../src/decompose/decompose-linear.js';
import { runOnce } from '../../src/engine/engine.js';
import { engineProducts } from '../../src/engine/matrix-products.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Dim, Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { expectFloat32 } from '../../src/tensor/tensor.js';
import { random } from '../compression/support.js';
import { findLargestDifference } from '../support/differences.js';

const [IN, OUT] = [24, 12];
/** Float32 sums of 24 products in another order. */
const SAME = 1e-5;

interface Way {
  readonly dims: readonly Dim[];
  build(b: GraphBuilder, x: Value, weight: (...dims: number[]) => Value): Value;
}

const tokens: readonly Dim[] = ['N', 5, IN];
const matMul: Way['build'] = (b, x, weight) => b.op('MatMul', [x, weight(IN, OUT)], {}, { name: 'fc' });

const ways: Readonly<Record<string, Way>> = {
  'Gemm with transB': {
    dims: ['N', IN],
    build: (b, x, weight) => b.op('Gemm', [x, weight(OUT, IN), weight(OUT)], { transB: 1 }, { name: 'fc' }),
  },
  'Gemm without transB, scaled, one bias for all': {
    dims: ['N', IN],
    build: (b, x, weight) => b.op('Gemm', [x, weight(IN, OUT), weight(1)], { alpha: 0.5, beta: -2 }, { name: 'fc' }),
  },
  'MatMul on tokens': { dims: tokens, build: matMul },
  'MatMul and Add on tokens': {
    dims: tokens,
    build: (b, x, weight) => b.op('Add', [weight(OUT), matMul(b, x, weight)], {}, { name: 'fc/1' }),
  },
  'MatMul on tokens before the batch': { dims: [5, 'N', IN], build: matMul },
  'MatMul on maps': { dims: ['N', 2, 3, IN], build: matMul },
  'Einsum and Add': {
    dims: tokens,
    build: (b, x, weight) => {
      const y = b.op('Einsum', [x, weight(OUT, IN)], { equation: 'btc,oc->bto' }, { name: 'fc' });
      return b.op('Add', [y, weight(1, 1, OUT)], {}, { name: 'fc/1' });
    },
  },
  'Einsum with the weight first': {
    dims: tokens,
    build: (b, x, weight) => b.op('Einsum', [weight(IN, OUT), x], { equation: 'io,bti->bto' }, { name: 'fc' }),
  },
};

function graphOf({ dims, build }: Way): Graph {
  const b = new GraphBuilder();
  let key = 0;
  const weight = (...sizes: number[]) => b.initializer(`w${++key}`, random(sizes, 7, key));
  const batchSecond = dims[1] === 'N';
  const images = b.input('input', 'float32', batchSecond ? ['N', ...dims.filter((dim) => dim !== 'N')] : dims);
  const x = batchSecond ? b.op('Transpose', [images], { perm: [1, 0, 2] }) : images;
  b.output(b.op('Tanh', [build(b, x, weight)], {}, { outputName: 'output' }));
  return b.build('linear');
}

async function outputOf(graph: Graph, batch: number): Promise<Float32Array> {
  const dims = (graph.inputs[0]?.type?.dims ?? []).map((dim) => (typeof dim === 'number' ? dim : batch));
  const results = await runOnce(nodeEngine(), graph, { input: random(dims, 8, batch) });
  return expectFloat32(results.output, 'output').data;
}

describe.each(Object.entries(ways))('%s', (_, way) => {
  const graph = graphOf(way);

  it('is a layer with its inputs, outputs and bias', () => {
    const { layers, refused } = findCompressibleLayers(graph);
    expect(refused).toEqual([]);
    expect(layers.map(({ path, kind, inputs, outputs }) => ({ path, kind, inputs, outputs }))).toEqual([
      { path: 'fc', kind: 'linear', inputs: IN, outputs: OUT },
    ]);
  });

  it.each(['factored', 'rebuilt'] as const)('at full rank is the original at batch 1 and 5, %s', async (execution) => {
    const products = engineProducts(nodeEngine());
    const request = { layout: 'tt', inModes: [4, 6], outModes: [3, 4] } as const;
    const train = await decomposeLinear(graph, 'fc', request, products);
    await products.dispose();
    const replaced = replaceLinears(graph, [train], () => execution);
    expect(replaced.outputs[0]?.type?.dims).toEqual(graph.outputs[0]?.type?.dims);
    for (const batch of [1, 5]) {
      expect(findLargestDifference(await outputOf(replaced, batch), await outputOf(graph, batch))).toBeLessThan(SAME);
    }
  });
});

describe('what is no linear layer', () => {
  const refusals: Readonly<Record<string, Way & { reason: string }>> = {
    'a weight on the left': {
      dims: ['N', 8, 6],
      build: (b, x, weight) => b.op('MatMul', [weight(4, 8), x], {}, { name: 'fc' }),
      reason: 'its weight stands on the left, and mixes rows instead of features',
    },
    'a weight of three axes': {
      dims: ['N', 8, 6],
      build: (b, x, weight) => b.op('MatMul', [x, weight(1, 6, 4)], {}, { name: 'fc' }),
      reason: 'its weight has 3 axes, only a matrix is supported',
    },
    'an Einsum over two axes': {
      dims: ['N', 8, 6],
      build: (b, x, weight) => b.op('Einsum', [x, weight(8, 4)], { equation: 'btc,to->boc' }, { name: 'fc' }),
      reason: 'its Einsum is no product of the last axis with a matrix',
    },
    'a bias that differs by row': {
      dims: [3, 6],
      build: (b, x, weight) => b.op('Gemm', [x, weight(6, 4), weight(3, 4)], {}, { name: 'fc' }),
      reason: 'its bias differs by row',
    },
  };

  it.each(Object.entries(refusals))('%s is refused with the true reason', async (_, { reason, ...way }) => {
    const graph = graphOf(way);
    expect(findCompressibleLayers(graph)).toEqual({ layers: [], refused: [{ path: 'fc', reason }] });
    const products = engineProducts(nodeEngine());
    const request = { layout: 'tt', inModes: [2, 3], outModes: [2, 2] } as const;
    await expect(decomposeLinear(graph, 'fc', request, products)).rejects.toThrow(reason);
    await products.dispose();
  });

  it('a weight that two layers share is refused for both, naming the other; a shared bias is not', async () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 6]);
    const [weight, bias] = [b.initializer('w', random([6, 6], 1)), b.initializer('b', random([6], 2))];
    let y = b.op('Gemm', [x, weight, bias], {}, { name: 'first' });
    y = b.op('Gemm', [y, weight, bias], {}, { name: 'second' });
    b.output(b.op('Gemm', [y, b.initializer('v', random([6, 6], 3)), bias], {}, { name: 'third' }));
    const { layers, refused } = findCompressibleLayers(b.build('tied'));
    expect(layers.map(({ path, sharesBias }) => ({ path, sharesBias }))).toEqual([{ path: 'third', sharesBias: true }]);
    expect(refused).toEqual([
      { path: 'first', reason: 'its weight is shared with "second", so that both would be stored' },
      { path: 'second', reason: 'its weight is shared with "first", so that both would be stored' },
    ]);
  });
});
