import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { getElementTypeNumber } from '../../src/graph/element-types.js';
import type { Graph, Node, Value } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { checkFinite } from '../../src/passes/check-weights.js';
import { importGraph } from '../../src/passes/import-graph.js';
import { float32ToBfloat16, float32ToFloat16 } from '../../src/tensor/float16.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.js';

/** The same float32 products, weights rounded to nothing but float32. */
const SAME = 1e-6;

function noise(dims: readonly number[], key: number): Tensor<'float32'> {
  const random = seeded(11, key);
  const size = dims.reduce((product, dim) => product * dim, 1);
  return float32(
    Array.from({ length: size }, () => random.uniform(-1, 1)),
    dims,
  );
}

/** How a file stores a weight that a layer reads as `data`. */
type Store = (b: GraphBuilder, name: string, data: Tensor<'float32'>) => Value;

const plain: Store = (b, name, data) => b.initializer(name, data);
const asDouble = ({ dims, data }: Tensor<'float32'>) => tensor('float64', dims, Float64Array.from(data));
const toFloat = { to: getElementTypeNumber('float32') };

/** A weight whose elements float16 and bfloat16 hold, so that every way of storing gives the same scores. */
const coarse = ({ dims, data }: Tensor<'float32'>) =>
  float32(
    data.map((value) => Math.round(value * 16) / 16),
    dims,
  );

/** `[N, 3, 5, 5]` → Conv → global mean → Gemm, its four parameters stored in one way. */
function classifier(store: Store): Graph {
  const b = new GraphBuilder();
  const x = b.input('x', 'float32', ['N', 3, 5, 5]);
  const weight = (name: string, dims: readonly number[], key: number) => store(b, name, coarse(noise(dims, key)));
  const conv = b.op('Conv', [x, weight('c.weight', [4, 3, 3, 3], 1), weight('c.bias', [4], 2)], {}, { name: 'c' });
  const flat = b.op('Flatten', [b.op('GlobalAveragePool', [b.op('Relu', [conv])])]);
  b.output(b.op('Gemm', [flat, weight('f.weight', [2, 4], 3), weight('f.bias', [2], 4)], { transB: 1 }, { name: 'f' }));
  return b.build('stored');
}

/** The graph with some initializers as Constant nodes. */
function withConstants(graph: Graph, isConstant: (name: string) => boolean = () => true): Graph {
  const chosen = [...graph.initializers].filter(([{ name }]) => isConstant(name));
  const nodes = chosen.map(
    ([value, data]): Node => ({
      op: 'Constant',
      domain: '',
      name: '',
      inputs: [],
      outputs: [value],
      attributes: { value: { type: 'tensor', value: data } },
    }),
  );
  const initializers = new Map([...graph.initializers].filter(([{ name }]) => !isConstant(name)));
  return { ...graph, nodes: [...nodes, ...graph.nodes], initializers };
}

/** As a file of the graph is opened. */
function imported(graph: Graph): Graph {
  const bytes = writeOnnx({ graph, opset: 18, domains: {}, metadata: {} });
  return importGraph(readOnnx(bytes, 'm.onnx'), 'm.onnx').graph;
}

async function scores(graph: Graph, dims: readonly number[] = [2, 3, 5, 5]): Promise<number[]> {
  const found = await runOnce(nodeEngine({ threads: 1 }), graph, { x: noise(dims, 9) });
  return Array.from(found[graph.outputs[0]?.name ?? '']?.data ?? [], Number);
}

const names = (graph: Graph) => listParameters(graph).map(({ name }) => name);
const sizes = (graph: Graph) => listParameters(graph).reduce((sum, { tensor: { data } }) => sum + data.length, 0);

function expectNear(found: readonly number[], expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  for (const [i, value] of expected.entries())
    expect(Math.abs((found[i] ?? Number.NaN) - value)).toBeLessThanOrEqual(SAME);
}

const stores: Record<string, Store> = {
  'float64 behind a Cast': (b, name, data) => b.op('Cast', [b.initializer(name, asDouble(data))], toFloat),
  'float16 behind a Cast': (b, name, { dims, data }) =>
    b.op('Cast', [b.initializer(name, tensor('float16', dims, float32ToFloat16(data)))], toFloat),
  'bfloat16 behind a Cast': (b, name, { dims, data }) =>
    b.op('Cast', [b.initializer(name, tensor('bfloat16', dims, float32ToBfloat16(data)))], toFloat),
  'behind a Reshape': (b, name, { dims, data }) => b.op('Reshape', [b.initializer(name, float32(data)), b.ints(dims)]),
  'behind an Unsqueeze and a Squeeze': (b, name, data) =>
    b.op('Squeeze', [b.op('Unsqueeze', [b.initializer(name, data), b.ints([0])]), b.ints([0])]),
  'behind an Identity': (b, name, data) => b.op('Identity', [b.initializer(name, data)]),
  'behind Transpose and Cast': (b, name, { dims, data }) => {
    // The axes reversed by hand: element (i, j, …) of the weight is element (…, j, i) of what is stored.
    const reversed = new Float64Array(data.length);
    for (let i = 0; i < data.length; i++) {
      let [rest, at, stride] = [i, 0, data.length];
      const places = [...dims].reverse().map((dim) => {
        const place = rest % dim;
        rest = Math.floor(rest / dim);
        return { place, dim };
      });
      for (const { place, dim } of places) {
        stride /= dim;
        at += place * stride;
      }
      reversed[at] = data[i] as number;
    }
    const stored = b.initializer(name, tensor('float64', [...dims].reverse(), reversed));
    return b.op('Cast', [b.op('Transpose', [stored], { perm: dims.map((_, i) => dims.length - 1 - i) })], toFloat);
  },
};

const NAMES = ['c.weight', 'c.bias', 'f.weight', 'f.bias'];
const COUNT = 4 * 27 + 4 + 8 + 2;

describe('weights are parameters under their own names wherever a file stores them', () => {
  it.each(Object.entries(stores))('%s', async (_, store) => {
    const expected = await scores(imported(classifier(plain)));
    for (const graph of [classifier(store), withConstants(classifier(store))]) {
      const opened = imported(graph);
      expect(names(opened).sort()).toEqual([...NAMES].sort());
      expect(sizes(opened)).toBe(COUNT);
      expect(opened.nodes.map(({ op }) => op)).toEqual(['Conv', 'Relu', 'GlobalAveragePool', 'Flatten', 'Gemm']);
      expectNear(await scores(opened), expected);
    }
  });

  it('as Constant nodes', async () => {
    const opened = imported(withConstants(classifier(plain)));
    expect(names(opened).sort()).toEqual([...NAMES].sort());
    expectNear(await scores(opened), await scores(imported(classifier(plain))));
  });

  it('in a network of float64, each rounded to float32', async () => {
    const b = new GraphBuilder();
    const x = b.op('Cast', [b.input('x', 'float32', ['N', 4])], { to: getElementTypeNumber('float64') });
    const weight = b.initializer('f.weight', asDouble(noise([4, 2], 1)));
    const product = b.op('Gemm', [x, weight, b.initializer('f.bias', asDouble(noise([2], 2)))]);
    b.output(b.op('Cast', [product], toFloat));
    const opened = imported(b.build('double'));
    expect(listParameters(opened).map(({ name, tensor: { dtype } }) => [name, dtype])).toEqual([
      ['f.weight', 'float32'],
      ['f.bias', 'float32'],
    ]);
    const [first] = listParameters(opened);
    expect(first?.tensor).toEqual(noise([4, 2], 1));
  });

  it('once where one layer reads a weight as it is and another transposed', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 4]);
    const weight = b.initializer('tied', noise([4, 3], 1));
    const hidden = b.op('MatMul', [x, weight]);
    b.output(b.op('MatMul', [hidden, b.op('Transpose', [weight], { perm: [1, 0] })]));
    const graph = b.build('tied');
    const opened = imported(graph);
    expect(names(opened)).toEqual(['tied']);
    expect(opened.nodes.map(({ op }) => op).sort()).toEqual(['MatMul', 'MatMul', 'Transpose']);
    expectNear(await scores(opened, [2, 4]), await scores(graph, [2, 4]));
  });

  it('once where two layers read the same Transpose of it', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3]);
    const weight = b.initializer('shared', noise([3, 3], 1));
    const turned = () => b.op('Transpose', [weight], { perm: [1, 0] });
    b.output(b.op('MatMul', [b.op('MatMul', [x, turned()]), turned()]));
    const opened = imported(b.build('shared'));
    expect(names(opened)).toEqual(['shared']);
    expect(opened.nodes.map(({ op }) => op)).toEqual(['MatMul', 'MatMul']);
  });
});

describe('what is no weight is no parameter', () => {
  it('scales of a Resize, bounds, and constants before the first layer', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3, 4, 4]);
    const mean = b.initializer('mean', noise([1, 3, 1, 1], 1));
    const larger = b.op('Resize', [b.op('Sub', [x, mean]), undefined, b.initializer('scales', float32([1, 1, 2, 2]))]);
    b.output(b.op('Conv', [larger, b.initializer('w', noise([2, 3, 1, 1], 2))]));
    const opened = imported(withConstants(b.build('resize'), (name) => name === 'mean'));
    expect(names(opened)).toEqual(['w']);
  });
});

describe('one quantised tensor', () => {
  it.each([
    ['two scales', [float32([0.5], []), float32([0.05], [])], 0],
    ['one scale for all and one for each channel', [float32([0.5], []), float32([0.1, 0.2, 0.3])], 0],
  ] as const)('under %s is two weights', async (_, [first, second], axis) => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 3]);
    const q = b.initializer('w_quantized', tensor('int8', [3, 3], Int8Array.of(1, -2, 3, -4, 5, -6, 7, -8, 9)));
    const weight = (scale: Tensor, name: string) =>
      b.op('DequantizeLinear', [q, b.initializer(`${name}_scale`, scale)], { axis }, { outputName: name });
    b.output(b.op('MatMul', [b.op('MatMul', [x, weight(first, 'w1')]), weight(second, 'w2')]));
    const graph = b.build('shared');
    const opened = imported(graph);
    expect(names(opened).sort()).toEqual(['w', 'w2']);
    expectNear(await scores(opened, [2, 3]), await scores(graph, [2, 3]));
  });
});

describe('outputs of a graph that nothing computes', () => {
  it('a Constant node, an initializer and an input stay outputs of their names', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [1, 2]);
    const constant = b.initializer('made', float32([3, 4]));
    const stored = b.initializer('stored', float32([5, 6]));
    b.output(b.op('Relu', [x], {}, { outputName: 'y' }));
    for (const value of [constant, stored, x]) b.output(value);
    const opened = imported(withConstants(b.build('outputs'), (name) => name === 'made'));
    expect(opened.outputs.map(({ name }) => name)).toEqual(['y', 'made', 'stored', 'x']);
    const found = await runOnce(nodeEngine({ threads: 1 }), opened, { x: float32([1, -2], [1, 2]) });
    expect(Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, [...data]]))).toEqual({
      y: [1, 0],
      made: [3, 4],
      stored: [5, 6],
      x: [1, -2],
    });
  });
});

describe('faulty weights are named', () => {
  const broken = (change: (data: Float32Array) => void) =>
    classifier((b, name, data) => {
      if (name === 'c.weight') change(data.data);
      return b.initializer(name, data);
    });

  it.each([
    ['NaN', Number.NaN],
    ['infinite numbers', Number.NEGATIVE_INFINITY],
  ])('%s', (what, value) => {
    const graph = imported(broken((data) => data.fill(value, 5, 7)));
    expect(() => checkFinite(graph)).toThrow(`The weight "c.weight" [4, 3, 3, 3] holds ${what}: 2 of its 108 elements`);
  });

  it('an attention mask of -Infinity is none', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2]);
    const product = b.op('MatMul', [x, b.initializer('w', noise([2, 2], 1))]);
    b.output(b.op('Softmax', [b.op('Add', [product, b.initializer('mask', float32([0, Number.NEGATIVE_INFINITY]))])]));
    expect(() => checkFinite(imported(b.build('mask')))).not.toThrow();
  });

  /** Builds one node on `[N, 4, 5, 5]`, or on `[N, 4]`. */
  const node = (build: (b: GraphBuilder, x: Value, flat: Value) => Value) => () => {
    const b = new GraphBuilder();
    build(b, b.input('x', 'float32', ['N', 4, 5, 5]), b.input('flat', 'float32', ['N', 4]));
  };
  const ones = (b: GraphBuilder, name: string, dims: readonly number[]) => b.initializer(name, noise(dims, 1));
  it.each([
    [
      'bias "b" [3] should have one element for each of the 2 output channels, it has 3',
      node((b, x) => b.op('Conv', [x, ones(b, 'w', [2, 4, 1, 1]), ones(b, 'b', [3])])),
    ],
    [
      'weight "w" [2, 3, 1, 1] takes 3 channels (1 × 3), input "x" [N, 4, 5, 5] has 4',
      node((b, x) => b.op('Conv', [x, ones(b, 'w', [2, 3, 1, 1])])),
    ],
    [
      'bias "b" [1] should have one element for each of the 2 output channels, it has 1',
      node((b, x) => b.op('ConvTranspose', [x, ones(b, 'w', [4, 2, 1, 1]), ones(b, 'b', [1])])),
    ],
    [
      'mean "m" [3] should have one element for each of the 4 channels, it has 3',
      node((b, x) =>
        b.op('BatchNormalization', [x, ones(b, 's', [4]), ones(b, 'b', [4]), ones(b, 'm', [3]), ones(b, 'v', [4])]),
      ),
    ],
    [
      'B "w" [3, 2] takes 3 features, A "flat" [N, 4] has 4',
      node((b, _, flat) => b.op('Gemm', [flat, ones(b, 'w', [3, 2])])),
    ],
    [
      'C "c" [3] does not broadcast to the product [N, 2]',
      node((b, _, flat) => b.op('Gemm', [flat, ones(b, 'w', [4, 2]), ones(b, 'c', [3])])),
    ],
    [
      'the right matrix "w" [5, 2] takes 5 features, the left one "flat" [N, 4] has 4',
      node((b, _, flat) => b.op('MatMul', [flat, ones(b, 'w', [5, 2])])),
    ],
    [
      'slope "s" [3, 1, 1] does not broadcast to X [N, 4, 5, 5]',
      node((b, x) => b.op('PRelu', [x, ones(b, 's', [3, 1, 1])])),
    ],
    [
      'scale "s" [3] does not broadcast to the normalised axes [4]',
      node((b, _, flat) => b.op('LayerNormalization', [flat, ones(b, 's', [3])])),
    ],
  ])('%s', (message, build) => {
    expect(build).toThrow(message);
  });
});

describe('what a file says about its model', () => {
  it('is read and written back', () => {
    const about = {
      producerName: 'someone',
      producerVersion: '1.2',
      domain: 'org.example',
      modelVersion: 7,
      docString: 'Ein Modell für Bilder',
      graphDocString: 'the graph',
    };
    const model = { graph: classifier(plain), opset: 18, domains: {}, metadata: { author: 'them' }, about };
    const read = readOnnx(writeOnnx(model), 'm.onnx');
    expect(read.about).toEqual(about);
    expect(read.producer).toBe('someone 1.2');
    expect(read.metadata).toEqual({ author: 'them' });
  });
});
