import { encodeMessage } from '../../src/formats/onnx/message.js';
import type { GraphProto, ModelProto } from '../../src/formats/onnx/proto.js';
import { modelFields } from '../../src/formats/onnx/proto.js';
import { concatenate } from '../../src/formats/onnx/wire-writer.js';
import { type Graph, type Model, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32 } from '../../src/tensor/tensor.js';

/** Conv, Relu, Flatten, Gemm on 1×3×3 images, with numbers small enough to compute by hand. */
export function smallModel(): Model {
  const b = new GraphBuilder();
  const x = b.input('image', 'float32', ['N', 1, 3, 3]);
  const kernel = b.initializer('conv.weight', float32([1, 0, 0, -1], [1, 1, 2, 2]));
  const bias = b.initializer('conv.bias', float32([0.5]));
  const conv = b.op('Conv', [x, kernel, bias], { kernel_shape: [2, 2] }, { name: 'conv' });
  const relu = b.op('Relu', [conv], {}, { name: 'relu' });
  const flat = b.op('Flatten', [relu], {}, { name: 'flatten' });
  const weight = b.initializer('fc.weight', float32([1, 2, 3, 4, -1, 0, 1, 0], [2, 4]));
  const shift = b.initializer('fc.bias', float32([10, 20]));
  b.output(b.op('Gemm', [flat, weight, shift], { transB: 1 }, { name: 'fc', outputName: 'scores' }));
  return { graph: b.build('small'), opset: 18, domains: {}, metadata: { made: 'by hand' } };
}

/** A graph whose `If` node holds graphs that read the values `x` and `w` of the graph around them. */
export function nestedModel(): Model {
  const type = { dtype: 'float32', dims: [2] } as const;
  const condition = new Value('condition', { dtype: 'bool', dims: [] });
  const x = new Value('x', type);
  const w = new Value('w', type);
  const sum = new Value('sum', type);
  const branch = (name: string, op: string): Graph => {
    const result = new Value(`${name}.result`, type);
    const node = { op, domain: '', name, inputs: [sum, w], outputs: [result], attributes: {} };
    return { name, inputs: [], outputs: [result], nodes: [node], initializers: new Map() };
  };
  const y = new Value('y', type);
  const graph: Graph = {
    name: 'nested',
    inputs: [condition, x],
    outputs: [y],
    nodes: [
      { op: 'Add', domain: '', name: 'add', inputs: [x, w], outputs: [sum], attributes: {} },
      {
        op: 'If',
        domain: '',
        name: 'if',
        inputs: [condition],
        outputs: [y],
        attributes: {
          then_branch: { type: 'graph', value: branch('then', 'Mul') },
          else_branch: { type: 'graph', value: branch('else', 'Sub') },
        },
      },
    ],
    initializers: new Map([[w, float32([2, 3])]]),
  };
  return { graph, opset: 18, domains: {}, metadata: {} };
}

/** The bytes of a file with this graph: what no writer of ours would write. */
export function rawFile(graph: GraphProto, rest: ModelProto = {}): Uint8Array {
  const about: ModelProto = { irVersion: 8, opsetImport: [{ domain: '', version: 18 }] };
  return concatenate(encodeMessage(modelFields, { ...about, ...rest, graph }).chunks());
}

/** A graph that passes `x` (float32, two elements) on as `y`, with some fields of its own. */
export function identityGraph(fields: GraphProto = {}): GraphProto {
  const type = { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }] } } };
  return {
    name: 'identity',
    input: [{ name: 'x', type }],
    output: [{ name: 'y', type }],
    node: [{ opType: 'Identity', name: 'same', input: ['x'], output: ['y'] }],
    ...fields,
  };
}
