/**
 * A linear layer y = x Wᵀ + b whose weight is a tensor train, as stock ONNX nodes.
 *
 * `factored`: the order of contraction that needs the fewest MACs at run time (Reshape, Transpose, MatMul).
 * `rebuilt`: the cores are contracted to the dense weight first. They are constants in a finished model, so a runtime
 * folds that part when it loads: the file stays small and the layer runs at dense speed.
 */
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { findModuleInput } from '../graph/module-path.js';
import type { GraphBuilder } from '../ops/builder.js';
import { countElements } from '../tensor/dims.js';
import { buildLayerNetwork, type ContractionPlan, type ContractionStep, planContraction } from './contraction.js';
import { BIAS_NAME, getCoreName, readTtShape, type TtShape } from './modes.js';

/** How a tensor-train layer runs. */
export type Execution = 'factored' | 'rebuilt';

/** A tensor-train layer of a model: where it is and its shape. */
export interface TtDescriptor extends TtShape {
  /** The module path of the layer. */
  readonly path: string;
}

/** A tensor-train layer in a graph. */
export interface TtLayer extends TtDescriptor {
  readonly execution: Execution;
  /** Name of the value that it computes. Default: derived from the path. */
  readonly outputName?: string;
}

/**
 * Reads a layer's layout, modes and ranks off the shapes that its cores and its bias are stored with.
 *
 * Which modes of layout `tt` are outputs is shown by the bias, shaped `[out modes…]`, or else by the number of inputs.
 *
 * @param inFeatures number of inputs, used when there is no bias; `undefined`: any that is `channels` times a square.
 * @throws ShiboriError when the shapes do not fit together.
 */
export function readTtDescriptor(
  path: string,
  coreDims: readonly (readonly number[])[],
  biasDims: readonly number[] | undefined,
  inFeatures: number | undefined,
  channels = 1,
): TtDescriptor {
  const modes = coreDims.map((dims, k) => dims[k === 0 ? 0 : 1] ?? 1);
  const outCount = biasDims?.length ?? findOutputModeCount(modes, inFeatures, channels) ?? 0;
  const shape = readTtShape(coreDims, outCount);
  if (biasDims && countElements(biasDims) !== countElements(shape.outModes)) {
    throw new ShiboriError(`Tensor train "${path}": expected a bias of [${shape.outModes}], found [${biasDims}].`, {
      code: 'unsupported-model',
    });
  }
  return { path, ...shape };
}

function findOutputModeCount(
  modes: readonly number[],
  inFeatures: number | undefined,
  channels: number,
): number | undefined {
  for (let count = 1; count < modes.length; count++) {
    const inputs = countElements(modes.slice(count));
    const side = Math.sqrt(inputs / channels);
    if (inFeatures === undefined ? Number.isInteger(side) : inputs === inFeatures) return count;
  }
  return undefined;
}

/** What a factorised layer's order of contraction is chosen for. */
export interface ContractionAim {
  /** Images at a time. */
  readonly batch: number;
  /**
   * Whether the cores change from run to run. Products of cores are then computed, and differentiated, every time
   * instead of once when the model is loaded.
   */
  readonly trained: boolean;
}

/** One image at a time is planned for: where cores are constants, the order that is best for one is best for many. */
const INFERENCE: ContractionAim = { batch: 1, trained: false };

/** A value whose axes are named; `n` is the batch, whose size may be open. */
interface IndexedValue {
  readonly value: Value;
  readonly indices: readonly string[];
}

/** Emits the nodes of a contraction plan. Axes are regrouped only where an operand does not already have them so. */
class ContractionEmitter {
  constructor(
    readonly b: GraphBuilder,
    readonly sizes: Readonly<Record<string, number>>,
    readonly trained: boolean,
  ) {}

  computeGroupSize(indices: readonly string[]): number {
    return indices.includes('n')
      ? -1
      : indices.reduce((emitProduct, index) => emitProduct * (this.sizes[index] ?? 1), 1);
  }

  /** The operand's axes in another order; nothing is emitted when they have it already. */
  emitOrdered({ value, indices }: IndexedValue, order: readonly string[]): Value {
    const perm = order.map((index) => indices.indexOf(index));
    return perm.every((axis, i) => axis === i) ? value : this.b.op('Transpose', [value], { perm });
  }

  /** The operand as a matrix of two groups of axes. */
  emitMatrix(operand: IndexedValue, rows: readonly string[], columns: readonly string[]): Value {
    const value = this.emitOrdered(operand, [...rows, ...columns]);
    if (rows.length === 1 && columns.length === 1) return value;
    return this.b.op('Reshape', [value, this.b.ints([this.computeGroupSize(rows), this.computeGroupSize(columns)])]);
  }

  product(a: IndexedValue, c: IndexedValue, { leftFree, contracted, rightFree }: ContractionStep): Value {
    const left = this.emitMatrix(a, leftFree, contracted);
    // A constant is transposed once, when the model is loaded; a trained core, and its gradient, would be every time.
    const lies = [...rightFree, ...contracted].every((index, axis) => c.indices[axis] === index);
    if (this.trained && lies)
      return this.b.op('Gemm', [left, this.emitMatrix(c, rightFree, contracted)], { transB: 1 });
    return this.b.op('MatMul', [left, this.emitMatrix(c, contracted, rightFree)]);
  }

  emitReshaped(value: Value, indices: readonly string[]): IndexedValue {
    const dims = indices.map((index) => (index === 'n' ? -1 : (this.sizes[index] ?? 1)));
    return { value: this.b.op('Reshape', [value, this.b.ints(dims)]), indices };
  }

  emitPlan(plan: ContractionPlan, tensors: readonly IndexedValue[]): IndexedValue {
    const operands = [...tensors];
    for (const step of plan.steps) {
      const { leftFree, rightFree } = step;
      const [a, c] = [operands[step.left], operands[step.right]];
      if (!a || !c)
        throw new ShiboriError('A contraction plan names an operand that it does not have.', {
          code: 'unsupported-model',
        });
      const product = this.product(a, c, step);
      const indices = [...leftFree, ...rightFree];
      operands.push(
        indices.length === 2 && leftFree.length === 1
          ? { value: product, indices }
          : this.emitReshaped(product, indices),
      );
    }
    const result = operands.at(-1);
    if (!result) throw new ShiboriError('A contraction plan has no operands.', { code: 'unsupported-model' });
    return result;
  }
}

/**
 * Emits the layer's nodes under the builder's scope.
 *
 * @param x `[N, product(in modes)]`.
 * @param cores as stored: `[n1, r1]`, `[r, n, r]` …, `[r, nd]` (tt-matrix with two modes each).
 * @param bias `[out modes…]`, or `undefined`.
 * @param aim what the order of a factorised layer is chosen for. Default: inference.
 * @returns `[N, product(out modes)]`.
 */
export function emitTtLinear(
  b: GraphBuilder,
  x: Value,
  cores: readonly Value[],
  bias: Value | undefined,
  layer: TtLayer,
  aim: ContractionAim = INFERENCE,
): Value {
  const network = buildLayerNetwork(layer, aim.batch);
  const emitter = new ContractionEmitter(b, network.sizes, aim.trained);
  const named = cores.map((value, k) => ({ value, indices: network.cores[k]?.indices ?? [] }));
  const outFeatures = countElements(layer.outModes);
  const last = layer.outputName === undefined ? {} : { outputName: layer.outputName };
  const flatBias = bias && layer.outModes.length > 1 ? b.op('Reshape', [bias, b.ints([outFeatures])]) : bias;
  if (layer.execution === 'rebuilt') {
    const plan = planContraction(network.cores, network.sizes, network.weight);
    const dense = emitter.emitPlan(plan, named);
    const ordered = emitter.emitOrdered(dense, network.weight);
    const weight = b.op('Reshape', [ordered, b.ints([outFeatures, countElements(layer.inModes)])]);
    return b.op('Gemm', [x, weight, flatBias], { transB: 1 }, last);
  }
  const planned = network.cores.map((core) => ({ ...core, constant: !aim.trained }));
  const plan = planContraction([network.input, ...planned], network.sizes, network.output);
  const input =
    layer.inModes.length === 1
      ? { value: x, indices: network.input.indices }
      : emitter.emitReshaped(x, network.input.indices);
  const result = emitter.emitPlan(plan, [input, ...named]);
  const ordered = emitter.emitOrdered(result, network.output);
  const unbiased = flatBias ? {} : last;
  const flat =
    layer.outModes.length === 1 ? ordered : b.op('Reshape', [ordered, b.ints([-1, outFeatures])], {}, unbiased);
  return flatBias ? b.op('Add', [flat, flatBias], {}, last) : flat;
}

/** The tensor-train layers of a graph, found by the names of their cores (`PATH.tt_W0`, …, `PATH.B`). */
export function findTtDescriptors(graph: Graph): TtDescriptor[] {
  const byName = new Map([...graph.initializers].map(([value, tensor]) => [value.name, tensor.dims]));
  const first = `.${getCoreName(0)}`;
  return [...byName.keys()].flatMap((name) => {
    if (!name.endsWith(first)) return [];
    const path = name.slice(0, -first.length);
    const cores: (readonly number[])[] = [];
    for (let dims = byName.get(name); dims; dims = byName.get(`${path}.${getCoreName(cores.length)}`)) cores.push(dims);
    const features = findModuleInput(graph, path)?.type?.dims.at(-1);
    const bias = byName.get(`${path}.${BIAS_NAME}`);
    return [readTtDescriptor(path, cores, bias, typeof features === 'number' ? features : undefined)];
  });
}
