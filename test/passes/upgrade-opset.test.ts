import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { type Attribute, type Dim, type Graph, type Model, type Node, Value } from '../../src/graph/model.js';
import { outputKind } from '../../src/graph/output-kind.js';
import { parametersOf } from '../../src/graph/parameters.js';
import { upgradeOpset } from '../../src/passes/upgrade-opset.js';
import { seeded } from '../../src/tensor/random.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';

/** Two engines order float32 sums differently. */
const ROUNDING = 1e-6;

interface Old {
  readonly opset: number;
  readonly op: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly x?: readonly Dim[];
  /** Further inputs, as initializers. */
  readonly extra?: readonly Tensor[];
}

const ints = (...value: number[]): Attribute => ({ type: 'ints', value });
const int = (value: number): Attribute => ({ type: 'int', value });
const float = (value: number): Attribute => ({ type: 'float', value });

/** A file of one node between `x` and `y`, as a tool of that time would have written it. */
function oldFile({ opset, op, attributes = {}, x = [2, 3, 4], extra = [] }: Old): Uint8Array {
  const input = new Value('x', { dtype: 'float32', dims: x });
  const output = new Value('y', undefined);
  const more = extra.map(
    (tensor, i) => [new Value(`p${i}`, { dtype: tensor.dtype, dims: tensor.dims }), tensor] as const,
  );
  const node: Node = {
    op,
    domain: '',
    name: 'old',
    inputs: [input, ...more.map(([value]) => value)],
    outputs: [output],
    attributes,
  };
  const model: Model = {
    graph: { name: 'old', inputs: [input], outputs: [output], nodes: [node], initializers: new Map(more) },
    opset,
    domains: {},
    metadata: {},
  };
  return writeOnnx(model);
}

/** What ONNX Runtime makes of the file itself, and what both engines make of the upgraded graph. */
async function compare(old: Old, dims: readonly number[]) {
  const bytes = oldFile(old);
  const random = seeded(7);
  const x = float32(
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.uniform(-2, 2)),
    dims,
  );
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const { y: expected } = await session.run({ x: new OrtTensor('float32', x.data, [...dims]) });
  await session.release();
  const graph = upgradeOpset(readOnnx(bytes, 'old.onnx'), 'old.onnx');
  expect(graph.outputs.map(({ name }) => name)).toEqual(['y']);
  for (const engine of [nodeEngine({ threads: 1 }), referenceEngine()]) {
    const y = expectFloat32((await runOnce(engine, graph, { x })).y, 'y');
    expect(y.dims).toEqual(expected?.dims);
    const difference = y.data.map((value, i) => Math.abs(value - Number(expected?.data[i])));
    expect(Math.max(...difference), engine.name).toBeLessThan(ROUNDING);
  }
  return graph;
}

const positive = float32([0.5, 1, 2]);
const cases: Readonly<Record<string, Old>> = {
  'Clip of 7: both bounds': { opset: 7, op: 'Clip', attributes: { min: float(-0.5), max: float(1) } },
  'Clip of 9: one bound': { opset: 9, op: 'Clip', attributes: { min: float(0) } },
  'Clip of 7: no bound': { opset: 7, op: 'Clip' },
  'Dropout of 7': { opset: 7, op: 'Dropout', attributes: { ratio: float(0.3) } },
  'Dropout of 11, default ratio': { opset: 11, op: 'Dropout' },
  'Slice of 9': { opset: 9, op: 'Slice', attributes: { starts: ints(1, -3), ends: ints(2, 4), axes: ints(0, 2) } },
  'Slice of 7, to the end': { opset: 7, op: 'Slice', attributes: { starts: ints(0, 1), ends: ints(2 ** 63, 2 ** 63) } },
  'ReduceMean of 7': { opset: 7, op: 'ReduceMean', attributes: { axes: ints(1, 2) } },
  'ReduceMean of 17, axes dropped': { opset: 17, op: 'ReduceMean', attributes: { axes: ints(-1), keepdims: int(0) } },
  'ReduceMean of 12, all axes': { opset: 12, op: 'ReduceMean', attributes: { keepdims: int(0) } },
  'ReduceSum of 12': { opset: 12, op: 'ReduceSum', attributes: { axes: ints(0), keepdims: int(0) } },
  'ReduceMax of 11': { opset: 11, op: 'ReduceMax', attributes: { axes: ints(2) } },
  'ReduceMin of 17': { opset: 17, op: 'ReduceMin', attributes: { axes: ints(1) } },
  'Softmax of 11: the last axis': { opset: 11, op: 'Softmax', attributes: { axis: int(2) } },
  'Softmax of 12: default axis over all that follows': { opset: 12, op: 'Softmax' },
  'Softmax of 9: axis 0': { opset: 9, op: 'Softmax', attributes: { axis: int(0) } },
  'LogSoftmax of 11: negative axis': { opset: 11, op: 'LogSoftmax', attributes: { axis: int(-2) } },
  'Softmax of 13: one axis': { opset: 13, op: 'Softmax', attributes: { axis: int(1) } },
  'Softmax of 13: default axis': { opset: 13, op: 'Softmax' },
  'Squeeze of 11': { opset: 11, op: 'Squeeze', attributes: { axes: ints(1) }, x: [2, 1, 4] },
  'Unsqueeze of 11': { opset: 11, op: 'Unsqueeze', attributes: { axes: ints(0, 3) } },
  'Pad of 10': { opset: 10, op: 'Pad', attributes: { pads: ints(0, 1, 0, 0, 0, 2), value: float(1.5) } },
  'Pad of 7, reflecting': {
    opset: 7,
    op: 'Pad',
    attributes: { pads: ints(0, 0, 1, 0, 0, 1), mode: { type: 'string', value: 'reflect' } },
  },
  'BatchNormalization of 7': {
    opset: 7,
    op: 'BatchNormalization',
    attributes: { spatial: int(1), epsilon: float(1e-3) },
    extra: [positive, float32([0, 1, -1]), float32([0.1, 0.2, 0.3]), positive],
  },
};

describe('upgradeOpset', () => {
  it.each(Object.keys(cases))('computes what the old file computes: %s', async (name) => {
    const old = cases[name];
    if (old) await compare(old, (old.x ?? [2, 3, 4]).map(Number));
  });

  it('keeps an open batch through the flattening of an old Softmax', async () => {
    const graph = await compare({ opset: 11, op: 'Softmax', x: ['N', 3, 4] }, [2, 3, 4]);
    expect(graph.outputs[0]?.type?.dims).toEqual(['N', 3, 4]);
    expect(outputKind(graph)).toBe('probabilities');
  });

  it('refuses an old Softmax over two open dimensions', () => {
    const old = oldFile({ opset: 11, op: 'Softmax', x: ['N', 3, 'W'] });
    expect(() => upgradeOpset(readOnnx(old, 'f'), 'f')).toThrow(/"old" \(Softmax\).*\[N, 3, W\]/);
  });

  it('makes initializers of Constant nodes, which are no parameters', async () => {
    const x = new Value('x', { dtype: 'float32', dims: [2] });
    const attributes: Readonly<Record<string, Attribute>> = {
      value: { type: 'tensor', value: float32([1, 2]) },
      value_floats: { type: 'floats', value: [0.5, 0.25] },
      value_float: float(4),
      value_int: int(1),
      value_ints: ints(0, -5, 2 ** 63),
    };
    const constants = Object.entries(attributes).map(([name, attribute]): Node => {
      const output = new Value(name, undefined);
      return { op: 'Constant', domain: '', name, inputs: [], outputs: [output], attributes: { [name]: attribute } };
    });
    const outputs = constants.flatMap(({ outputs: [output] }) => output ?? []);
    const [mean] = outputs;
    const y = new Value('y', undefined);
    const sub: Node = { op: 'Sub', domain: '', name: 'sub', inputs: [x, mean], outputs: [y], attributes: {} };
    const old: Graph = {
      name: 'constants',
      inputs: [x],
      outputs: [y, ...outputs],
      nodes: [...constants, sub],
      initializers: new Map(),
    };
    const graph = upgradeOpset({ graph: old, opset: 13, domains: {}, metadata: {} }, 'constants.onnx');
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Sub']);
    expect(parametersOf(graph)).toEqual([]);
    const held = Array.from(graph.initializers, ([{ name }, { dtype, dims, data }]) => [name, dtype, dims, [...data]]);
    expect(held).toEqual([
      ['constant/value', 'float32', [2], [1, 2]],
      ['constant/value_floats', 'float32', [2], [0.5, 0.25]],
      ['constant/value_float', 'float32', [], [4]],
      ['constant/value_int', 'int64', [], [1n]],
      // The largest integer that both a number and an int64 hold stands for "to the end".
      ['constant/value_ints', 'int64', [3], [0n, -5n, 2n ** 53n - 1n]],
    ]);
    expect((await runOnce(referenceEngine(), graph, { x: float32([5, 5]) })).y?.data).toEqual(Float32Array.of(4, 3));
  });

  it('names a constant that no tensor holds', () => {
    const y = new Value('y', undefined);
    const attributes: Node['attributes'] = { value_string: { type: 'string', value: 'text' } };
    const node: Node = { op: 'Constant', domain: '', name: 'text', inputs: [], outputs: [y], attributes };
    const graph: Graph = { name: 'text', inputs: [], outputs: [y], nodes: [node], initializers: new Map() };
    expect(() => upgradeOpset({ graph, opset: 13, domains: {}, metadata: {} }, 'f')).toThrow(/"text".*Constant/);
  });

  it.each([6, 24])('refuses operator set %i with what to do', (opset) => {
    expect(() => upgradeOpset(readOnnx(oldFile({ opset, op: 'Relu' }), 'm.onnx'), 'm.onnx')).toThrow(
      `Reading m.onnx: it is written for ONNX operator set ${opset}; 7 to 23 are supported. Export it again with opset 18.`,
    );
  });

  it('refuses statistics per activation', () => {
    const extra = [positive, positive, positive, positive];
    const old = oldFile({ opset: 7, op: 'BatchNormalization', attributes: { spatial: int(0) }, extra });
    expect(() => upgradeOpset(readOnnx(old, 'f'), 'f')).toThrow(/"old" \(BatchNormalization\).*spatial = 0/);
  });

  it.each(['constructor', 'toString', 'MaxRoiPool'])('names the operator %s, which is not supported', (op) => {
    expect(() => upgradeOpset(readOnnx(oldFile({ opset: 9, op }), 'f'), 'f')).toThrow(
      new RegExp(`Node "old" uses operator ${op}, which is not supported`),
    );
  });
});
