/** Every model, imported as files are opened, computes what is expected of it. */
import { type Engine, runOnce } from '../../src/engine/engine.js';
import { ShiboriError } from '../../src/errors.js';
import type { OnnxModel } from '../../src/formats/onnx/read.js';
import type { Value } from '../../src/graph/model.js';
import type { DType } from '../../src/tensor/dtype.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import {
  type BackendTest,
  backendTests,
  type DataSet,
  dataSets,
  importTest,
  readModel,
  refusalOf,
} from './backend-tests.js';
import { Tally } from './tally.js';

/** As a share of the largest element: NumPy computed them in float32, where ONNX's own runner takes 1e-3. */
const TOLERANCE = 1e-4;

/** Outputs that are expected in half precision are rounded to 11 or 8 bits; here they are computed in float32. */
const roundings: Partial<Record<DType, number>> = { float16: 2 ** -11, bfloat16: 2 ** -8 };

const randomMask = 'random numbers';
const alignedCorners = 'expected of an output with 2.4 columns where it has 2; ONNX Runtime differs, too';
// MaxPool, PyTorch and ONNX Runtime count in the output that there is: see onnx/onnx#2398.
const unpooled = 'indices count in a smaller output than the one asked for';

/** Where an engine computes something else, and why that is right, too. */
const known: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'onnxruntime-node': {
    'node/test_maxunpool_export_with_output_shape': unpooled,
    'node/test_resize_downsample_scales_cubic_align_corners': alignedCorners,
    'node/test_resize_downsample_scales_linear_align_corners': alignedCorners,
    'node/test_training_dropout': randomMask,
    'node/test_training_dropout_default': randomMask,
    'node/test_training_dropout_default_mask': randomMask,
    'node/test_training_dropout_mask': randomMask,
  },
  reference: {
    'node/test_dynamicquantizelinear_expanded': 'a quotient that is half a step only in float32',
    'node/test_maxunpool_export_with_output_shape': unpooled,
    'node/test_resize_downsample_scales_cubic_align_corners': alignedCorners,
    'node/test_resize_downsample_scales_linear_align_corners': alignedCorners,
  },
};

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

/** Runs a data set: with everything fed that is an input, or where that is refused with settings as constants. */
async function run(engine: Engine, test: BackendTest, model: OnnxModel, set: DataSet): Promise<readonly Tensor[]> {
  const attempt = async (fixed: boolean) => {
    const { graph, feeds } = importTest(test, model, set, fixed);
    const results = await runOnce(engine, graph, feeds);
    return graph.outputs.flatMap(({ name }) => results[name] ?? []);
  };
  try {
    return await attempt(false);
  } catch (error) {
    if (!(error instanceof ShiboriError)) throw error;
    return attempt(true);
  }
}

/** What is wrong with the outputs of a test, or `undefined`. */
async function mistakeOf(engine: Engine, test: BackendTest): Promise<string | undefined> {
  const model = readModel(test);
  for (const set of dataSets(test, model)) {
    if (set.outputs.size === 0) return 'no output is expected: nothing to compare';
    const found = await run(engine, test, model, set);
    for (const [value, expected] of set.outputs) {
      const off = difference(found[model.graph.outputs.indexOf(value)], expected);
      if (!(off < toleranceOf(value))) return `output "${value.name}" is off by ${off}`;
    }
  }
  return undefined;
}

function toleranceOf({ type }: Value): number {
  return Math.max(TOLERANCE, (type && roundings[type.dtype]) ?? 0);
}

export async function checkOutputs(engine: Engine): Promise<Tally> {
  const tally = new Tally(`computed as expected by the engine "${engine.name}"`);
  for (const test of backendTests) {
    const excuse = known[engine.name]?.[test.name];
    try {
      const mistake = await mistakeOf(engine, test);
      if (mistake === undefined && excuse) tally.fail(test.name, 'computed as expected now: take it off the list');
      else if (mistake === undefined) tally.passed++;
      else if (excuse) tally.skip(excuse, test.name);
      else tally.fail(test.name, mistake);
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) tally.fail(test.name, error);
      else tally.skip(reason, test.name);
    }
  }
  return tally;
}
