import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { type Attribute, type Dim, type Model, type Node, Value } from '../../src/graph/model.js';
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

  it('makes an initializer of a Constant node, which is no parameter', async () => {
    const x = new Value('x', { dtype: 'float32', dims: [2] });
    const mean = new Value('mean', undefined);
    const y = new Value('y', undefined);
    const node = (op: string, inputs: Value[], output: Value, attributes: Node['attributes'] = {}): Node => {
      return { op, domain: '', name: op, inputs, outputs: [output], attributes };
    };
    const constant = node('Constant', [], mean, { value: { type: 'tensor', value: float32([1, 2]) } });
    const nodes = [constant, node('Sub', [x, mean], y)];
    const graph = upgradeOpset(
      {
        graph: { name: 'g', inputs: [x], outputs: [y], nodes, initializers: new Map() },
        opset: 13,
        domains: {},
        metadata: {},
      },
      'g.onnx',
    );
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Sub']);
    expect(parametersOf(graph)).toEqual([]);
    expect((await runOnce(referenceEngine(), graph, { x: float32([5, 5]) })).y?.data).toEqual(Float32Array.of(4, 3));
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

  it.each(['constructor', 'toString', 'Upsample'])('names the operator %s, which is not supported', (op) => {
    expect(() => upgradeOpset(readOnnx(oldFile({ opset: 9, op }), 'f'), 'f')).toThrow(
      new RegExp(`Node "old" uses operator ${op}, which is not supported`),
    );
  });
});
