/** The gradient of every model's float outputs by its float inputs and parameters, against finite differences. */
import { checkGradient, GRADIENT_TOLERANCE } from '../../src/autodiff/gradient-check.js';
import { type NamedTensors, runOnce } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { ShiboriError } from '../../src/errors.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { isParameter } from '../../src/graph/parameters.js';
import { listStridedPositions } from '../../src/kernels/kernel.js';
import { bindInputs } from '../../src/passes/rewrite.js';
import { computeStrides, countElements } from '../../src/tensor/dims.js';
import { isFloat } from '../../src/tensor/dtype.js';
import { seeded } from '../../src/tensor/random.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import {
  type BackendTest,
  backendTests,
  dataSets,
  type Imported,
  importTest,
  readModel,
  refusalOf,
} from './backend-tests.js';
import { Tally } from './tally.js';

const engine = referenceEngine();

/** Relative noise on a point: enough to leave kinks and ties, which finite differences must not straddle. */
const NOISE = 1e-2;
/** Values below this are moved by as much as it would be: zero is the commonest kink. */
const SMALL = 0.1;
/** Central differences lose digits where values are much larger than the step of 1e-5. */
const LARGEST = 1e3;
/**
 * Among more elements than these there are ties within the step, and the sum that is differentiated rounds in
 * proportion to its terms. Where a model has one input, it is cut to fewer.
 */
const MOST_ELEMENTS = 20_000;
/** The relative step by which a piecewise constant function must not change: a few float32 roundings. */
const FLAT_STEP = 1e-6;

/** Rules that differentiate less than all, and say so. */
const limits = [
  [/only its first output is differentiated/, 'statistics of a normalisation, as its further outputs'],
  [/there is no rule for reduction "mul"/, 'ScatterND that multiplies'],
  [/the scale of quantised weights is not trained/, 'the scale of quantised weights'],
  [/in training mode its mask output is needed/, 'Dropout in training mode without its mask'],
] as const;

const isFloating = ({ type }: Value): boolean => type !== undefined && isFloat(type.dtype);

const elementsOf = ({ data }: Tensor): number[] => Array.from<number | bigint | boolean, number>(data, Number);

/** A float tensor of other elements. */
function filled({ dtype }: Tensor, dims: readonly number[], values: readonly number[]): Tensor {
  if (dtype === 'float64') return tensor(dtype, dims, Float64Array.from(values));
  return tensor('float32', dims, Float32Array.from(values));
}

/** The graph for the dimensions of its feeds. */
function bound({ graph, feeds }: Imported): Imported {
  const dims = Object.fromEntries(Object.entries(feeds).map(([name, data]) => [name, data.dims]));
  return { graph: bindInputs(graph, dims), feeds };
}

/** The leading part of a large input: half of its longest axis but the channels, until it is small enough. */
function cropped(whole: Imported): Imported {
  const [[name, given] = []] = Object.entries(whole.feeds);
  if (name === undefined || !given || !isFloat(given.dtype)) return bound(whole);
  const dims = [...given.dims];
  while (countElements(dims) > MOST_ELEMENTS) {
    const longest = dims.reduce((best, size, axis) => (axis !== 1 && size > (dims[best] ?? 0) ? axis : best), 0);
    dims[longest] = Math.ceil((dims[longest] ?? 1) / 2);
  }
  const elements = elementsOf(given);
  const kept = Array.from(
    listStridedPositions(dims, computeStrides(given.dims)),
    (position) => elements[position] ?? 0,
  );
  try {
    return bound({ graph: whole.graph, feeds: { [name]: filled(given, dims, kept) } });
  } catch (error) {
    // A window may need all of it.
    if (error instanceof ShiboriError) return bound(whole);
    throw error;
  }
}

/**
 * A point near the data set's: off kinks and ties, finite, of a size that suits the step. `inside` takes absolute
 * values, moved away from zero: the domain of Sqrt, Log, Acosh and of powers, where the data leave it.
 */
function pointNear(feeds: NamedTensors, inside: boolean): NamedTensors {
  const random = seeded(0, 3);
  const moved = (given: Tensor): Tensor => {
    const elements = elementsOf(given);
    const largest = elements.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
    const scale = largest > LARGEST ? LARGEST / largest : 1;
    const values = elements.map((element) => {
      const x = Number.isFinite(element) ? element * scale : 1;
      const step = NOISE * Math.max(Math.abs(x), SMALL);
      return inside ? Math.abs(x) + random.uniform(SMALL / 2, SMALL) : x + random.uniform(-step, step);
    });
    return filled(given, given.dims, values);
  };
  return Object.fromEntries(
    Object.entries(feeds).map(([name, data]) => [name, isFloat(data.dtype) ? moved(data) : data]),
  );
}

/** Whether an output stays bit for bit the same when a value moves a little: what "no gradient" claims. */
async function isFlat(graph: Graph, feeds: NamedTensors, of: Value, by: Value): Promise<boolean> {
  const at = feeds[by.name] ?? graph.initializers.get(by);
  if (!at) return false;
  const results: (string | undefined)[] = [];
  for (const step of [FLAT_STEP, -FLAT_STEP]) {
    const values = elementsOf(at).map((x) => x * (1 + step));
    const moved = filled(at, at.dims, values);
    const initializers = new Map(graph.initializers);
    if (initializers.has(by)) initializers.set(by, moved);
    const point = feeds[by.name] ? { ...feeds, [by.name]: moved } : feeds;
    results.push((await runOnce(engine, { ...graph, initializers }, point))[of.name]?.data.toString());
  }
  return results[0] === results[1];
}

/** What became of one gradient: its deviation, the claim that there is none, or the limit that refuses it. */
type Finding = { readonly deviation: number } | 'none' | { readonly limit: string };

async function gradientOf(graph: Graph, feeds: NamedTensors, of: Value, by: Value): Promise<Finding> {
  try {
    const { error } = await checkGradient(graph, engine, { wrt: [by], of, feeds, directions: 2 });
    return { deviation: error };
  } catch (error) {
    if (/does not depend on|is not part of the rewritten graph/.test(String(error))) return 'none';
    const limit = refusalOf(error, limits);
    if (limit === undefined) throw error;
    return { limit };
  }
}

/** Rounding grows with the number of terms. */
function toleranceAt(point: NamedTensors): number {
  const most = Math.max(...Object.values(point).map(({ dims }) => countElements(dims)));
  return GRADIENT_TOLERANCE * Math.max(1, most / MOST_ELEMENTS);
}

/**
 * Checks all gradients of a test.
 *
 * @returns why there was none to check, or `undefined`.
 * @throws Error naming a gradient that is wrong.
 */
async function checkTest(test: BackendTest): Promise<string | undefined> {
  const model = readModel(test);
  let skipped: string | undefined = 'no float goes in';
  let checked = 0;
  for (const set of dataSets(test, model)) {
    const imported = importTest(test, model, set, true);
    const { graph, feeds } = set.inputs.size === 1 ? cropped(imported) : bound(imported);
    const own = new Set(Array.from(model.graph.initializers.keys(), ({ name }) => name));
    const parameters = [...graph.initializers].filter(
      ([value, data]) => own.has(value.name) && isParameter(value, data),
    );
    const wrt = [...graph.inputs, ...parameters.map(([value]) => value)].filter(isFloating);
    const outputs = graph.outputs.filter(isFloating);
    if (wrt.length > 0) skipped = 'no float comes out';
    for (const of of outputs) {
      for (const by of wrt) {
        let [point, finding] = [feeds, { deviation: Number.NaN } as Finding];
        for (const inside of [false, true]) {
          if (typeof finding === 'string' || 'limit' in finding || !Number.isNaN(finding.deviation)) break;
          point = pointNear(feeds, inside);
          finding = await gradientOf(graph, point, of, by);
        }
        const what = `the gradient of "${of.name}" by "${by.name}"`;
        if (finding === 'none') {
          if (!(await isFlat(graph, point, of, by))) throw new Error(`${what} is said to be none, but it changes`);
          skipped = 'constant wherever it is smooth';
        } else if ('limit' in finding) skipped = finding.limit;
        else if (finding.deviation < toleranceAt(point)) checked++;
        else throw new Error(`${what} deviates by ${finding.deviation}`);
      }
    }
  }
  return checked > 0 ? undefined : skipped;
}

export async function checkGradients(): Promise<Tally> {
  const tally = new Tally('gradients as finite differences have them');
  for (const test of backendTests) {
    try {
      const skipped = await checkTest(test);
      if (skipped === undefined) tally.passed++;
      else tally.skip(skipped, test.name);
    } catch (error) {
      const reason = refusalOf(error, limits);
      if (reason === undefined) tally.fail(test.name, error);
      else tally.skip(reason, test.name);
    }
  }
  return tally;
}
