import { describe, expect, it } from 'vitest';
import { type Graph, type Node, Value } from '../../src/graph/model.js';
import { sortTopologically } from '../../src/graph/order.js';
import { findReachable, findUses, listNodesFor } from '../../src/graph/uses.js';

const x = new Value('x', { dtype: 'float32', dims: [1] });

function node(name: string, inputs: readonly Value[], attributes: Node['attributes'] = {}): Node & { output: Value } {
  const output = new Value(name, undefined);
  return { op: 'Relu', domain: '', name, inputs, outputs: [output], attributes, output };
}

function graphOf(nodes: readonly (Node & { output: Value })[], output: Value): Graph {
  return { name: 'g', inputs: [x], outputs: [output], nodes, initializers: new Map() };
}

describe('topologicalOrder', () => {
  it('leaves nodes that are in order where they are', () => {
    const a = node('a', [x]);
    const b = node('b', [x]);
    const c = node('c', [a.output]);
    const d = node('d', [b.output, c.output]);
    expect(sortTopologically(graphOf([a, b, c, d], d.output)).map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('sorts a long chain given backwards, deeper than the stack of calls', () => {
    const chain = [node('0', [x])];
    for (let i = 1; i < 50_000; i++) chain.push(node(`${i}`, [chain[i - 1]?.output ?? x]));
    const order = sortTopologically(graphOf([...chain].reverse(), chain.at(-1)?.output ?? x));
    expect(order).toEqual(chain);
  });

  it('refuses a cycle and a value that nothing makes', () => {
    const loop = new Value('loop', undefined);
    const self: Node = { op: 'Relu', domain: '', name: 'self', inputs: [loop], outputs: [loop], attributes: {} };
    const graph: Graph = { name: 'g', inputs: [], outputs: [loop], nodes: [self], initializers: new Map() };
    expect(() => sortTopologically(graph)).toThrow('cycle: node "self"');
    const lost = node('lost', [new Value('nowhere', undefined)]);
    expect(() => sortTopologically(graphOf([lost], lost.output))).toThrow('reads "nowhere"');
  });
});

describe('a value that a graph inside of a node captures', () => {
  const scale = node('scale', [x]);
  const inner = node('inner', [scale.output]);
  const branch: Graph = { name: 'then', inputs: [], outputs: [inner.output], nodes: [inner], initializers: new Map() };
  const outer = node('if', [x], { then_branch: { type: 'graph', value: branch } });
  const graph = graphOf([outer, scale], outer.output);

  it('is made before that node, kept alive by it and read by it', () => {
    expect(sortTopologically(graph).map(({ name }) => name)).toEqual(['scale', 'if']);
    const sorted = { ...graph, nodes: sortTopologically(graph) };
    expect(listNodesFor(sorted, [outer.output])).toEqual([scale, outer]);
    expect(findUses(sorted).consumers(scale.output)).toEqual([outer]);
    expect(findReachable(sorted, [scale.output])).toContain(outer.output);
  });
});
