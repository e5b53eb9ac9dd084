import { describe, expect, it } from 'vitest';
import type { Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { chooseOutput } from '../../src/ops/scores/choose-output.js';
import { withOutputs, withScoresFirst } from '../../src/passes/scores-graph.js';
import { at } from '../../src/values.js';
import { noise } from './networks.js';

/** Adds an output under a name. */
type Give = (value: Value, name: string) => Value;

/** Features of images with some heads on them. */
function heads(
  add: (b: GraphBuilder, features: Value, linear: (x: Value, columns: number) => Value, give: Give) => void,
): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', 3, 4, 4]);
  const weight = (dims: readonly number[]) => b.initializer(`weight${dims.join('x')}`, noise(dims, dims.length));
  const map = b.op('Relu', [b.op('Conv', [x, weight([6, 3, 3, 3])], { kernel_shape: [3, 3] })]);
  const features = b.op('Flatten', [b.op('GlobalAveragePool', [map])], { axis: 1 });
  const linear = (value: Value, columns: number) =>
    b.op('Gemm', [value, weight([columns, Number(value.type?.dims[1])])], { transB: 1 });
  add(b, features, linear, (value, name) => {
    const named = b.op('Identity', [value], {}, { outputName: name });
    b.output(named);
    return named;
  });
  return b.build('heads');
}

const cases: readonly (readonly [string, Parameters<typeof heads>[0], string])[] = [
  [
    'an embedding before the logits',
    (_, f, linear, give) => {
      give(f, 'emb');
      give(linear(f, 5), 'logits');
    },
    'logits',
  ],
  [
    'the same without telling names: what leads on by way of weights holds features',
    (_, f, linear, give) => {
      const deep = linear(f, 4);
      give(deep, '512');
      give(linear(deep, 5), '515');
    },
    '515',
  ],
  [
    'features after the logits',
    (_, f, linear, give) => {
      give(linear(f, 5), 'output');
      give(f, 'features');
    },
    'output',
  ],
  [
    'an auxiliary head that comes first',
    (b, f, linear, give) => {
      give(linear(f, 5), 'aux_logits');
      give(linear(b.op('Relu', [linear(f, 4)]), 5), 'logits');
    },
    'logits',
  ],
  [
    'auxiliary heads without telling names: the main head is computed from the most',
    (b, f, linear, give) => {
      give(linear(f, 5), '120');
      give(linear(b.op('Relu', [linear(f, 4)]), 5), '140');
    },
    '140',
  ],
  [
    'a box head beside a softmax',
    (b, f, linear, give) => {
      give(linear(f, 4), 'boxes');
      give(b.op('Softmax', [linear(f, 5)]), 'out');
    },
    'out',
  ],
  [
    'the number of the predicted class and its probability',
    (b, f, linear, give) => {
      const p = b.op('Softmax', [linear(f, 5)]);
      b.output(b.op('ArgMax', [p], { axis: 1, keepdims: 0 }, { outputName: 'label' }));
      give(b.op('ReduceMax', [p, b.ints([1])], { keepdims: 0 }), 'confidence');
      give(p, 'probabilities');
    },
    'probabilities',
  ],
  [
    'a map of features that can hold no scores',
    (b, f, linear, give) => {
      b.output(
        b.op('Expand', [b.op('Unsqueeze', [f, b.ints([2, 3])]), b.ints([1, 6, 2, 2])], {}, { outputName: 'map' }),
      );
      give(linear(f, 5), 'y');
    },
    'y',
  ],
];

describe('the output that holds the scores', () => {
  it.each(cases)('%s', (_, add, expected) => {
    const graph = heads(add);
    expect(chooseOutput(graph)?.output.name).toBe(expected);
    // The order of the outputs decides nothing.
    const turned: Graph = { ...graph, outputs: graph.outputs.toReversed() };
    expect(chooseOutput(turned)?.output.name).toBe(expected);
  });

  it('of two alike the first', () => {
    const graph = heads((_, f, linear, give) => {
      give(linear(f, 5), 'a');
      give(linear(f, 5), 'b');
    });
    expect(chooseOutput(graph)).toMatchObject({ output: { name: 'a' }, others: ['b'] });
  });

  it('as many columns as known classes win', () => {
    const graph = heads((_, f, linear, give) => {
      give(linear(f, 5), 'a');
      give(linear(f, 7), 'b');
    });
    expect(chooseOutput(graph, { classes: 7 })?.output.name).toBe('b');
  });

  it('a person names another; a wrong name is refused with the nearest, one that can hold none with its dimensions', () => {
    const graph = heads((b, f, linear, give) => {
      give(f, 'emb');
      give(linear(f, 5), 'logits');
      b.output(b.op('ArgMax', [f], { axis: 1, keepdims: 0 }, { outputName: 'label' }));
    });
    expect(chooseOutput(graph, { name: 'emb' })?.output.name).toBe('emb');
    expect(() => chooseOutput(graph, { name: 'logit' })).toThrow(/no output "logit"\. Did you mean "logits"\?/);
    expect(() => chooseOutput(graph, { name: 'label' })).toThrow(/"label" is int64 \[N\].*can hold no scores/);
  });

  it('comes first in memory; a file has its own outputs in its own order', () => {
    const graph = heads((b, f, linear, give) => {
      give(f, 'emb');
      b.output(b.op('Unsqueeze', [linear(f, 5), b.ints([2, 3])], {}, { outputName: 'logits' }));
    });
    const { graph: first } = withScoresFirst(graph, at(graph.outputs, 1));
    expect(first.outputs.map(({ type }) => type?.dims)).toEqual([
      ['N', 5],
      ['N', 6],
      ['N', 5, 1, 1],
    ]);
    const written = withOutputs(
      first,
      graph.outputs.map(({ name }) => name),
    );
    expect(written.outputs.map(({ name, type }) => [name, type?.dims])).toEqual([
      ['emb', ['N', 6]],
      ['logits', ['N', 5, 1, 1]],
    ]);
    expect(written.nodes.map(({ op }) => op)).toEqual(graph.nodes.map(({ op }) => op));
  });
});
