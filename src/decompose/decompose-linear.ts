import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { findLayer, findModuleInput, listLayers } from '../graph/module-path.js';
import { findUses } from '../graph/uses.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { GraphBuilder } from '../ops/builder.js';
import { findOtherReader, type LinearLayer, linearOperators, readLinear } from '../passes/recognisers/linear.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import { countElements, range } from '../tensor/dims.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { balance } from './balance.js';
import { BIAS_NAME, countCores, countCoreWeights, getCoreName, getStoredCoreDims, type TtRequest } from './modes.js';
import { emitOnRows } from './rows.js';
import type { ClippedRank } from './tensor-train.js';
import {
  type ContractionAim,
  type Execution,
  emitTtLinear,
  findTtDescriptors,
  type TtDescriptor,
  type TtLayer,
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
  readonly relativeError: number;
  readonly relativeBound: number;
  readonly clipped: readonly ClippedRank[];
  readonly parametersBefore: number;
  readonly parametersAfter: number;
}

/** The dense linear layer with this name. Throws when the layer is something else. */
function findLinearLayer(graph: Graph, name: string): LinearLayer & { readonly path: string } {
  const layer = findLayer(graph, name);
  const inside = listLayers(graph).flatMap(({ path, nodes }) =>
    path.startsWith(`${layer.path}.`) && nodes.some(({ op }) => linearOperators.has(op)) ? [path] : [],
  );
  const fail = (reason: string) => {
    const list = inside.length > 0 ? ` Inside of it are ${inside.slice(0, 8).join(', ')}.` : '';
    return new ShiboriError(
      `Layer "${layer.path}" cannot be replaced by a tensor train: ${reason}. Linear layers are Gemm or MatMul with a constant weight; \`summarize\` lists them.${list}`,
      { code: 'unsupported-model' },
    );
  };
  if (findTtDescriptors(graph).some(({ path }) => path === layer.path)) throw fail('it is one already');
  const uses = findUses(graph);
  const found = layer.nodes.map((node) => (linearOperators.has(node.op) ? readLinear(graph, node, uses) : undefined));
  const linear = found.find((each) => typeof each === 'object');
  if (!linear) {
    const reason = found.find((each) => typeof each === 'string');
    throw fail(reason ?? `it is ${[...new Set(layer.nodes.map(({ op }) => op))].join(', ')}`);
  }
  const other = findOtherReader(graph, linear.node, uses);
  if (other !== undefined) throw fail(`its weight is shared with "${other}", so that both would be stored`);
  return { ...linear, path: layer.path };
}

/**
 * Decomposes the weight of a linear layer. Neighbouring cores are balanced: training destroys unbalanced ones.
 *
 * @param name module path or unique suffix.
 * @throws UsageError for modes or ranks that do not fit, ShiboriError when the layer is not linear.
 */
export async function decomposeLinear(
  graph: Graph,
  name: string,
  request: TtRequest,
  products: MatrixProducts,
): Promise<LinearTrain> {
  const { path, weight, bias } = findLinearLayer(graph, name);
  const [rows = 0, cols = 0] = weight.dims;
  const { shape, train } = await decomposeWeight(path, { rows, cols, data: weight.data }, request, products);
  const balanced = balance(train);
  const biasSize = bias?.data.length ?? 0;
  return {
    descriptor: { path, ...shape },
    cores: balanced.cores.map(({ data }, k) => float32(data, getStoredCoreDims(shape, k))),
    bias: bias && float32(bias.data, shape.outModes),
    relativeError: train.relativeError,
    relativeBound: train.norm === 0 ? 0 : train.absoluteBound / train.norm,
    clipped: train.clipped,
    parametersBefore: weight.data.length + biasSize,
    parametersAfter: countCoreWeights(shape) + biasSize,
  };
}

/** The graph with linear layers replaced by their tensor trains. */
export function replaceLinears(
  graph: Graph,
  trains: readonly LinearTrain[],
  getExecution: (path: string) => Execution,
): Graph {
  const replace = new Map<Value, Replacement>();
  for (const { descriptor, cores, bias } of trains) {
    const { x, output, path } = findLinearLayer(graph, descriptor.path);
    replace.set(output, {
      reads: [x],
      emit([input], b) {
        const values = cores.map((core, k) => b.initializer(`${path}.${getCoreName(k)}`, core));
        const biasValue = bias && b.initializer(`${path}.${BIAS_NAME}`, bias);
        const layer = { ...descriptor, execution: getExecution(path), outputName: output.name };
        return emitTtLayer(b, input, values, biasValue, layer);
      },
    });
  }
  return rewrite(graph, { replace });
}

/**
 * The graph with these tensor-train layers running as they say; cores and biases stay as they are.
 *
 * @param aim what the order of factorised layers is chosen for. Default: inference.
 */
export function withExecution(graph: Graph, layers: readonly TtLayer[], aim?: ContractionAim): Graph {
  const byName = new Map([...graph.initializers.keys()].map((value) => [value.name, value]));
  const replace = new Map<Value, Replacement>();
  for (const layer of layers) {
    const { path } = layer;
    const x = findModuleInput(graph, path);
    if (!x)
      throw new ShiboriError(`The graph has no layer "${path}" to run in another way.`, { code: 'unsupported-model' });
    const parameters = [...range(countCores(layer)).map(getCoreName), BIAS_NAME].flatMap(
      (name) => byName.get(`${path}.${name}`) ?? [],
    );
    const { output } = findLayer(graph, path);
    replace.set(output, {
      reads: [x, ...parameters],
      emit([input, ...values], b) {
        const cores = values.slice(0, countCores(layer));
        return emitTtLayer(b, input, cores, values[cores.length], { ...layer, outputName: output.name }, aim);
      },
    });
  }
  return rewrite(graph, { replace });
}

function emitTtLayer(
  b: GraphBuilder,
  x: Value | undefined,
  cores: readonly Value[],
  bias: Value | undefined,
  layer: TtLayer,
  aim?: ContractionAim,
): Value {
  if (!x) throw new ShiboriError(`Layer "${layer.path}" has no input.`, { code: 'unsupported-model' });
  const { outputName, ...unnamed } = layer;
  return b.within(layer.path, () =>
    emitOnRows(b, x, countElements(layer.inModes), outputName, (rows, name) =>
      emitTtLinear(b, rows, cores, bias, { ...unnamed, ...defined({ outputName: name }) }, aim),
    ),
  );
}
