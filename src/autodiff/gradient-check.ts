/**
 * The one check of gradients: against central finite differences in double precision.
 *
 * With L(x) = sum(u * y(x)) for random u, and a random direction v: the gradient graph's <dL/dx, v> is compared with
 * (L(x + h v) - L(x - h v)) / 2h. Their difference is measured against the size that <dL/dx, v> has for a typical v,
 * |dL/dx| |v| / sqrt(n), so that a direction that happens to be orthogonal to the gradient raises no alarm. Source:
 * Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 1.
 */

import type { Engine, NamedTensors, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { startRewrite } from '../passes/rewrite.js';
import { countElements } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { toFloat64, widenToFloat64 } from './float64.js';
import { appendGradients } from './gradient.js';
import { readStaticDims } from './static-dims.js';

/**
 * The step h. For values of order 1 the central difference is off by h^2 = 1e-10 of the third derivative, and rounding
 * adds 2^-53 / h = 1e-11: the optimum lies near the cube root of the precision.
 */
const STEP = 1e-5;

/** The largest relative deviation of a correct gradient: the errors of the step, 1e-10, with room for steep functions. */
export const GRADIENT_TOLERANCE = 1e-6;

/** Which gradient is checked, and where. */
export interface GradientCheckOptions {
  /** Inputs and initializers of the graph. */
  readonly wrt: readonly Value[];
  /** A tensor for every input of the graph: the point x. It should not lie within 1e-5 of a kink. */
  readonly feeds: NamedTensors;
  /** The output that is projected to L. Default: the first one. */
  readonly of?: Value;
  /** Random directions for each value. Default: 3. */
  readonly directions?: number;
  /** Of u and v. Default: 0. */
  readonly seed?: number;
}

/** How far the gradient of one value is from finite differences. */
export interface GradientDeviation {
  /** Name of the value in the graph. */
  readonly value: string;
  /** `<dL/dx, v>` from the gradient graph. */
  readonly analytic: number;
  /** The finite difference. */
  readonly numeric: number;
  /** `|analytic - numeric|` relative to the typical size of either; NaN when one is not finite. */
  readonly error: number;
}

/**
 * The graph of L = sum(u * y), u random and seeded, and of its gradients.
 *
 * @returns a graph whose outputs are L and the gradient of each of `wrt`, in this order. Initializers among `wrt` are
 *   inputs of it.
 */
export function buildProjectedGradient(
  graph: Graph,
  options: Pick<GradientCheckOptions, 'wrt' | 'of' | 'seed'>,
): { readonly graph: Graph; readonly loss: Graph } {
  const of = options.of ?? graph.outputs[0];
  if (!of) throw new ShiboriError(`Graph "${graph.name}" has no output to differentiate.`, { code: 'no-gradient' });
  const build = (withGradients: boolean): Graph => {
    const { builder: b, mapValue: moved } = startRewrite(graph, {
      outputs: [of],
      cutAt: options.wrt.filter((value) => graph.initializers.has(value)),
    });
    const y = moved(of);
    const dims = readStaticDims(y);
    const random = seeded(options.seed ?? 0, 1);
    const u = Float64Array.from({ length: countElements(dims) }, () => Math.fround(random.uniform(-1, 1)));
    const weights: Tensor =
      y.type?.dtype === 'float64' ? tensor('float64', dims, u) : tensor('float32', dims, Float32Array.from(u));
    const product = b.op('Mul', [y, b.initializer('constant/projection', weights)], {}, { name: 'check' });
    const loss = b.op('ReduceSum', [product], { keepdims: 0 }, { name: 'check', outputName: 'check/loss' });
    b.output(loss);
    if (withGradients) {
      const wrt = options.wrt.map(moved);
      const gradients = appendGradients(b, loss, wrt);
      for (const value of wrt) {
        const outputName = `check/gradient/${value.name}`;
        b.output(b.op('Identity', [gradients.get(value)], {}, { name: 'check', outputName }));
      }
    }
    return b.build(`check of ${graph.name}`);
  };
  return { graph: build(true), loss: build(false) };
}

function computeInnerProduct(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function readFloat64Data(source: Tensor | undefined, what: string): Float64Array {
  if (source?.dtype === 'float64') return source.data;
  throw new ShiboriError(`${what} should be float64, found ${source?.dtype ?? 'nothing'}.`, { code: 'no-gradient' });
}

async function computeLossAt(session: Session, feeds: NamedTensors): Promise<number> {
  const [loss] = Object.values(await session.run(feeds));
  return readFloat64Data(loss, 'The checked loss')[0] ?? Number.NaN;
}

/**
 * Compares the gradients of a graph with finite differences. Everything runs in float64, float32 graphs too.
 *
 * @param engine one that computes every operator in float64: the reference engine.
 * @returns the worst deviation over all values and directions; a correct gradient stays below `GRADIENT_TOLERANCE`.
 * @throws ShiboriError as `gradient` does, and when a value of `wrt` is neither an input nor an initializer.
 */
export async function checkGradient(
  graph: Graph,
  engine: Engine,
  options: GradientCheckOptions,
): Promise<GradientDeviation> {
  const wide = widenToFloat64(graph);
  const wrt = options.wrt.map(wide.of);
  const built = buildProjectedGradient(wide.graph, {
    wrt,
    ...(options.of ? { of: wide.of(options.of) } : {}),
    ...defined({ seed: options.seed }),
  });
  const point: Record<string, Tensor> = {};
  for (const input of built.graph.inputs) {
    const pointTensor =
      options.feeds[input.name] ?? [...wide.graph.initializers].find(([v]) => v.name === input.name)?.[1];
    if (!pointTensor)
      throw new ShiboriError(`The gradient check needs a tensor for input "${input.name}".`, { code: 'no-gradient' });
    point[input.name] = toFloat64(pointTensor);
  }
  const random = seeded(options.seed ?? 0, 2);
  const [forward, backward] = [await engine.load(built.loss), await engine.load(built.graph)];
  let worst: GradientDeviation | undefined;
  try {
    const results = await backward.run(point);
    for (const [i, value] of wrt.entries()) {
      const at = readFloat64Data(point[value.name], `"${value.name}" (an input or initializer of the graph)`);
      const gradient = results[built.graph.outputs[i + 1]?.name ?? ''];
      const g = readFloat64Data(gradient, `The gradient of "${value.name}"`);
      for (let direction = 0; direction < (options.directions ?? 3); direction++) {
        const v = Float64Array.from(at, () => random.uniform(-1, 1));
        const moved = (h: number): NamedTensors => ({
          ...point,
          [value.name]: tensor(
            'float64',
            readStaticDims(value),
            at.map((x, k) => x + h * (v[k] as number)),
          ),
        });
        const numeric =
          ((await computeLossAt(forward, moved(STEP))) - (await computeLossAt(forward, moved(-STEP)))) / (2 * STEP);
        const analytic = computeInnerProduct(g, v);
        const typical = Math.sqrt((computeInnerProduct(g, g) * computeInnerProduct(v, v)) / Math.max(1, v.length));
        const scale = Math.max(typical, Math.abs(numeric), Number.MIN_VALUE);
        const error = Math.abs(analytic - numeric) / scale;
        if (!worst || Number.isNaN(error) || error > worst.error)
          worst = { value: value.name, analytic, numeric, error };
      }
    }
  } finally {
    await forward.dispose();
    await backward.dispose();
  }
  if (!worst)
    throw new ShiboriError('A gradient check needs a value to differentiate by (`wrt`) and a direction.', {
      code: 'no-gradient',
    });
  return worst;
}
