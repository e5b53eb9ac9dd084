import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { splitFrozenPrefix } from '../../src/passes/frozen-prefix.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';

const named = (graph: Graph, ...names: string[]): Set<Value> =>
  new Set([...graph.initializers.keys()].filter(({ name }) => names.includes(name)));

const some = (dims: readonly number[]): Tensor<'float32'> => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return float32(
    Array.from({ length: size }, (_, i) => Math.sin(1 + 3 * i)),
    dims,
  );
};

/** Conv → Relu → MaxPool to `[2, 2, 2]`, spread to `[2, 7, 7]` by constant matrices, flattened, two linear layers. */
function vggLike(): Graph {
  const b = new GraphBuilder();
  let x = b.input('input', 'float32', ['N', 1, 4, 4]);
  const conv = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
  x = b.op('Conv', [x, b.initializer('features.0.weight', some([2, 1, 3, 3]))], conv, { name: 'features.0' });
  x = b.op('Relu', [x], {}, { name: 'features.1' });
  x = b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] }, { name: 'features.2' });
  x = b.op('MatMul', [b.initializer('constant/rows', some([7, 2])), x], {}, { name: 'avgpool' });
  x = b.op('MatMul', [x, b.initializer('constant/columns', some([2, 7]))], {}, { name: 'avgpool' });
  x = b.op('Flatten', [x], { axis: 1 }, { name: 'flatten' });
  x = b.op('Gemm', [x, b.initializer('classifier.0.weight', some([5, 98]))], { transB: 1 }, { name: 'classifier.0' });
  x = b.op('Relu', [x], {}, { name: 'classifier.1' });
  x = b.op('Gemm', [x, b.initializer('classifier.2.weight', some([3, 5]))], { transB: 1 }, { name: 'classifier.2' });
  b.output(b.op('LogSoftmax', [x], {}, { name: 'log_softmax', outputName: 'output' }));
  return b.build('vgg-like');
}

/** The output of a graph, whole and in two parts. */
async function bothWays(graph: Graph, trained: Set<Value>, input: Tensor<'float32'>) {
  const engine = referenceEngine();
  const { prefix, suffix } = splitFrozenPrefix(graph, trained);
  const run = async (part: Graph, feed: Tensor<'float32'>) => {
    const results = await runOnce(engine, part, { [part.inputs[0]?.name ?? '']: feed });
    return expectFloat32(results[part.outputs[0]?.name ?? ''], 'output');
  };
  const whole = await run(graph, input);
  const features = prefix ? await run(prefix, input) : input;
  return { whole: [...whole.data], parts: [...(await run(suffix, features)).data] };
}

describe('splitFrozenPrefix', () => {
  it('cuts at the smallest activation, not at the last one', () => {
    const graph = vggLike();
    const {
      prefix,
      suffix,
      cut,
      elementsPerImage: elements,
    } = splitFrozenPrefix(graph, named(graph, 'classifier.0.weight'));
    expect(cut.name).toBe('features.2:0');
    expect(elements).toBe(8);
    expect(prefix?.nodes.map(({ name }) => name)).toEqual(['features.0', 'features.1', 'features.2']);
    expect(prefix?.outputs.map(({ type }) => type?.dims)).toEqual([['N', 2, 2, 2]]);
    expect(suffix.inputs.map(({ name }) => name)).toEqual(['features.2:0']);
    expect(suffix.outputs.map(({ name }) => name)).toEqual(['output']);
  });

  it('cuts further on where the activations become smaller', () => {
    const graph = vggLike();
    const { cut, elementsPerImage: elements } = splitFrozenPrefix(graph, named(graph, 'classifier.2.weight'));
    expect([cut.name, elements]).toEqual(['classifier.1:0', 5]);
  });

  it('has no prefix where nothing is frozen before the trained part', () => {
    const graph = vggLike();
    const {
      prefix,
      suffix,
      cut,
      elementsPerImage: elements,
    } = splitFrozenPrefix(graph, named(graph, 'features.0.weight'));
    expect(prefix).toBeUndefined();
    expect(suffix).toBe(graph);
    expect(cut).toBe(graph.inputs[0]);
    expect(elements).toBe(16);
  });

  it('does not keep apart what holds no parameters', () => {
    const b = new GraphBuilder();
    const x = b.op('Flatten', [b.input('input', 'float32', ['N', 2, 3])], { axis: 1 });
    b.output(b.op('Gemm', [x, b.initializer('fc.weight', some([3, 6]))], { transB: 1 }));
    const graph = b.build('mlp');
    expect(splitFrozenPrefix(graph, named(graph, 'fc.weight')).prefix).toBeUndefined();
  });

  it.each(['classifier.2.weight', 'classifier.0.weight', 'features.0.weight'])(
    'gives the same outputs in two parts, trained from %s on',
    async (name) => {
      const graph = vggLike();
      const { whole, parts } = await bothWays(graph, named(graph, name), some([3, 1, 4, 4]));
      expect(parts).toEqual(whole);
    },
  );

  it('does so on ONNX Runtime, to its rounding', async () => {
    const graph = vggLike();
    const { prefix, suffix } = splitFrozenPrefix(graph, named(graph, 'classifier.0.weight'));
    if (!prefix) throw new Error('no prefix');
    const engine = nodeEngine({ threads: 1 });
    const input = some([2, 1, 4, 4]);
    const features = await runOnce(engine, prefix, { input });
    const { output } = await runOnce(engine, suffix, features);
    const whole = await runOnce(engine, graph, { input });
    [...(output?.data ?? [])].forEach((value, i) => {
      expect(Number(value)).toBeCloseTo(Number(whole.output?.data[i]), 5);
    });
  });

  /** input → a → b, with `a` read again after `b`, and a trained layer at the end: only `a` and the sum are single. */
  function residual(): Graph {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 4]);
    const a = b.op('Gemm', [x, b.initializer('a', some([4, 3]))], {}, { name: 'a' });
    const wide = b.op('Gemm', [a, b.initializer('wide', some([3, 2]))], {}, { name: 'wide' });
    const back = b.op('Gemm', [wide, b.initializer('back', some([2, 3]))], {}, { name: 'back' });
    const sum = b.op('Add', [a, back], {}, { name: 'sum' });
    // Nobody needs this: it must not hold the cut back.
    b.op('Exp', [wide], {}, { name: 'dead' });
    b.output(b.op('Gemm', [sum, b.initializer('fc', some([3, 2]))], {}, { name: 'fc', outputName: 'output' }));
    return b.build('residual');
  }

  it('never cuts inside of a residual block', async () => {
    const graph = residual();
    const trained = named(graph, 'fc');
    expect(splitFrozenPrefix(graph, trained).cut.name).toBe('sum:0');
    const { whole, parts } = await bothWays(graph, trained, some([2, 4]));
    expect(parts).toEqual(whole);
  });

  it('goes back to where all ways meet when a frozen branch runs beside the trained one', async () => {
    const graph = residual();
    const trained = named(graph, 'back');
    expect(splitFrozenPrefix(graph, trained).cut.name).toBe('a:0');
    const { whole, parts } = await bothWays(graph, trained, some([2, 4]));
    expect(parts).toEqual(whole);
  });

  it('does not cut where the batch is merged with other axes', () => {
    const b = new GraphBuilder();
    const x = b.op(
      'Gemm',
      [b.input('input', 'float32', ['N', 4]), b.initializer('a', some([4, 6]))],
      {},
      { name: 'a' },
    );
    const merged = b.op('Reshape', [x, b.ints([-1, 2])], {}, { name: 'merged' });
    const product = b.op('MatMul', [merged, b.initializer('fc', some([2, 1]))], {}, { name: 'fc' });
    b.output(b.op('Reshape', [product, b.ints([-1, 3])], {}, { name: 'out' }));
    const graph = b.build('merged');
    expect(splitFrozenPrefix(graph, named(graph, 'fc')).cut.name).toBe('a:0');
  });

  it('refuses a training of nothing, and models with several inputs', () => {
    const graph = vggLike();
    expect(() => splitFrozenPrefix(graph, new Set())).toThrow(/No parameter is trained/);
    const b = new GraphBuilder();
    const w = b.initializer('w', some([2, 2]));
    const sum = b.op('Add', [b.input('left', 'float32', ['N', 2]), b.input('right', 'float32', ['N', 2])]);
    b.output(b.op('Gemm', [sum, w]));
    expect(() => splitFrozenPrefix(b.build('two'), new Set([w]))).toThrow(/one input.*"left", "right"/);
  });

  it('refuses an input of open size', () => {
    const b = new GraphBuilder();
    const w = b.initializer('w', some([2, 1, 1, 1]));
    const x = b.op('Conv', [b.input('input', 'float32', ['N', 1, 'H', 'W']), w], { kernel_shape: [1, 1] });
    b.output(x);
    expect(() => splitFrozenPrefix(b.build('open'), new Set([w]))).toThrow(/"input" are not fixed.*`inputSize`/);
  });

  it('computes the same in two parts for any chain with skips', async () => {
    const layers = fc.array(fc.record({ width: fc.integer({ min: 1, max: 4 }), skip: fc.nat(3) }), {
      minLength: 2,
      maxLength: 7,
    });
    await fc.assert(
      fc.asyncProperty(layers, fc.nat(6), async (chain, trainedAt) => {
        const b = new GraphBuilder();
        const values = [b.input('input', 'float32', ['N', 3])];
        const widths = [3];
        for (const [i, { width, skip }] of chain.entries()) {
          const last = values.at(-1);
          let x = b.op('Gemm', [last, b.initializer(`w${i}`, some([widths.at(-1) ?? 1, width]))]);
          const other = values[Math.max(0, values.length - 1 - skip)];
          const otherWidth = widths[Math.max(0, values.length - 1 - skip)] ?? 1;
          if (skip > 0) x = b.op('Add', [x, b.op('Gemm', [other, b.initializer(`s${i}`, some([otherWidth, width]))])]);
          values.push(b.op('Tanh', [x]));
          widths.push(width);
        }
        const output = values.at(-1);
        if (output) b.output(output);
        const graph = b.build('chain');
        const trained = named(graph, `w${trainedAt % chain.length}`);
        const { cut, elementsPerImage: elements } = splitFrozenPrefix(graph, trained);
        expect(cut.type?.dims).toEqual(['N', elements]);
        const { whole, parts } = await bothWays(graph, trained, some([2, 3]));
        expect(parts).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });
});
