import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gradient } from '../../src/autodiff/gradient.js';
import { type Engine, runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Attribute, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { type AttributeValues, isOp, type Op } from '../../src/ops/table.js';
import { operatorExpansions } from '../../src/passes/operator-expansions.js';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

interface NodeGolden {
  readonly name: string;
  /** An operator of the table, or one that is decomposed. */
  readonly op: string;
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>;
  readonly inputs: readonly Numbers[];
  readonly constants: readonly {
    readonly ints?: readonly number[];
    readonly float?: number[];
    readonly scalar?: number;
  }[];
  readonly outputs: number;
  readonly u: Numbers;
  readonly gradients: readonly Numbers[];
}

interface NetworkGolden {
  readonly values: Readonly<Record<string, Numbers>>;
  readonly mask: Numbers;
  readonly target: readonly number[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Numbers>>;
  readonly activationGradient: Numbers;
}

const read = <T>(file: string): T =>
  JSON.parse(readFileSync(new URL(`../golden/autodiff/${file}`, import.meta.url), 'utf8'));
const nodes = read<NodeGolden[]>('nodes.json');
const network = read<NetworkGolden>('network.json');
const engines: [string, Engine][] = [
  ['the reference engine', referenceEngine()],
  ['ONNX Runtime', nodeEngine()],
];

/**
 * Largest difference from PyTorch in float64, relative to the largest element of the gradient: float32 rounds each of
 * some dozens of steps to 2^-24; the reference engine rounds only the results of nodes.
 */
const TOLERANCE = 1e-5;

const tensorOf = ({ dims, data }: Numbers): Tensor => float32(data, dims);

function expectClose(found: Tensor | undefined, expected: Numbers, what: string): void {
  expect(found?.dims, what).toEqual(expected.dims);
  const largest = expected.data.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-6);
  expect(findLargestDifference(found?.data ?? [], expected.data) / largest, what).toBeLessThan(TOLERANCE);
}

/** The attribute as a file holds it. */
function tagged(value: number | string | readonly number[]): Attribute {
  if (typeof value === 'string') return { type: 'string', value };
  if (typeof value !== 'number') return { type: 'ints', value };
  return { type: Number.isInteger(value) ? 'int' : 'float', value };
}

/** The operator's node and its first output, or its decomposition. */
function build(b: GraphBuilder, { op, attributes, outputs }: NodeGolden, inputs: readonly Value[]): Value {
  if (isOp(op)) return b.op(op, inputs, attributes as AttributeValues<Op>, { outputs });
  const encoded = Object.entries(attributes).map(([name, value]) => [name, tagged(value)] as const);
  const y = operatorExpansions.get(op)?.(b, inputs, Object.fromEntries(encoded));
  if (!y) throw new Error(`${op} is neither an operator nor decomposed`);
  return y;
}

describe.each(engines)('gradients on %s equal PyTorch’s', (_, engine) => {
  it.each(nodes.map((one): [string, NodeGolden] => [`${one.op}: ${one.name}`, one]))('%s', async (_, one) => {
    const b = new GraphBuilder();
    const inputs = one.inputs.map(({ dims }, i) => b.input(`x${i}`, 'float32', dims));
    const constants = one.constants.map(({ ints, float, scalar }) =>
      ints ? b.ints(ints) : b.initializer('constant', float ? float32(float) : float32([scalar ?? 0], [])),
    );
    const y = build(b, one, [...inputs, ...constants]);
    const product = b.op('Mul', [y, b.initializer('u', tensorOf(one.u))]);
    b.output(b.op('ReduceSum', [product], { keepdims: 0 }));
    const { graph, gradients } = gradient(b.build(one.op), { wrt: inputs });
    const feeds = Object.fromEntries(one.inputs.map((input, i) => [`x${i}`, tensorOf(input)]));
    const results = await runOnce(engine, graph, feeds);
    for (const [i, value] of gradients.entries()) {
      const expected = one.gradients[i];
      if (expected) expectClose(results[value.name], expected, `input ${i}`);
    }
  });

  it('a network in training mode: every parameter, the input and an activation', async () => {
    const b = new GraphBuilder();
    const values = new Map<string, Value>();
    const use = (name: string): Value => {
      const golden = network.values[name];
      if (!golden) throw new Error(`${name} is not in network.json`);
      const value = name === 'input' ? b.input(name, 'float32', golden.dims) : b.initializer(name, tensorOf(golden));
      values.set(name, value);
      return value;
    };
    const channels = network.values['features.1.weight']?.dims ?? [];
    const zeros = b.initializer('features.1.running_mean', float32(new Float32Array(channels[0] ?? 0)));
    const ones = b.initializer('features.1.running_var', float32(new Float32Array(channels[0] ?? 0).fill(1)));
    const pads = [1, 1, 1, 1];
    let x = b.op('Conv', [use('input'), use('features.0.weight'), use('features.0.bias')], { pads });
    const norm = [x, use('features.1.weight'), use('features.1.bias'), zeros, ones];
    x = b.op('BatchNormalization', norm, { training_mode: 1 }, { outputs: 3 });
    x = b.op('MaxPool', [b.op('Relu', [x])], { kernel_shape: [2, 2], strides: [2, 2] });
    x = b.op('Conv', [x, use('features.4.weight')], { pads, strides: [2, 2] });
    const activation = b.op('Relu', [x], {}, { outputName: 'activation' });
    x = b.op('Mul', [b.op('Flatten', [activation]), b.initializer('mask', tensorOf(network.mask))]);
    x = b.op('Gemm', [x, use('classifier.0.weight'), use('classifier.0.bias')], { transB: 1 });
    x = b.op('LogSoftmax', [x], { axis: 1 });
    const target = b.initializer('target', int64(network.target, [network.target.length, 1]));
    const chosen = b.op('GatherElements', [x, target], { axis: 1 });
    b.output(b.op('Neg', [b.op('ReduceMean', [chosen], { keepdims: 0 })], {}, { outputName: 'loss' }));

    const names = [...values.keys()];
    const { graph, gradients } = gradient(b.build('network'), { wrt: [...values.values(), activation] });
    const input = network.values.input;
    const results = await runOnce(engine, graph, input ? { input: tensorOf(input) } : {});
    expectClose(results.loss, { dims: [], data: [network.loss] }, 'loss');
    for (const [i, name] of names.entries()) {
      const expected = network.gradients[name];
      expect(expected, name).toBeDefined();
      // A bias before a normalisation has no influence: PyTorch and we compute rounding errors around 0.
      if (name === 'features.0.bias') {
        for (const x of results[gradients[i]?.name ?? '']?.data ?? [1]) expect(Math.abs(Number(x))).toBeLessThan(1e-6);
      } else if (expected) expectClose(results[gradients[i]?.name ?? ''], expected, name);
    }
    expectClose(results['gradient/activation'], network.activationGradient, 'activation');
  });
});
