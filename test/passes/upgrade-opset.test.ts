import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { type Attribute, type Dim, type Graph, type Model, type Node, Value } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { findScores } from '../../src/ops/scores/scores.js';
import { seeded } from '../../src/tensor/random.js';
import { expectFloat32, float32, int64, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';
import { upgraded } from '../support/upgraded.js';

/** Two engines order float32 sums differently. */
const ROUNDING = 1e-6;

interface Old {
  readonly opset: number;
  readonly op: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly x?: readonly Dim[];
  /** Further inputs, as initializers. */
  readonly extra?: readonly Tensor[];
  /** How many outputs the node has; the first is compared. Default: 1. */
  readonly outputs?: number;
}

const ints = (...value: number[]): Attribute => ({ type: 'ints', value });
const int = (value: number): Attribute => ({ type: 'int', value });
const float = (value: number): Attribute => ({ type: 'float', value });

/** A file of one node between `x` and `y`, as a tool of that time would have written it. */
function oldFile({ opset, op, attributes = {}, x = [2, 3, 4], extra = [], outputs = 1 }: Old): Uint8Array {
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
    outputs: [output, ...Array.from({ length: outputs - 1 }, (_, i) => new Value(`y${i + 1}`, undefined))],
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
  const { y } = await session.run({ x: new OrtTensor('float32', x.data, [...dims]) });
  await session.release();
  if (!(y?.data instanceof Float32Array)) throw new Error('y is not float32');
  const expected = { data: y.data, dims: y.dims };
  const graph = upgraded(readOnnx(bytes, 'old.onnx'), 'old.onnx');
  expect(graph.outputs.map(({ name }) => name)).toEqual(['y']);
  for (const engine of [nodeEngine({ threads: 1 }), referenceEngine()]) {
    const y = expectFloat32((await runOnce(engine, graph, { x })).y, 'y');
    expect(y.dims).toEqual(expected.dims);
    expect(findLargestDifference(y.data, expected.data), engine.name).toBeLessThan(ROUNDING);
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

const image = [1, 2, 4, 6];
const text = (value: string): Attribute => ({ type: 'string', value });
const scales = float32([1, 1, 2, 1.5]);
const window = { kernel_shape: ints(3, 2), strides: ints(2, 1), pads: ints(1, 0, 1, 1) };
/** An empty tensor, as files of set 11 leave an input out. */
const none = float32([], [0]);

const resampling: Readonly<Record<string, Old>> = {
  'Upsample of 7': {
    opset: 7,
    op: 'Upsample',
    attributes: { scales: { type: 'floats', value: [1, 1, 2, 2] } },
    x: image,
  },
  'Upsample of 9, linear': {
    opset: 9,
    op: 'Upsample',
    attributes: { mode: text('linear') },
    x: image,
    extra: [scales],
  },
  'Resize of 10, growing': { opset: 10, op: 'Resize', x: image, extra: [scales] },
  'Resize of 10, shrinking': { opset: 10, op: 'Resize', x: image, extra: [float32([1, 1, 0.5, 0.6])] },
  'Resize of 10, linear': { opset: 10, op: 'Resize', attributes: { mode: text('linear') }, x: image, extra: [scales] },
  'Resize of 11, empty inputs': { opset: 11, op: 'Resize', x: image, extra: [none, none, int64([1, 2, 6, 5])] },
  'Resize of 11, as TensorFlow': {
    opset: 11,
    op: 'Resize',
    attributes: { coordinate_transformation_mode: text('tf_half_pixel_for_nn'), nearest_mode: text('floor') },
    x: image,
    extra: [none, none, int64([1, 2, 3, 5])],
  },
  'Resize of 13, cubic': {
    opset: 13,
    op: 'Resize',
    attributes: { mode: text('cubic'), coordinate_transformation_mode: text('pytorch_half_pixel') },
    x: image,
    extra: [none, scales],
  },
  'Split of 11: an attribute': { opset: 11, op: 'Split', attributes: { axis: int(1), split: ints(1, 2) }, outputs: 2 },
  'Split of 13: as many as outputs': { opset: 13, op: 'Split', attributes: { axis: int(2) }, outputs: 2 },
  'TopK of 9': { opset: 9, op: 'TopK', attributes: { k: int(2), axis: int(2) }, outputs: 2 },
  'AveragePool of 19, dilated': {
    opset: 19,
    op: 'AveragePool',
    attributes: { ...window, dilations: ints(1, 2) },
    x: image,
  },
  'AveragePool of 19, dilated, padding counted, ceil mode': {
    opset: 19,
    op: 'AveragePool',
    attributes: { ...window, dilations: ints(2, 1), count_include_pad: int(1), ceil_mode: int(1) },
    x: [1, 2, 7, 6],
  },
  'AveragePool of 19, dilated, ceil mode, a last window in the padding alone': {
    opset: 19,
    op: 'AveragePool',
    attributes: {
      kernel_shape: ints(2, 2),
      strides: ints(3, 3),
      pads: ints(1, 1, 1, 1),
      dilations: ints(2, 2),
      ceil_mode: int(1),
    },
    x: [1, 2, 5, 5],
  },
  'AveragePool of 19, dilations of 1': {
    opset: 19,
    op: 'AveragePool',
    attributes: { ...window, dilations: ints(1, 1) },
    x: image,
  },
  'LpPool of 11': { opset: 11, op: 'LpPool', attributes: { ...window, p: int(3) }, x: image },
  'GlobalLpPool of 7': { opset: 7, op: 'GlobalLpPool', x: image },
  'GlobalLpPool of 7, p = 3': { opset: 7, op: 'GlobalLpPool', attributes: { p: int(3) }, x: image },
  'Pad of 19: around': {
    opset: 19,
    op: 'Pad',
    attributes: { mode: text('wrap') },
    x: image,
    extra: [int64([0, 0, 1, 2, 0, 0, 0, 3])],
  },
  'Hardmax of 11': { opset: 11, op: 'Hardmax', attributes: { axis: int(1) } },
  'ReduceL2 of 13': { opset: 13, op: 'ReduceL2', attributes: { axes: ints(1) } },
  'Cast of 19': { opset: 19, op: 'Cast', attributes: { to: int(1), saturate: int(1) } },
  'CastLike of 15': { opset: 15, op: 'CastLike', extra: [float32([1])] },
  'Gelu of 20': { opset: 20, op: 'Gelu' },
};

describe('upgradeOpset', () => {
  const all = { ...cases, ...resampling };
  it.each(Object.keys(all))('computes what the old file computes: %s', async (name) => {
    const old = all[name];
    if (old) await compare(old, (old.x ?? [2, 3, 4]).map(Number));
  });

  it('keeps an open batch through the flattening of an old Softmax', async () => {
    const graph = await compare({ opset: 11, op: 'Softmax', x: ['N', 3, 1] }, [2, 3, 1]);
    expect(graph.outputs[0]?.type?.dims).toEqual(['N', 3, 1]);
    expect(findScores(graph).kind).toBe('probabilities');
  });

  it('refuses an old Softmax over two open dimensions', () => {
    const old = oldFile({ opset: 11, op: 'Softmax', x: ['N', 3, 'W'] });
    expect(() => upgraded(readOnnx(old, 'f'), 'f')).toThrow(/"old" \(Softmax\).*\[N, 3, W\]/);
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
    const graph = upgraded({ graph: old, opset: 13, domains: {}, metadata: {} }, 'constants.onnx');
    // Those that are outputs of the graph keep their names.
    expect(graph.nodes.map(({ op }) => op)).toEqual([...constants.map(() => 'Identity'), 'Sub']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['y', ...Object.keys(attributes)]);
    expect(listParameters(graph)).toEqual([]);
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
    expect(() => upgraded({ graph, opset: 13, domains: {}, metadata: {} }, 'f')).toThrow(/"text".*Constant/);
  });

  it('refuses a newer operator set with what to do', () => {
    expect(() => upgraded(readOnnx(oldFile({ opset: 28, op: 'Relu' }), 'm.onnx'), 'm.onnx')).toThrow(
      `Reading m.onnx: it is written for ONNX operator set 28; 1 to 27 are supported. Export it again with opset 18.`,
    );
  });

  it.each<[string, RegExp]>([
    ['Loop', /"old" uses operator Loop, which is not supported: loops and sequences.*traced/],
    ['QLinearConv', /"old" uses operator QLinearConv, .*QDQ/],
    ['RandomNormalLike', /draws random numbers/],
  ])('says of %s what to do', (op, expected) => {
    expect(() => upgraded(readOnnx(oldFile({ opset: 18, op }), 'f'), 'f')).toThrow(expected);
  });

  it('says of another tool’s operators what to do', () => {
    const model = readOnnx(oldFile({ opset: 18, op: 'Relu' }), 'f');
    const nodes = model.graph.nodes.map((node) => ({ ...node, op: 'FusedConv', domain: 'com.microsoft' }));
    expect(() => upgraded({ ...model, graph: { ...model.graph, nodes } }, 'f')).toThrow(
      /com\.microsoft\.FusedConv, which is not supported: .*before optimisation/,
    );
  });

  describe('If', () => {
    /** y = if x.shape[axis] == 1 then squeeze(x, axis) else scale * x, the scale from outside of the branch. */
    function squeezed(dims: readonly Dim[], axis: number): Graph {
      const b = new GraphBuilder();
      const x = b.input('x', 'float32', dims);
      const size = b.op('Gather', [b.op('Shape', [x]), b.initializer('axis', int64([axis], []))]);
      const condition = b.op('Equal', [size, b.scalar(1, 'int64')]);
      const scale = b.initializer('scale', float32([3]));
      const outer = b.build('outer');
      const node = (op: string, inputs: readonly Value[]): Graph => {
        const output = new Value(`${op}/y`, undefined);
        const inner: Node = { op, domain: '', name: op, inputs, outputs: [output], attributes: {} };
        return { name: op, inputs: [], outputs: [output], nodes: [inner], initializers: new Map() };
      };
      const axes = new Value('axes', { dtype: 'int64', dims: [1] });
      const yes = { ...node('Squeeze', [x, axes]), initializers: new Map([[axes, int64([axis])]]) };
      const choice: Node = {
        op: 'If',
        domain: '',
        name: 'choice',
        inputs: [condition],
        outputs: [new Value('y', undefined)],
        attributes: {
          then_branch: { type: 'graph', value: yes },
          else_branch: { type: 'graph', value: node('Mul', [x, scale]) },
        },
      };
      const initializers = new Map([...outer.initializers, [scale, float32([3])]] as const);
      return {
        ...outer,
        nodes: [...outer.nodes, choice],
        outputs: choice.outputs.flatMap((y) => y ?? []),
        initializers,
      };
    }
    const upgrade = (graph: Graph) => upgraded({ graph, opset: 13, domains: {}, metadata: {} }, 'f');

    it('whose condition is known gives way to the branch that is taken', async () => {
      const x = float32([1, 2], [2, 1]);
      const [yes, no] = [upgrade(squeezed(['N', 1], 1)), upgrade(squeezed([2, 'N'], 0))];
      expect((await runOnce(referenceEngine(), yes, { x }))[yes.outputs[0]?.name ?? '']).toEqual(float32([1, 2]));
      expect((await runOnce(referenceEngine(), no, { x }))[no.outputs[0]?.name ?? '']).toEqual(float32([3, 6], [2, 1]));
      for (const graph of [yes, no]) expect(graph.nodes.map(({ op }) => op)).not.toContain('If');
    });

    it('whose condition shows at run time only is refused', () => {
      expect(() => upgrade(squeezed(['N', 1], 0))).toThrow(/"choice" \(If\).*traced/);
    });
  });

  it('refuses statistics per activation', () => {
    const extra = [positive, positive, positive, positive];
    const old = oldFile({ opset: 7, op: 'BatchNormalization', attributes: { spatial: int(0) }, extra });
    expect(() => upgraded(readOnnx(old, 'f'), 'f')).toThrow(/"old" \(BatchNormalization\).*spatial = 0/);
  });

  it.each(['constructor', 'toString', 'MaxRoiPool'])('names the operator %s, which is not supported', (op) => {
    expect(() => upgraded(readOnnx(oldFile({ opset: 9, op }), 'f'), 'f')).toThrow(
      new RegExp(`Node "old" uses operator ${op}, which is not supported`),
    );
  });
});
