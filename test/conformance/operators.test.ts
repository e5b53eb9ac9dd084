import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { ShiboriError } from '../../src/errors.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { readOnnxTensor } from '../../src/formats/onnx/tensor.js';
import type { Value } from '../../src/graph/model.js';
import { upgradeOpset } from '../../src/passes/upgrade-opset.js';
import { isFloat } from '../../src/tensor/dtype.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** ONNX's own backend tests, as Debian's package `libonnx-testdata` installs them. */
const root = '/usr/share/libonnx-testdata/data/node';
/** As a share of the largest element: NumPy computed them in float32, where ONNX's own runner takes 1e-3. */
const TOLERANCE = 1e-4;

/** Cases where another result is right, too, and why. */
const known: ReadonlyMap<string, string> = new Map([
  ['test_cast_BFLOAT16_to_FLOAT', 'bfloat16 is moved, not computed with'],
  ['test_castlike_FLOAT_to_BFLOAT16', 'bfloat16 is moved, not computed with'],
  ['test_dynamicquantizelinear_expanded', 'a quotient that is half a step only in float32'],
  ['test_maxunpool_export_with_output_shape', 'indices count in the output that output_shape enlarges: not supported'],
  ['test_resize_downsample_scales_cubic_align_corners', 'ONNX Runtime differs from these, too'],
  ['test_resize_downsample_scales_linear_align_corners', 'ONNX Runtime differs from these, too'],
]);

if (!existsSync(root)) {
  console.warn(`SKIPPED: ONNX's backend tests are not at ${root}. Debian's package libonnx-testdata has them.`);
}

/** The tensors of a test case: `input_0.pb`, `input_1.pb`, … */
function tensorsOf(folder: string, kind: 'input' | 'output', values: readonly Value[]): [Value, Tensor][] {
  return values.flatMap((value, i) => {
    const file = join(root, folder, 'test_data_set_0', `${kind}_${i}.pb`);
    return existsSync(file) ? [[value, readOnnxTensor(readFileSync(file), file)]] : [];
  });
}

/** The largest difference between elements, relative to the largest element or 1; infinite for another type. */
function difference(found: Tensor | undefined, expected: Tensor): number {
  if (found?.dtype !== expected.dtype || found.dims.join() !== expected.dims.join()) return Number.POSITIVE_INFINITY;
  const [a, b] = [Array.from(found.data, Number), Array.from(expected.data, Number)];
  const largest = b.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 1);
  return b.reduce((worst, x, i) => {
    if (Object.is(a[i], x) || a[i] === x) return worst;
    const off = Math.abs((a[i] ?? Number.NaN) - x) / largest;
    return Number.isNaN(off) ? Number.POSITIVE_INFINITY : Math.max(worst, off);
  }, 0);
}

/** What the reference engine makes of a case: the largest difference to the expected outputs, or why it was refused. */
async function differenceOf(folder: string): Promise<number | string> {
  const file = join(root, folder, 'model.onnx');
  try {
    const model = readOnnx(readFileSync(file), file);
    const inputs = tensorsOf(folder, 'input', model.graph.inputs);
    // Axes and shapes are known when a graph is typed: integers are constants here.
    const constant = inputs.filter(([, { dtype }]) => !isFloat(dtype) && dtype !== 'bool');
    const fed = inputs.filter((input) => !constant.includes(input));
    const initializers = new Map([...model.graph.initializers, ...constant]);
    const inner = { ...model.graph, inputs: fed.map(([value]) => value), initializers };
    // Some operators did not change since the first sets, which are too old otherwise.
    const graph = upgradeOpset({ ...model, opset: Math.max(7, model.opset), graph: inner }, file);
    const results = await runOnce(
      referenceEngine(),
      graph,
      Object.fromEntries(fed.map(([value, tensor]) => [value.name, tensor])),
    );
    const found = Object.values(results);
    const differences = tensorsOf(folder, 'output', model.graph.outputs).map(([value, expected]) =>
      difference(found[model.graph.outputs.indexOf(value)], expected),
    );
    return Math.max(0, ...differences);
  } catch (error) {
    if (error instanceof ShiboriError) return error.message;
    throw error;
  }
}

describe.skipIf(!existsSync(root))("the reference engine on ONNX's backend tests", () => {
  it('computes what is expected, or refuses the model', async () => {
    const [refused, passed, wrong]: [string[], string[], string[]] = [[], [], []];
    for (const folder of readdirSync(root)) {
      const result = await differenceOf(folder);
      if (typeof result === 'string') refused.push(folder);
      else if (result < TOLERANCE) passed.push(folder);
      else wrong.push(folder);
    }
    console.info(`ONNX backend tests: ${passed.length} operators computed as expected, ${refused.length} refused.`);
    expect(wrong.filter((folder) => !known.has(folder))).toEqual([]);
    expect(passed.length).toBeGreaterThan(650);
  }, 60_000);
});
