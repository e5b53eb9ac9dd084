import { describe, expect, it } from 'vitest';
import { findLayer } from '../../src/graph/module-path.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { bindInputs, rewrite, startRewrite } from '../../src/passes/rewrite.js';
import { float32 } from '../../src/tensor/tensor.js';

/** input [N, 2] → fc (3×2) → relu → output, and a dead branch. */
function small() {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', 2]);
  const w = b.initializer('fc.weight', float32([1, 2, 3, 4, 5, 6], [3, 2]));
  const y = b.op('Gemm', [x, w], { transB: 1 }, { name: 'fc' });
  b.op('Exp', [x], {}, { name: 'dead' });
  b.output(b.op('Relu', [y], {}, { name: 'relu', outputName: 'output' }));
  return b.build('small');
}

describe('rewrite', () => {
  it('keeps names, drops dead nodes, and never changes the graph it was given', () => {
    const graph = small();
    const copy = rewrite(graph);
    expect(copy.nodes.map(({ name }) => name)).toEqual(['fc', 'relu']);
    expect(copy.outputs[0]?.name).toBe('output');
    expect([...copy.initializers.keys()].map(({ name }) => name)).toEqual(['fc.weight']);
    expect(graph.nodes).toHaveLength(3);
  });

  it('is idempotent', () => {
    const names = (graph: ReturnType<typeof small>) => graph.nodes.map(({ name, outputs }) => [name, outputs[0]?.name]);
    const once = rewrite(small());
    expect(names(rewrite(once))).toEqual(names(once));
  });

  it('infers every type anew when an input gets fixed dimensions', () => {
    expect(bindInputs(small(), { input: [7, 2] }).outputs[0]?.type?.dims).toEqual([7, 3]);
    expect(() => bindInputs(small(), { input: [7, 5] })).toThrow(/"fc" \(Gemm\)/);
  });

  it('cuts at a value, which becomes an input', () => {
    const graph = small();
    const { builder, mapValue: of } = startRewrite(graph, { cutAt: [findLayer(graph, 'fc').output] });
    const [output] = graph.outputs;
    if (output) builder.output(of(output));
    const suffix = builder.build('suffix');
    expect(suffix.inputs.map(({ name }) => name)).toEqual(['fc:0']);
    expect(suffix.nodes.map(({ op }) => op)).toEqual(['Relu']);
    expect(suffix.initializers.size).toBe(0);
  });

  it('turns an initializer into an input when it is cut', () => {
    const graph = small();
    const [weight] = graph.initializers.keys();
    const { builder, mapValue: of } = startRewrite(graph, { cutAt: weight ? [weight] : [] });
    for (const output of graph.outputs) builder.output(of(output));
    expect(builder.build('fed').inputs.map(({ name, type }) => [name, type?.dims])).toEqual([
      ['input', ['N', 2]],
      ['fc.weight', [3, 2]],
    ]);
  });

  it('keeps the name of a value that is computed in another way, whatever its nodes are called', () => {
    const graph = small();
    const { output } = findLayer(graph, 'fc');
    const [x] = graph.inputs;
    const twice = (named: boolean) =>
      rewrite(graph, {
        replace: new Map([
          [
            output,
            {
              reads: x ? [x] : [],
              emit([input], b) {
                return b.within('fc', () => {
                  const y = b.op('Gemm', [input, b.initializer('fc.factor0', float32([1, 2], [1, 2]))], { transB: 1 });
                  return b.op('Neg', [y], {}, named ? { outputName: output.name } : {});
                });
              },
            },
          ],
        ]),
      });
    const [first, second, relu] = twice(true).nodes;
    expect(first?.outputs[0]?.name).not.toBe(output.name);
    expect(second?.outputs[0]?.name).toBe(output.name);
    expect(relu?.inputs[0]).toBe(second?.outputs[0]);
    expect(twice(false).nodes).toHaveLength(3);
  });

  it('gives an output that is computed in another way its name in any case', () => {
    const graph = small();
    const [output] = graph.outputs;
    const { output: y } = findLayer(graph, 'fc');
    if (!output) throw new Error('the graph has no output');
    const replaced = rewrite(graph, {
      replace: new Map([[output, { reads: [y], emit: ([value], b) => b.op('Abs', [value]) }]]),
    });
    expect(replaced.outputs[0]?.name).toBe('output');
    expect(replaced.nodes.map(({ op }) => op)).toEqual(['Gemm', 'Abs', 'Identity']);
  });
});
