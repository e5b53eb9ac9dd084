import { describe, expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { gradCam } from '../../src/explain/grad-cam.js';
import { findDefaultLayer, findNamedLayer, findSpatialLayers } from '../../src/explain/layers.js';
import type { Dim, Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { findScores } from '../../src/ops/scores/scores.js';
import { bindInputs } from '../../src/passes/rewrite.js';
import { seeded } from '../../src/tensor/random.js';
import { float32 } from '../../src/tensor/tensor.js';

/** A builder with the shorthands of a small network; weights are random. */
class Network {
  readonly b = new GraphBuilder();
  readonly random = seeded(1);

  weight(...dims: number[]): Value {
    const count = dims.reduce((product, size) => product * size, 1);
    return this.b.initializer(
      'weight',
      float32(
        Array.from({ length: count }, () => this.random.uniform() - 0.5),
        dims,
      ),
    );
  }

  images(...dims: Dim[]): Value {
    return this.b.input('images', 'float32', dims);
  }

  conv(name: string, x: Value, channels: number, kernel = 3, stride = 1): Value {
    const from = x.type?.dims[1];
    const pads = Array.from({ length: 4 }, () => (stride === 1 ? (kernel - 1) / 2 : 0));
    const weight = this.weight(channels, typeof from === 'number' ? from : 1, kernel, kernel);
    return this.b.op('Conv', [x, weight], { pads, strides: [stride, stride] }, { name });
  }

  linear(name: string, x: Value, channels: number): Value {
    const from = x.type?.dims.at(-1);
    return this.b.op('MatMul', [x, this.weight(typeof from === 'number' ? from : 1, channels)], {}, { name });
  }

  build(...outputs: Value[]): Graph {
    for (const output of outputs) this.b.output(output);
    return this.b.build('network');
  }
}

const mean = (net: Network, x: Value, axes: readonly number[]): Value =>
  net.b.op('ReduceMean', [x, net.b.ints(axes)], { keepdims: 0 }, { name: 'mean' });

/** Relu maps, pooled, and a linear layer. */
function convolutional(dims: readonly Dim[] = ['N', 3, 8, 8]): Graph {
  const net = new Network();
  const x = net.b.op('Relu', [net.conv('conv', net.images(...dims), 8)], {}, { name: 'relu' });
  return net.build(net.linear('fc', mean(net, x, [2, 3]), 5));
}

const gridOf = (graph: Graph, path: string) => findSpatialLayers(graph).find((layer) => layer.path === path)?.grid;

describe('the grid of an activation', () => {
  it('is told from structure where the sizes say nothing: 8 channels of 8×8 either way', () => {
    const net = new Network();
    const maps = net.b.op('Relu', [net.conv('conv', net.images('N', 3, 8, 8), 8)], {}, { name: 'first' });
    const last = net.b.op('Transpose', [maps], { perm: [0, 2, 3, 1] }, { name: 'permute' });
    const scaled = net.b.op('Tanh', [net.linear('mix', last, 8)], {}, { name: 'last' });
    const graph = net.build(net.linear('fc', mean(net, scaled, [1, 2]), 5));
    expect(gridOf(graph, 'first')?.layout).toBe('channels-first');
    for (const path of ['permute', 'mix', 'last']) expect(gridOf(graph, path)?.layout).toBe('channels-last');
    expect(findDefaultLayer(graph).path).toBe('last');
  });

  it('is known before what tells it: backwards from a convolution', () => {
    const net = new Network();
    const x = net.b.op('Tanh', [net.images('N', 3, 4, 4)], {}, { name: 'tanh' });
    const graph = net.build(net.linear('fc', mean(net, net.conv('conv', x, 4), [2, 3]), 5));
    expect(gridOf(graph, 'tanh')).toMatchObject({ layout: 'channels-first', channels: 3, height: 4, width: 4 });
  });

  it('does not hold for a grid of one place, which has no map', () => {
    const net = new Network();
    const pooled = net.b.op('GlobalAveragePool', [net.conv('conv', net.images('N', 3, 4, 4), 4)], {}, { name: 'pool' });
    const gate = net.b.op('Sigmoid', [net.conv('gate', pooled, 4, 1)], {}, { name: 'sigmoid' });
    const graph = net.build(net.linear('fc', net.b.op('Flatten', [gate]), 5));
    expect(findSpatialLayers(graph).map(({ path }) => path)).toEqual(['conv']);
  });
});

/** Patches of a convolution as tokens after `prefix` others, one block of attention with `heads` heads. */
function transformer(grid: readonly [number, number], prefix: number, heads = 2): Graph {
  const net = new Network();
  const { b } = net;
  const dim = 4;
  const count = grid[0] * grid[1];
  const patches = net.conv('patches', net.images('N', 3, 2 * grid[0], 2 * grid[1]), dim, 2, 2);
  const flat = b.op('Reshape', [patches, b.ints([0, dim, count])], {}, { name: 'flat' });
  let x = b.op('Transpose', [flat], { perm: [0, 2, 1] }, { name: 'tokens' });
  if (prefix > 0) x = b.op('Pad', [x, b.ints([0, prefix, 0, 0, 0, 0])], {}, { name: 'prefixed' });
  const norm = (name: string, of: Value) =>
    b.op('LayerNormalization', [of, net.weight(dim), net.weight(dim)], { axis: -1 }, { name });
  const normed = norm('norm1', x);
  const split = (name: string, perm: number[]) => {
    const rows = b.op(
      'Reshape',
      [net.linear(name, normed, dim), b.ints([0, 0, heads, dim / heads])],
      {},
      { name: `${name}s` },
    );
    return b.op('Transpose', [rows], { perm }, { name: `${name}_heads` });
  };
  const products = b.op('MatMul', [split('query', [0, 2, 1, 3]), split('key', [0, 2, 3, 1])], {}, { name: 'products' });
  // One factor a head, as Swin v2 has it: a constant of one axis, which is not that of channels.
  const scaled = b.op('Mul', [products, net.weight(heads, 1, 1)], {}, { name: 'scaled' });
  const attention = b.op('Softmax', [scaled], { axis: -1 }, { name: 'attention' });
  const mixed = b.op('MatMul', [attention, split('value', [0, 2, 1, 3])], {}, { name: 'mixed' });
  const back = b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }, { name: 'back' });
  const joined = b.op('Reshape', [back, b.ints([0, 0, dim])], {}, { name: 'joined' });
  x = norm('norm2', b.op('Add', [x, net.linear('project', joined, dim)], {}, { name: 'residual' }));
  const read = prefix > 0 ? b.op('Gather', [x, b.ints([0])], { axis: 1 }) : x;
  return net.build(net.linear('fc', mean(net, read, [1]), 5));
}

describe('tokens', () => {
  it.each([
    [[4, 4], 0],
    [[4, 4], 1],
    [[3, 5], 0],
    [[3, 5], 1],
    [[3, 5], 2],
    // 25 tokens are a square, 24 are the patches.
    [[4, 6], 1],
  ] as const)('of %j patches after %i others', (grid, prefix) => {
    const expected = { layout: 'tokens', channels: 4, height: grid[0], width: grid[1], prefix };
    const graph = transformer(grid, prefix);
    expect(gridOf(graph, 'norm1')).toEqual(expected);
    expect(gridOf(graph, 'residual')).toEqual(expected);
  });

  it('never take attention between tokens, or its heads, for maps', () => {
    for (const prefix of [0, 1]) {
      const names = findSpatialLayers(transformer([4, 4], prefix)).map(({ path }) => path);
      for (const path of ['products', 'scaled', 'attention', 'mixed', 'back', 'query_heads']) {
        expect(names).not.toContain(path);
      }
    }
  });

  it('look before the last attention where a class token is read, else at the end', () => {
    expect(findDefaultLayer(transformer([4, 4], 1)).path).toBe('norm1');
    expect(findDefaultLayer(transformer([4, 4], 0)).path).toBe('norm2');
  });

  it('give maps of the images’ size', async () => {
    const explainer = await gradCam(nodeEngine(), transformer([3, 5], 2));
    const pixels = Array.from({ length: 2 * 3 * 6 * 10 }, (_, i) => Math.sin(i));
    const explained = await explainer.explain(float32(pixels, [2, 3, 6, 10]));
    await explainer.dispose();
    expect(explained.map(({ map }) => map.dims)).toEqual([
      [6, 10],
      [6, 10],
    ]);
  });
});

describe('the scores', () => {
  it('are the first output [N, classes]; auxiliary heads and what leads to them alone do not count', () => {
    const net = new Network();
    const maps = net.b.op('Relu', [net.conv('conv', net.images('N', 3, 8, 8), 8)], {}, { name: 'relu' });
    const side = net.conv('aux.conv', maps, 6);
    const graph = net.build(
      side,
      net.linear('fc', mean(net, maps, [2, 3]), 5),
      net.linear('aux', mean(net, side, [2, 3]), 4),
    );
    expect(findScores(graph).classes).toBe(5);
    expect(findSpatialLayers(graph).map(({ path }) => path)).toEqual(['conv', 'relu']);
    expect(() => findNamedLayer(graph, 'aux.conv')).toThrow(/"aux.conv" does not lead to the scores/);
  });

  it('may be [N, classes, 1, 1]; the maps of classes before them are not the default', async () => {
    const net = new Network();
    const maps = net.b.op('Relu', [net.conv('conv', net.images('N', 3, 8, 8), 8)], {}, { name: 'relu' });
    const classes = net.b.op('Relu', [net.conv('classes', maps, 5)], {}, { name: 'class_maps' });
    const graph = net.build(net.b.op('GlobalAveragePool', [classes], {}, { name: 'pool' }));
    expect(findDefaultLayer(graph).path).toBe('relu');
    expect(gridOf(graph, 'class_maps')).toMatchObject({ channels: 5 });
    const explainer = await gradCam(nodeEngine(), graph);
    const [explained] = await explainer.explain(float32(new Float32Array(3 * 64).fill(1), [1, 3, 8, 8]), [3]);
    await explainer.dispose();
    expect(explained?.scores).toHaveLength(5);
    expect(explained?.target).toBe(3);
  });

  it('are asked for: a model that gives maps is no classifier', () => {
    const net = new Network();
    const graph = net.build(net.conv('conv', net.images('N', 3, 8, 8), 8));
    expect(() => findScores(graph)).toThrow(/no classifier.*\[N, 8, 8, 8\]/);
  });
});

describe('gradCam', () => {
  it('refuses models of several inputs, and says which', async () => {
    const net = new Network();
    const sum = net.b.op('Add', [net.images('N', 3, 8, 8), net.b.input('noise', 'float32', ['N', 3, 8, 8])]);
    const graph = net.build(net.linear('fc', mean(net, net.conv('conv', sum, 4), [2, 3]), 5));
    await expect(gradCam(nodeEngine(), graph)).rejects.toThrow(/several inputs.*"noise" \[N, 3, 8, 8\]/);
  });

  it('suggests the nearest layer, and lists those with maps when one has none', async () => {
    const graph = convolutional();
    await expect(gradCam(nodeEngine(), graph, { layer: 'rellu' })).rejects.toThrow(/Did you mean "relu"/);
    await expect(gradCam(nodeEngine(), graph, { layer: 'fc' })).rejects.toThrow(/\[N, 5\].*conv, relu/);
  });

  it('says what to do where sizes are open', async () => {
    await expect(gradCam(nodeEngine(), convolutional(['N', 3, 'H', 'W']))).rejects.toThrow(/`inputSize`/);
  });

  it('feeds a model of a fixed batch as many images at a time', async () => {
    const open = convolutional();
    const pixels = float32(
      Array.from({ length: 5 * 3 * 64 }, (_, i) => Math.cos(i)),
      [5, 3, 8, 8],
    );
    const [expected, found] = await Promise.all(
      [open, bindInputs(open, { images: [2, 3, 8, 8] })].map(async (graph) => {
        const explainer = await gradCam(nodeEngine(), graph);
        const explained = await explainer.explain(pixels, [1, undefined, 2, 3, 4]);
        await explainer.dispose();
        return explained;
      }),
    );
    expect(found?.map(({ target }) => target)).toEqual(expected?.map(({ target }) => target));
    for (const [i, { map }] of (expected ?? []).entries()) {
      // The same sums, but ONNX Runtime may choose other kernels for another batch.
      for (const [p, value] of map.data.entries()) expect(found?.[i]?.map.data[p]).toBeCloseTo(value, 5);
    }
  });
});
