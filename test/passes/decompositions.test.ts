import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { checkGradient, GRADIENT_TOLERANCE } from '../../src/autodiff/gradient-check.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { type Attribute, type Dim, type Model, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { operatorExpansions } from '../../src/passes/operator-expansions.js';
import { seeded } from '../../src/tensor/random.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';

/** Two engines order float32 sums differently, and the runtime's own kernels round a step less or more. */
const ROUNDING = 2e-6;

interface Given {
  readonly op: string;
  readonly opset: number;
  readonly dims: readonly number[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Lengths of further inputs: scale and bias. */
  readonly extra?: readonly number[];
}

const int = (value: number): Attribute => ({ type: 'int', value });
const ints = (...value: number[]): Attribute => ({ type: 'ints', value });
const float = (value: number): Attribute => ({ type: 'float', value });
const string = (value: string): Attribute => ({ type: 'string', value });

const random = seeded(20260103);
const numbers = (dims: readonly number[]): Tensor =>
  float32(
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.uniform(-3, 3)),
    dims,
  );

/** What ONNX Runtime makes of the operator itself. */
async function original({ op, opset, attributes = {} }: Given, inputs: readonly Tensor[]): Promise<Tensor> {
  const values = inputs.map(({ dtype, dims }, i) => new Value(`x${i}`, { dtype, dims }));
  const output = new Value('y', undefined);
  const node = { op, domain: '', name: 'own', inputs: values, outputs: [output], attributes };
  const model: Model = {
    graph: { name: op, inputs: values, outputs: [output], nodes: [node], initializers: new Map() },
    opset,
    domains: {},
    metadata: {},
  };
  const session = await InferenceSession.create(writeOnnx(model), { logSeverityLevel: 4 });
  const feeds = inputs.map(({ data, dims }, i) => [`x${i}`, new OrtTensor('float32', data as Float32Array, [...dims])]);
  const { y } = await session.run(Object.fromEntries(feeds));
  await session.release();
  return float32(y?.data as Float32Array, y?.dims ?? []);
}

/** The graph of the decomposition; the first input's dimensions may be open. */
function decomposed({ op, attributes = {} }: Given, inputs: readonly { readonly dims: readonly Dim[] }[]) {
  const b = new GraphBuilder();
  const values = inputs.map(({ dims }, i) => b.input(`x${i}`, 'float32', dims));
  const decomposition = operatorExpansions.get(op);
  if (!decomposition) throw new Error(`${op} has no decomposition`);
  b.output(decomposition(b, values, attributes, { name: 'blocks.0.norm', outputName: 'y' }));
  return { graph: b.build(op), values };
}

const groups = { num_groups: int(2) };
const cases: readonly (readonly [string, Given])[] = [
  ['Gelu', { op: 'Gelu', opset: 20, dims: [3, 7] }],
  ['Gelu, tanh', { op: 'Gelu', opset: 20, dims: [3, 7], attributes: { approximate: string('tanh') } }],
  [
    'GroupNormalization of 18, a scale a group',
    { op: 'GroupNormalization', opset: 18, dims: [2, 6, 3, 2], attributes: groups, extra: [2, 2] },
  ],
  [
    'GroupNormalization of 21, a scale a channel',
    {
      op: 'GroupNormalization',
      opset: 21,
      dims: [2, 6, 3, 2],
      attributes: { ...groups, epsilon: float(0.1) },
      extra: [6, 6],
    },
  ],
  [
    'GroupNormalization, one group',
    { op: 'GroupNormalization', opset: 21, dims: [2, 4, 5], attributes: { num_groups: int(1) }, extra: [4, 4] },
  ],
  ['RMSNormalization', { op: 'RMSNormalization', opset: 23, dims: [2, 3, 4], extra: [4] }],
  ['LpNormalization, 2', { op: 'LpNormalization', opset: 1, dims: [2, 3, 4] }],
  [
    'LpNormalization, 1',
    { op: 'LpNormalization', opset: 22, dims: [2, 3, 4], attributes: { p: int(1), axis: int(1) } },
  ],
  ['MeanVarianceNormalization', { op: 'MeanVarianceNormalization', opset: 13, dims: [2, 3, 2, 4] }],
  [
    'MeanVarianceNormalization, axes',
    { op: 'MeanVarianceNormalization', opset: 9, dims: [2, 3, 2, 4], attributes: { axes: ints(2, 3) } },
  ],
];

describe.each(cases)('%s, decomposed', (_, given) => {
  const inputs = [numbers(given.dims), ...(given.extra ?? []).map((length) => numbers([length]))];
  const feeds = Object.fromEntries(inputs.map((input, i) => [`x${i}`, input]));

  it('computes what ONNX Runtime computes of the operator itself, with an open batch too', async () => {
    const expected = expectFloat32(await original(given, inputs), 'y');
    const open = [{ dims: ['N', ...given.dims.slice(1)] }, ...inputs.slice(1)];
    for (const { graph } of [decomposed(given, inputs), decomposed(given, open)]) {
      for (const engine of [referenceEngine(), nodeEngine({ threads: 1 })]) {
        const y = expectFloat32((await runOnce(engine, graph, feeds)).y, 'y');
        expect(y.dims).toEqual(expected.dims);
        expect(findLargestDifference(y.data, expected.data), engine.name).toBeLessThan(ROUNDING);
      }
    }
  });

  it('has gradients that agree with finite differences', async () => {
    const { graph, values } = decomposed(given, inputs);
    const worst = await checkGradient(graph, referenceEngine(), { wrt: values, feeds });
    expect(worst.error, JSON.stringify(worst)).toBeLessThan(GRADIENT_TOLERANCE);
  });

  it('is called as the module that it was', () => {
    const { graph } = decomposed(given, inputs);
    for (const { name } of graph.nodes) expect(name).toMatch(/^blocks\.0\.norm(\/\d+)?$/);
  });
});

describe('a decomposition', () => {
  it('leaves a vector of zeros as it is instead of dividing by its length', async () => {
    const { graph } = decomposed({ op: 'LpNormalization', opset: 22, dims: [2, 2] }, [{ dims: [2, 2] }]);
    const { y } = await runOnce(nodeEngine({ threads: 1 }), graph, { x0: float32([0, 0, 3, 4], [2, 2]) });
    expect([...expectFloat32(y, 'y').data]).toEqual([0, 0, Math.fround(0.6), Math.fround(0.8)]);
  });

  it('computes in double precision where its input is', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float64', [2]);
    const y = operatorExpansions.get('Gelu')?.(b, [x], {});
    expect(y?.type?.dtype).toBe('float64');
  });

  const group = (dims: readonly Dim[], scale: number, num_groups: number) => () =>
    decomposed({ op: 'GroupNormalization', opset: 21, dims: [], attributes: { num_groups: int(num_groups) } }, [
      { dims },
      { dims: [scale] },
      { dims: [scale] },
    ]);

  it('names the node and what does not fit', () => {
    expect(group([2, 6, 4], 6, 4)).toThrow(/"blocks\.0\.norm" \(GroupNormalization\): 6 channels.* into 4 groups/);
    expect(group([2, 6, 4], 3, 2)).toThrow(
      /scale "[^"]+" has 3 elements; expected one for each of 2 groups or 6 channels/,
    );
    expect(group(['N', 6, 'H', 'W'], 6, 2)).toThrow(/\[N, 6, H, W\] more than one is open/);
    const approximate = { approximate: string('cubic') };
    expect(() => decomposed({ op: 'Gelu', opset: 20, dims: [], attributes: approximate }, [{ dims: [2] }])).toThrow(
      /"none" or "tanh", found "cubic"/,
    );
    expect(() => decomposed({ op: 'RMSNormalization', opset: 23, dims: [] }, [{ dims: [2] }])).toThrow(
      /\(RMSNormalization\): input 1 is missing/,
    );
  });
});
