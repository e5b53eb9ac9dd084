import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { listHeadParameters, withFreshHead } from '../../src/models/fresh-head.js';
import { buildInitialVgg, findVggShape, withCompactHead } from '../../src/models/initial-vgg.js';
import { reinitialize } from '../../src/models/initialize.js';
import { buildStateDict } from '../../src/models/state-dict.js';
import { summarizeGraph } from '../../src/models/summary.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { countElements } from '../../src/tensor/dims.js';
import { expectFloat32, float32, int64, type Tensor, zeros } from '../../src/tensor/tensor.js';
import { SIDE, tinyShape } from '../support/tiny-recipe.js';
import { numbersOf } from './golden.js';

const engine = nodeEngine({ threads: 1 });
const CLASSES = 4;

type Tail = 'gemm' | 'matmul' | 'conv' | 'reshape' | 'norm';

/** A classifier as exporters write it: mean and deviation in the graph, a convolution, norm, and one of several ends. */
function exported(tail: Tail): Graph {
  const b = new GraphBuilder();
  const p = (name: string, dims: readonly number[], value = 0.5) =>
    b.initializer(name, float32(new Float32Array(countElements(dims)).fill(value), dims));
  let x = b.input('input', 'float32', ['N', 3, 8, 8]);
  x = b.op('Div', [b.op('Sub', [x, p('mean', [1, 3, 1, 1])]), p('std', [1, 3, 1, 1])]);
  x = b.op('Mul', [x, p('contrast', [1, 3, 1, 1])]);
  x = b.op(
    'Conv',
    [x, p('conv.weight', [32, 3, 3, 3]), p('conv.bias', [32])],
    { kernel_shape: [3, 3] },
    { name: 'conv' },
  );
  const norm = ['weight', 'bias', 'running_mean', 'running_var'].map((name) => p(`bn.${name}`, [32]));
  x = b.op('Relu', [b.op('BatchNormalization', [x, ...norm], {}, { name: 'bn' })]);
  if (tail === 'conv') {
    x = b.op('Conv', [x, p('head.weight', [CLASSES, 32, 1, 1]), p('head.bias', [CLASSES])], { kernel_shape: [1, 1] });
    b.output(b.op('Flatten', [b.op('GlobalAveragePool', [b.op('Relu', [x])])], { axis: 1 }));
    return b.build('exported');
  }
  x = b.op('Flatten', [b.op('GlobalAveragePool', [x])], { axis: 1 });
  if (tail === 'matmul') {
    x = b.op('MatMul', [x, p('head.weight', [32, CLASSES])], {}, { name: 'head' });
    x = b.op('Add', [p('head.bias', [CLASSES]), x], {}, { name: 'head' });
  } else {
    x = b.op('Gemm', [x, p('head.weight', [CLASSES, 32]), p('head.bias', [CLASSES])], { transB: 1 }, { name: 'head' });
  }
  if (tail === 'reshape') x = b.op('Reshape', [x, b.initializer('constant/shape', int64([-1, CLASSES]))]);
  if (tail === 'norm') {
    x = b.op('BatchNormalization', [x, ...['a', 'b', 'c', 'd'].map((name) => p(`last.${name}`, [CLASSES]))]);
  }
  b.output(b.op('Softmax', [x], { axis: 1 }));
  return b.build('exported');
}

const tensorsOf = (graph: Graph): Map<string, Tensor> =>
  new Map(listParameters(graph).map(({ name, tensor }) => [name, tensor]));
const valuesOf = (graph: Graph, name: string) => Array.from(tensorsOf(graph).get(name)?.data ?? [], Number);
const deviation = (values: readonly number[]) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);

describe('withFreshHead', () => {
  it.each(['gemm', 'matmul', 'conv'] as const)(
    'gives a network that ends in %s as many classes as wished',
    async (tail) => {
      const graph = exported(tail);
      const { graph: fresh, parameters } = withFreshHead(graph, 11, 3);
      expect(parameters).toEqual(['head.weight', 'head.bias']);
      expect(listHeadParameters(graph)).toEqual(parameters);
      const results = await runOnce(engine, fresh, { input: zeros('float32', [2, 3, 8, 8]) });
      expect(results[fresh.outputs[0]?.name ?? '']?.dims).toEqual([2, 11]);
      // Everything else is what it was.
      const [before, after] = [numbersOf(graph), numbersOf(fresh)];
      for (const [name, values] of before)
        if (!parameters.includes(name)) expect(after.get(name), name).toEqual(values);
      // nn.Linear: uniform in ±1/√fan-in, weight and bias.
      const bound = 1 / Math.sqrt(32);
      for (const name of parameters) {
        const values = valuesOf(fresh, name);
        expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
        expect(new Set(values).size).toBeGreaterThan(values.length / 2);
      }
      // 352 numbers: the deviation of a uniform distribution to a tenth.
      expect(Math.abs(deviation(valuesOf(fresh, 'head.weight')) / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.1);
      expect(numbersOf(withFreshHead(graph, 11, 3).graph)).toEqual(after);
      expect(valuesOf(withFreshHead(graph, 11, 4).graph, 'head.weight')).not.toEqual(valuesOf(fresh, 'head.weight'));
    },
  );

  it.each([
    ['reshape', /relies on 4/],
    ['norm', /with parameters comes after it/],
  ] as const)('refuses a network whose end relies on the old classes: %s', (tail, message) => {
    expect(() => withFreshHead(exported(tail), 11, 3)).toThrow(message);
  });

  it('refuses a weight that is used twice', () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 4]);
    const w = b.initializer('w', zeros('float32', [4, 4]));
    b.output(b.op('MatMul', [b.op('MatMul', [x, w]), w]));
    expect(() => withFreshHead(b.build('tied'), 3, 1)).toThrow(/"w" is used by several nodes/);
  });
});

describe('reinitialize', () => {
  it('draws every parameter anew by the operator that reads it, and leaves the preprocessing alone', () => {
    const graph = exported('matmul');
    const { graph: fresh, kept } = reinitialize(graph, 3);
    expect(kept).toEqual(['mean', 'std', 'contrast']);
    expect(valuesOf(fresh, 'contrast')).toEqual([0.5, 0.5, 0.5]);
    // He: variance 2 / fan-out, fan-out 32 · 9; of 864 numbers the deviation to a tenth.
    const expected = Math.sqrt(2 / (32 * 9));
    expect(Math.abs(deviation(valuesOf(fresh, 'conv.weight')) / expected - 1)).toBeLessThan(0.1);
    expect(new Set(valuesOf(fresh, 'conv.bias'))).toEqual(new Set([0]));
    for (const [name, value] of [
      ['weight', 1],
      ['bias', 0],
      ['running_mean', 0],
      ['running_var', 1],
    ] as const) {
      expect(new Set(valuesOf(fresh, `bn.${name}`))).toEqual(new Set([value]));
    }
    const bound = 1 / Math.sqrt(32);
    expect(Math.max(...valuesOf(fresh, 'head.weight').map(Math.abs))).toBeLessThanOrEqual(bound);
    expect(new Set(valuesOf(fresh, 'head.bias')).size).toBe(CLASSES);
    expect(numbersOf(reinitialize(graph, 3).graph)).toEqual(numbersOf(fresh));
    expect(valuesOf(reinitialize(graph, 4).graph, 'conv.weight')).not.toEqual(valuesOf(fresh, 'conv.weight'));
  });
});

describe('VGG', () => {
  it('is made by name as torchvision counts it', () => {
    // Its own classifier has 120 million numbers: one hidden unit in place of 4,096 is the same arithmetic.
    const graph = buildInitialVgg({ ...findVggShape('vgg11_bn', 10, 32), classifier: [1] }, 1);
    // sum(p.numel() for p in torchvision.models.vgg11_bn().features.parameters())
    const features = 9_225_984;
    expect(summarizeGraph(graph, { inputDims: [1, 3, 32, 32] }).parameters).toBe(features + 25088 + 1 + 10 + 10);
    expect(findVggShape('vgg16', 1000)).toMatchObject({ classifier: [4096, 4096], inputSize: 224, pooled: 7 });
    expect(() => findVggShape('vgg61', 10)).toThrow(/No network is called "vgg61"\. Did you mean "vgg/);
    expect(() => findVggShape('vgg16', 10, 16)).toThrow(/at least 32×32/);
  });

  it("takes the study's classifier", async () => {
    const graph = buildInitialVgg(tinyShape, 1);
    const fresh = withCompactHead(buildStateDict(graph), 7, 3, [SIDE, SIDE]);
    const dims = [...tensorsOf(fresh)]
      .filter(([name]) => name.startsWith('net.classifier.'))
      .map(([, { dims: d }]) => d);
    expect(dims.filter(({ length }) => length === 2)).toEqual([
      [512, 4 * 49],
      [512, 512],
      [7, 512],
    ]);
    const hidden = ['Gemm', 'Relu', 'BatchNormalization', 'Dropout'];
    expect(fresh.nodes.slice(-10).map(({ op }) => op)).toEqual([...hidden, ...hidden, 'Gemm', 'LogSoftmax']);
    const before = numbersOf(graph);
    for (const [name, values] of numbersOf(fresh)) {
      if (name.startsWith('net.features.')) expect(before.get(name), name).toEqual(values);
    }
    const { output } = await runOnce(engine, fresh, { input: zeros('float32', [1, 3, SIDE, SIDE]) });
    expect(expectFloat32(output, 'output').dims).toEqual([1, 7]);
  });
});
