import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { findLayer, moduleInput } from '../graph/module-path.js';
import { usesOf } from '../graph/uses.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { GraphBuilder } from '../ops/builder.js';
import { attributesOf } from '../ops/table.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import { range } from '../tensor/dims.js';
import { expectFloat32, float32, type Tensor, tensor } from '../tensor/tensor.js';
import { balance } from './balance.js';
import { BIAS_NAME, coreCount, coreName, storedShape, type TtRequest, weightCount } from './modes.js';
import type { ClippedBond } from './tensor-train.js';
import {
  type ContractionAim,
  type Execution,
  emitTtLinear,
  type TtDescriptor,
  type TtLayer,
  ttDescriptorsOf,
} from './tt-layer.js';
import { decomposeWeight } from './tt-weight.js';

/** A linear layer's weight as a tensor train, and what was lost. */
export interface LinearTrain {
  readonly descriptor: TtDescriptor;
  /** Stored cores, in order. */
  readonly cores: readonly Tensor<'float32'>[];
  /** `[out modes…]`. */
  readonly bias: Tensor<'float32'> | undefined;
  /** Frobenius norm of the difference over that of the weight: as measured, and as the discarded singular values bound it. */
  readonly error: number;
  readonly bound: number;
  readonly clipped: readonly ClippedBond[];
  readonly parametersBefore: number;
  readonly parametersAfter: number;
}

/** A dense linear layer of a graph: y = x Wᵀ + b. */
interface Linear {
  readonly path: string;
  readonly x: Value;
  /** y. */
  readonly output: Value;
  /** `[out, in]`. */
  readonly weight: Tensor<'float32'>;
  readonly bias: Tensor<'float32'> | undefined;
}

function transposed(source: Tensor<'float32'>): Tensor<'float32'> {
  const [rows = 0, columns = 0] = source.dims;
  const out = new Float32Array(source.data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = source.data[i * columns + j] as number;
  return tensor('float32', [columns, rows], out);
}

/** The dense linear layer with this name. Throws when the layer is something else. */
function linearOf(graph: Graph, name: string): Linear {
  const layer = findLayer(graph, name);
  const fail = (reason: string) =>
    new ShiboriError(
      `Layer "${layer.path}" cannot be replaced by a tensor train: ${reason}. Linear layers are Gemm or MatMul with a constant weight; \`shibori summary MODEL\` lists them.`,
    );
  if (ttDescriptorsOf(graph).some(({ path }) => path === layer.path)) throw fail('it is one already');
  const node = layer.nodes.find(({ op }) => op === 'Gemm' || op === 'MatMul');
  const [x, w, b] = node?.inputs ?? [];
  const raw = w && graph.initializers.get(w);
  if (!node || !x || !raw) throw fail(`it is ${layer.nodes.map(({ op }) => op).join(', ')}`);
  if (raw.dims.length !== 2) throw fail(`its weight has dimensions [${raw.dims}]`);
  const weight = expectFloat32(raw, `The weight of layer "${layer.path}"`);
  const [product] = node.outputs;
  if (!product) throw fail('it has no output');
  if (node.op === 'MatMul') {
    // A bias comes as an Add of its own.
    const [add] = usesOf(graph).consumers(product);
    const other = add?.op === 'Add' ? add.inputs.find((value) => value !== product) : undefined;
    const bias = other && graph.initializers.get(other);
    const sum = add?.outputs[0];
    const dense = { path: layer.path, x, weight: transposed(weight) };
    return sum && bias?.dims.length === 1 && bias.dims[0] === weight.dims[1]
      ? { ...dense, output: sum, bias: expectFloat32(bias, `The bias of layer "${layer.path}"`) }
      : { ...dense, output: product, bias: undefined };
  }
  const { alpha, beta, transA, transB } = attributesOf('Gemm', node);
  if (alpha !== 1 || beta !== 1 || transA !== 0) throw fail('its Gemm scales or transposes its input');
  const bias = b && graph.initializers.get(b);
  return {
    path: layer.path,
    x,
    output: product,
    weight: transB ? weight : transposed(weight),
    bias: bias && expectFloat32(bias, `The bias of layer "${layer.path}"`),
  };
}

/**
 * Decomposes the weight of a linear layer. Neighbouring cores are balanced: training destroys unbalanced ones.
 *
 * @param name module path or unique suffix.
 * @throws UsageError for modes or bonds that do not fit, ShiboriError when the layer is not linear.
 */
export async function decomposeLinear(
  graph: Graph,
  name: string,
  request: TtRequest,
  products: MatrixProducts,
): Promise<LinearTrain> {
  const { path, weight, bias } = linearOf(graph, name);
  const [rows = 0, cols = 0] = weight.dims;
  const { shape, train } = await decomposeWeight(path, { rows, cols, data: weight.data }, request, products);
  const balanced = balance(train);
  const biasSize = bias?.data.length ?? 0;
  return {
    descriptor: { path, ...shape },
    cores: balanced.cores.map(({ data }, k) => float32(data, storedShape(shape, k))),
    bias: bias && float32(bias.data, shape.outModes),
    error: train.relativeError,
    bound: train.norm === 0 ? 0 : train.bound / train.norm,
    clipped: train.clipped,
    parametersBefore: weight.data.length + biasSize,
    parametersAfter: weightCount(shape) + biasSize,
  };
}

/** The graph with linear layers replaced by their tensor trains. */
export function replaceLinears(
  graph: Graph,
  trains: readonly LinearTrain[],
  executionOf: (path: string) => Execution,
): Graph {
  const replace = new Map<Value, Replacement>();
  for (const { descriptor, cores, bias } of trains) {
    const { x, output, path } = linearOf(graph, descriptor.path);
    replace.set(output, {
      reads: [x],
      emit([input], b) {
        const values = cores.map((core, k) => b.initializer(`${path}.${coreName(k)}`, core));
        const biasValue = bias && b.initializer(`${path}.${BIAS_NAME}`, bias);
        const layer = { ...descriptor, execution: executionOf(path), outputName: output.name };
        return emitLayer(b, input, values, biasValue, layer);
      },
    });
  }
  return rewrite(graph, { replace });
}

/**
 * The graph with these tensor-train layers running as they say; cores and biases stay as they are.
 *
 * @param aim what the order of factored layers is chosen for. Default: inference.
 */
export function withExecution(graph: Graph, layers: readonly TtLayer[], aim?: ContractionAim): Graph {
  const byName = new Map([...graph.initializers.keys()].map((value) => [value.name, value]));
  const replace = new Map<Value, Replacement>();
  for (const layer of layers) {
    const { path } = layer;
    const x = moduleInput(graph, path);
    if (!x) throw new ShiboriError(`The graph has no layer "${path}" to run in another way.`);
    const parameters = [...range(coreCount(layer)).map(coreName), BIAS_NAME].flatMap(
      (name) => byName.get(`${path}.${name}`) ?? [],
    );
    const { output } = findLayer(graph, path);
    replace.set(output, {
      reads: [x, ...parameters],
      emit([input, ...values], b) {
        const cores = values.slice(0, coreCount(layer));
        return emitLayer(b, input, cores, values[cores.length], { ...layer, outputName: output.name }, aim);
      },
    });
  }
  return rewrite(graph, { replace });
}

function emitLayer(
  b: GraphBuilder,
  x: Value | undefined,
  cores: readonly Value[],
  bias: Value | undefined,
  layer: TtLayer,
  aim?: ContractionAim,
): Value {
  if (!x) throw new ShiboriError(`Layer "${layer.path}" has no input.`);
  b.scope = layer.path;
  const y = emitTtLinear(b, x, cores, bias, layer, aim);
  b.scope = '';
  return y;
}
