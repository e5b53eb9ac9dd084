/* Each node has a name of its own, and each layer a module path of its own. */
import { describe, expect, it } from 'vitest';
import { findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { findLayer, getModulePath } from '../../src/graph/module-path.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { nameLayersApart, nameNodesApart } from '../../src/passes/name-layers.js';
import { random } from '../compression/support.js';

/** Linear layers in a row: the name of each node, and of its weight; those with a bias get an Add of their own. */
function chain(layers: readonly { node: string; weight: string; bias?: string }[]): Graph {
  const b = new GraphBuilder();
  let x: Value = b.input('input', 'float32', ['N', 5, 4]);
  for (const [i, { node, weight, bias }] of layers.entries()) {
    x = b.op('MatMul', [x, b.initializer(weight, random([4, 4], 1, i))], {}, { name: node });
    if (bias) x = b.op('Add', [b.initializer(bias, random([4], 2, i)), x], {}, { name: `${node}_bias` });
  }
  b.output(x);
  return b.build('chain');
}

const pathsOf = (graph: Graph) => findCompressibleLayers(graph).layers.map(({ path }) => path);

describe('nodes of one name', () => {
  const graph = chain([
    { node: 'conv', weight: 'a' },
    { node: 'x', weight: 'b' },
    { node: 'y', weight: 'c' },
  ]);
  const called = (...names: string[]): Graph => ({
    ...graph,
    nodes: graph.nodes.map((node, i) => ({ ...node, name: names[i] ?? node.name })),
  });

  it('are told apart by a number that is free, and a note reports it', () => {
    const { graph: named, notes } = nameNodesApart(called('conv', 'conv', 'conv_2'));
    expect(named.nodes.map(({ name }) => name)).toEqual(['conv', 'conv_3', 'conv_2']);
    expect(notes).toEqual([
      { applied: true, text: 'Several nodes have one name; the later ones are called "conv_3" here.' },
    ]);
    expect(pathsOf(named)).toEqual(['conv', 'conv_3', 'conv_2']);
    expect(findLayer(named, 'conv').nodes).toHaveLength(1);
  });

  it('may have none; other names stay, without a note', () => {
    const { graph: named, notes } = nameNodesApart(called('', '', 'conv'));
    expect(named.nodes.map(({ name }) => name)).toEqual(['', '', 'conv']);
    expect(notes).toEqual([]);
  });
});

describe('layers of one module', () => {
  it('are called by their parameters, by their biases where these alone have names, or by their nodes', () => {
    const { graph } = nameLayersApart(
      chain([
        { node: '/block/at/MatMul', weight: 'onnx::MatMul_1', bias: 'block.at.in_proj_bias' },
        { node: '/block/at/MatMul_1', weight: 'block.at.out_proj.weight' },
        { node: '/block/at/MatMul_2', weight: 'onnx::MatMul_2' },
        { node: '/block/fc/MatMul', weight: 'onnx::MatMul_3', bias: 'block.fc.bias' },
      ]),
    );
    expect(pathsOf(graph)).toEqual(['block.at.in_proj', 'block.at.out_proj', 'block.at.MatMul_2', 'block.fc']);
    // The Add of a bias belongs to its product.
    expect(findLayer(graph, 'block.at.in_proj').nodes.map(({ op }) => op)).toEqual(['MatMul', 'Add']);
  });

  it('get different names where their parameters would give the same, or their nodes are numbered', () => {
    const { graph } = nameLayersApart(
      chain([
        { node: '/at/MatMul', weight: 'at.proj.weight' },
        { node: '/at/MatMul_1', weight: 'at.proj.kernel' },
        { node: 'body/0', weight: 'v1' },
        { node: 'body/1', weight: 'v2' },
      ]),
    );
    expect(pathsOf(graph)).toEqual(['at.proj', 'at.proj_2', 'body.0', 'body.1']);
  });

  it('stay one layer where they are its factors', () => {
    const graph = chain([
      { node: 'fc', weight: 'fc.factor0' },
      { node: 'fc/1', weight: 'fc.factor1' },
    ]);
    expect(nameLayersApart(graph).graph.nodes.map(getModulePath)).toEqual(['fc', 'fc']);
    expect(findCompressibleLayers(graph).refused).toEqual([
      { path: 'fc', reason: 'it is a factor of a layer that is decomposed already' },
    ]);
  });
});
