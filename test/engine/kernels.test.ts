import { describe, expect, it } from 'vitest';
import { type Engine, runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import type { Op } from '../../src/ops/table.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { Case } from './cases/support.js';
import { allOps, cases, exactOps, inDouble, usesSingle } from './cases.js';

/** The operators that ONNX Runtime does not run in float64: the reference engine is alone there. */
const singleOnly: ReadonlySet<Op> = new Set<Op>([
  'Conv',
  'ConvTranspose',
  'AveragePool',
  'GlobalAveragePool',
  'GlobalMaxPool',
  'MaxUnpool',
  'InstanceNormalization',
  'LRN',
  'Erf',
  'Mean',
  'Tan',
  'Asin',
  'Acos',
  'Atan',
  'Sinh',
  'Cosh',
  'Asinh',
  'Acosh',
  'Atanh',
  'Celu',
  'Hardmax',
  'QuantizeLinear',
  'DequantizeLinear',
  'OneHot',
  'NonZero',
  'Resize',
  'GridSample',
]);

/**
 * Rounding of float32, as a share of the largest element of an output: sums of up to 100 products and the runtime's
 * polynomial exp, tanh and erf stay below 2^-20, eight units in the last place.
 */
const FLOAT_TOLERANCE = 2 ** -20;
/** The same for float64: nothing here loses more than six bits. */
const DOUBLE_TOLERANCE = 2 ** -46;

/** The case as a graph; `symbolic` leaves the first axis open where it is as long as the first input's. */
function graphOf<K extends Op>(
  op: K,
  given: Case<K>,
  symbolic = false,
): { graph: Graph; feeds: Record<string, Tensor> } {
  const builder = new GraphBuilder();
  const feeds: Record<string, Tensor> = {};
  const batch = given.inputs[0]?.data.dims[0];
  const inputs = given.inputs.map((input, i) => {
    if (!input) return undefined;
    if (input.constant) return builder.initializer(`constant${i}`, input.data);
    feeds[`x${i}`] = input.data;
    const { dtype, dims } = input.data;
    return builder.input(
      `x${i}`,
      dtype,
      symbolic && dims[0] === batch && dims.length > 0 ? ['N', ...dims.slice(1)] : dims,
    );
  });
  for (const output of builder.node(op, inputs, given.attributes, { outputs: given.outputs ?? 1 }))
    builder.output(output);
  return { graph: builder.build(op), feeds };
}

function expectClose(found: Tensor, expected: Tensor, tolerance: number): void {
  expect(found.dtype).toBe(expected.dtype);
  expect(found.dims).toEqual(expected.dims);
  const [a, b] = [Array.from(found.data, Number), Array.from(expected.data, Number)];
  const largest = Math.max(1e-30, ...b.filter(Number.isFinite).map(Math.abs));
  for (const [i, value] of b.entries()) {
    // -0 and 0 are the same number: ONNX does not say which zero a kernel returns.
    if (Object.is(a[i], value) || (a[i] === 0 && value === 0)) continue;
    expect(Math.abs((a[i] as number) - value) / largest, `element ${i}: ${a[i]} for ${value}`).toBeLessThanOrEqual(
      tolerance,
    );
  }
}

async function compare<K extends Op>(op: K, given: Case<K>, engines: readonly [Engine, Engine], symbolic = false) {
  const { graph, feeds } = graphOf(op, given, symbolic);
  const [found, expected] = [await runOnce(engines[0], graph, feeds), await runOnce(engines[1], graph, feeds)];
  for (const { name } of graph.outputs) {
    const wanted = expected[name] as Tensor;
    const rounding = wanted.dtype === 'float64' ? DOUBLE_TOLERANCE : FLOAT_TOLERANCE;
    expectClose(found[name] as Tensor, wanted, exactOps.has(op) ? 0 : rounding);
  }
}

describe('the reference engine agrees with ONNX Runtime', () => {
  const engines = [referenceEngine(), nodeEngine({ threads: 1 })] as const;
  describe.each(allOps)('%s', (op) => {
    const own: readonly Case<typeof op>[] = cases[op];
    it('has a case', () => expect(own.length).toBeGreaterThan(0));
    it.each(own.map((given, i) => [i, given] as const))('case %i in float32', async (_, given) => {
      await compare(op, given, engines);
    });
    it.each(own.map((given, i) => [i, given] as const))('case %i with an open batch', async (_, given) => {
      await compare(op, given, engines, true);
    });
    const doubles = own.flatMap((given, i) => (usesSingle(given) ? [[i, inDouble(given)] as const] : []));
    if (doubles.length === 0) return;
    it.each(doubles)('case %i in float64', async (_, given) => {
      if (singleOnly.has(op)) {
        const { graph } = graphOf(op, given);
        await expect(engines[1].load(graph)).rejects.toThrow(
          /no kernel for that element type|'tensor\(double\)' .* is invalid/,
        );
      } else await compare(op, given, engines);
    });
  });
});
