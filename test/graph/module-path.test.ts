import { describe, expect, it } from 'vitest';
import { findLayer, getModulePath, listLayers, matchesPattern } from '../../src/graph/module-path.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { rewrite } from '../../src/passes/rewrite.js';

function relus(...names: string[]) {
  const b = new GraphBuilder();
  let x = b.input('input', 'float32', ['N', 4]);
  for (const name of names) x = b.op('Relu', [x], {}, { name });
  b.output(x);
  return b.build('relus');
}

describe('modulePath', () => {
  const pathOf = (name: string) => {
    const [node] = relus(name).nodes;
    return node && getModulePath(node);
  };
  it.each([
    ['vgg16.features.0', 'vgg16.features.0'],
    ['vgg16.avgpool/1', 'vgg16.avgpool'],
    ['/features/features.0/Conv', 'features.0'],
    ['/layer1/layer1.0/conv1/Conv', 'layer1.0.conv1'],
    ['/Relu', 'Relu'],
    ['/features/features.1/features.1.0/block/block.2/block.2.0/Conv', 'features.1.0.block.2.0'],
    ['/layer4/layer4.0/relu_1/Relu/2', 'layer4.0.relu_1'],
    ['/0/0.3/Conv', '0.3'],
    ['Conv_12', 'Conv_12'],
    ['StatefulPartitionedCall/model/conv1/Conv2D', 'StatefulPartitionedCall.model.conv1'],
  ])('of node %s is %s', (name, path) => {
    expect(pathOf(name)).toBe(path);
  });
});

describe('findLayer', () => {
  const graph = relus('vgg16.features.0', 'vgg16.classifier.0', 'vgg16.classifier.0', 'head.features.1');

  it('takes a full path or a unique suffix', () => {
    expect(findLayer(graph, 'vgg16.features.0').path).toBe('vgg16.features.0');
    expect(findLayer(graph, 'classifier.0').path).toBe('vgg16.classifier.0');
  });

  it('gathers the nodes of a module and the activation that leaves it', () => {
    const layer = findLayer(graph, 'classifier.0');
    expect(layer.nodes).toHaveLength(2);
    expect(layer.output).toBe(graph.nodes[2]?.outputs[0]);
    expect(listLayers(graph).map(({ path }) => path)).toEqual([
      'vgg16.features.0',
      'vgg16.classifier.0',
      'head.features.1',
    ]);
  });

  it('takes the name of a node or of a value: that node alone', () => {
    const second = graph.nodes[1];
    const layer = findLayer(graph, second?.outputs[0]?.name ?? '');
    expect(layer).toEqual({ path: 'vgg16.classifier.0', nodes: [second], output: second?.outputs[0] });
    expect(findLayer(graph, 'vgg16.classifier.0/1').nodes).toEqual([graph.nodes[2]]);
  });

  it('calls nodes without names as their outputs, also where a rewrite counted them', () => {
    const unnamed = { ...graph, nodes: graph.nodes.map((node) => ({ ...node, name: '' })) };
    for (const one of [unnamed, rewrite(unnamed)]) {
      expect(listLayers(one).map(({ path }) => path)).toEqual(graph.nodes.map(({ outputs }) => outputs[0]?.name));
    }
  });

  it('suggests the nearest path for a typo and lists what an ambiguous name fits', () => {
    expect(() => findLayer(graph, 'clasifier.0')).toThrow(/Did you mean "classifier.0"/);
    const twice = relus('a.conv', 'b.conv');
    expect(() => findLayer(twice, 'conv')).toThrow(/a\.conv, b\.conv/);
  });
});

describe('fitsPattern', () => {
  it('matches whole names, with leading modules optional', () => {
    expect(matchesPattern('vgg16.classifier.0.weight', 'classifier.*')).toBe(true);
    expect(matchesPattern('vgg16.features.0.weight', 'classifier.*')).toBe(false);
    expect(matchesPattern('vgg16.myclassifier.0.weight', 'classifier.*')).toBe(false);
    expect(matchesPattern('anything', '*')).toBe(true);
  });
});
