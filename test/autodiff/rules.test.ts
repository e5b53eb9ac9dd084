import { describe, expect, it } from 'vitest';
import { buildProjectedGradient, checkGradient, GRADIENT_TOLERANCE } from '../../src/autodiff/gradient-check.js';
import type { RuleEntry } from '../../src/autodiff/rule.js';
import { rules } from '../../src/autodiff/rules/table.js';
import { type NamedTensors, runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { type Op, ops } from '../../src/ops/table.js';
import { isFloat } from '../../src/tensor/dtype.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';
import type { GradientCase } from './cases/support.js';
import { cases } from './cases.js';

/**
 * Largest difference between the float32 gradients of two engines, relative to the largest element of the gradient:
 * they add up some dozens of products in different orders, each rounded to 2^-24.
 */
const ENGINE_TOLERANCE = 1e-5;

const every = Object.keys(ops) as Op[];
const listed = every.flatMap((op) =>
  (cases[op] ?? []).map((one): [string, Op, GradientCase] => [`${op}: ${one.name}`, op, one as GradientCase]),
);

/** The graph of one node, and the values to differentiate by. */
function graphOf(op: Op, { inputs, attributes, outputs }: GradientCase) {
  const b = new GraphBuilder();
  const feeds: Record<string, Tensor> = {};
  const wrt: Value[] = [];
  const values = inputs.map((input, i) => {
    if (!input) return undefined;
    if (input.constant) return b.initializer(`constant/${i}`, input.data);
    const value = b.input(`x${i}`, input.data.dtype, input.data.dims);
    feeds[value.name] = input.data;
    if (isFloat(input.data.dtype)) wrt.push(value);
    return value;
  });
  b.output(b.op(op, values, attributes ?? {}, { outputs: outputs ?? 1 }));
  return { graph: b.build(op), wrt, feeds };
}

function expectClose(found: Record<string, Tensor>, expected: Record<string, Tensor>, tolerance: number): void {
  for (const [name, { data, dims }] of Object.entries(expected)) {
    const other = found[name];
    expect(other?.dims, name).toEqual(dims);
    // The loss is a sum of terms of order 1, which may cancel each other; gradients are compared with their largest.
    let largest = name === 'check/loss' ? 1 : 1e-6;
    for (const value of data) largest = Math.max(largest, Math.abs(Number(value)));
    expect(findLargestDifference(other?.data ?? [], data) / largest, name).toBeLessThan(tolerance);
  }
}

async function pick(graph: Graph, feeds: NamedTensors): Promise<Record<string, Tensor>> {
  return runOnce(referenceEngine(), graph, feeds);
}

describe('the table of rules', () => {
  it('has a case for every operator with a rule, and for no other', () => {
    const differentiable = every.filter((op) => {
      const entry: RuleEntry<never> = rules[op];
      return typeof entry === 'function' || entry.kind === 'several-outputs';
    });
    expect(every.filter((op) => (cases[op] ?? []).length > 0)).toEqual(differentiable);
  });
});

describe.each(listed)('%s', (_, op, one) => {
  const { graph, wrt, feeds } = graphOf(op, one);

  it('agrees with finite differences', async () => {
    const worst = await checkGradient(graph, referenceEngine(), { wrt, feeds });
    expect(worst.error, JSON.stringify(worst)).toBeLessThan(GRADIENT_TOLERANCE);
  });

  it('has gradients whose own gradients agree with finite differences', async () => {
    const first = buildProjectedGradient(graph, { wrt }).graph;
    for (const of of first.outputs.slice(1)) {
      for (const value of first.inputs.filter(({ type }) => type && isFloat(type.dtype))) {
        const check = checkGradient(first, referenceEngine(), { of, wrt: [value], feeds, directions: 1 });
        // A linear operator's gradient does not depend on its input, and there is nothing to check.
        const worst = await check.catch((error: Error) => {
          if (/does not depend|not part of/.test(error.message)) return undefined;
          throw error;
        });
        if (worst) expect(worst.error, JSON.stringify(worst)).toBeLessThan(GRADIENT_TOLERANCE);
      }
    }
  });

  it('gives the same gradients one at a time', async () => {
    const together = await pick(buildProjectedGradient(graph, { wrt }).graph, feeds);
    for (const value of wrt) {
      const alone = await pick(buildProjectedGradient(graph, { wrt: [value] }).graph, feeds);
      for (const [name, { data }] of Object.entries(alone)) expect(data, name).toEqual(together[name]?.data);
    }
  });

  if (one.notOnRuntime !== undefined) return;
  it('runs on ONNX Runtime', async () => {
    const built = buildProjectedGradient(graph, { wrt });
    expectClose(await runOnce(nodeEngine(), built.graph, feeds), await pick(built.graph, feeds), ENGINE_TOLERANCE);
  });
});
