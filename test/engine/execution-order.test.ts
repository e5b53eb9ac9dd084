import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderForRuntime } from '../../src/engine/execution-order.js';
import type { Graph, Node, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';

/** A graph whose node i adds two earlier values, picked by the numbers. */
function graphOf(picks: readonly (readonly [number, number])[]): Graph {
  const b = new GraphBuilder();
  const values: Value[] = [b.input('x', 'float32', [2])];
  for (const [i, j] of picks) {
    values.push(b.op('Add', [values[i % values.length], values[j % values.length]]));
  }
  for (const value of values.slice(1)) b.output(value);
  return b.build('sums');
}

/** The order in which a walk back from the last leaf runs the nodes, what is listed last first. */
function walkedBack({ nodes }: Graph): Node[] {
  const position = new Map(nodes.map((node, index) => [node, index]));
  const maker = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const before = (node: Node) => node.inputs.flatMap((input) => maker.get(input) ?? []);
  const read = new Set(nodes.flatMap(before));
  const order = new Set<Node>();
  const visit = (node: Node): void => {
    if (order.has(node)) return;
    for (const other of before(node).sort((a, b) => (position.get(b) ?? 0) - (position.get(a) ?? 0))) visit(other);
    order.add(node);
  };
  for (const leaf of nodes.filter((node) => !read.has(node)).reverse()) visit(leaf);
  return [...order];
}

describe('the order of nodes for the runtime', () => {
  it('keeps every node, after everything that it reads', () => {
    const pick = fc.tuple(fc.nat(20), fc.nat(20));
    fc.assert(
      fc.property(fc.array(pick, { minLength: 1, maxLength: 20 }), (picks) => {
        const graph = graphOf(picks);
        const { nodes, outputs } = orderForRuntime(graph);
        expect(new Set(nodes)).toEqual(new Set(graph.nodes));
        expect(nodes).toHaveLength(graph.nodes.length);
        expect(outputs).toEqual(graph.outputs);
        const made = new Set<Value | undefined>(graph.inputs);
        for (const node of nodes) {
          for (const input of node.inputs) expect(made.has(input)).toBe(true);
          for (const output of node.outputs) made.add(output);
        }
      }),
    );
  });

  it('has each weight gradient computed as soon as it can be', () => {
    const b = new GraphBuilder();
    let chain = b.input('x', 'float32', [2]);
    const expected: string[] = [];
    for (const layer of ['3', '2', '1']) {
      chain = b.op('Neg', [chain], {}, { name: `through ${layer}` });
      const weight = b.op('Exp', [chain], {}, { name: `weight ${layer}` });
      b.output(b.op('Identity', [weight], {}, { name: `publish ${layer}` }));
      expected.push(`through ${layer}`, `weight ${layer}`, `publish ${layer}`);
    }
    const graph = b.build('backward');
    expect(walkedBack(orderForRuntime(graph)).map(({ name }) => name)).toEqual(expected);
    // As it is listed, the walk starts with what is computed last.
    expect(walkedBack(graph).map(({ name }) => name)).not.toEqual(expected);
  });
});
