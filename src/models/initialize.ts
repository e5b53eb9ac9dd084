/*
 * Fresh parameters, as PyTorch's layers and torchvision's models begin with.
 *
 *   Conv               normal, variance 2 / fan-out (He et al. 2015, arXiv:1502.01852), bias 0: torchvision's ResNet, VGG
 *   Gemm, MatMul       uniform in ±1/√fan-in, weight and bias: nn.Linear
 *   normalisations     scale 1, bias 0, running mean 0, running variance 1
 *   PRelu              slope 0.25
 *   tensor trains      normal cores whose dense weight has nn.Linear's variance, bias 0
 *   other vectors      what is added 0, what is multiplied with 1
 *   other tensors      normal with deviation 0.02: embeddings, as torchvision's vision transformers
 */
import { findTtDescriptors } from '../decompose/tt-layer.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { getParameterModule, listParameters } from '../graph/parameters.js';
import { findReachable, findUses } from '../graph/uses.js';
import { rewrite } from '../passes/rewrite.js';
import { countElements } from '../tensor/dims.js';
import { type RandomStream, seeded } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Second key of the random streams that fresh parameters are drawn from; a training's own are others. */
const INITIAL_STREAM = 4;

/** Fills a tensor of these dimensions. */
export type Initializer = (dims: readonly number[], random: RandomStream) => Tensor<'float32'>;

/** Everything the same number. */
export const constantInitializer =
  (value: number): Initializer =>
  (dims) =>
    tensor('float32', dims, new Float32Array(countElements(dims)).fill(value));

/** Normally distributed numbers around 0 (Box and Muller 1958). */
export const normalInitializer =
  (deviation: number): Initializer =>
  (dims, random) => {
    const values = new Float32Array(countElements(dims));
    for (let i = 0; i < values.length; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
      values[i] = deviation * radius * Math.cos(2 * Math.PI * random.uniform());
    }
    return tensor('float32', dims, values);
  };

/** Numbers from −bound to bound. */
export const uniformInitializer =
  (bound: number): Initializer =>
  (dims, random) => {
    const values = new Float32Array(countElements(dims));
    for (let i = 0; i < values.length; i++) values[i] = random.uniform(-bound, bound);
    return tensor('float32', dims, values);
  };

/** `torch.nn.Linear`'s, for weight and bias: `kaiming_uniform_` with a = √5 is a bound of 1/√fan-in. */
export const linearInitializer = (fanIn: number): Initializer => uniformInitializer(1 / Math.sqrt(Math.max(1, fanIn)));

/** The stream that a seed gives to the parameter at a position. */
export const createInitialStream = (seed: number, position: number): RandomStream =>
  seeded(seed, INITIAL_STREAM, position);

const NORMALISATIONS = new Set([
  'BatchNormalization',
  'InstanceNormalization',
  'LayerNormalization',
  'GroupNormalization',
]);
/** Operators that give a weight another shape on its way. */
const RESHAPING = new Set(['Transpose', 'Reshape', 'Identity', 'Cast', 'Unsqueeze', 'Squeeze']);

const getLastDim = (value: Value | undefined, back: number) => Number(value?.type?.dims.at(-back)) || 1;

/** What a node says about the initializer it reads at a position; `undefined` where it says nothing. */
type InitializerRule = (node: Node, value: Value, dims: readonly number[]) => Initializer | undefined;

const initializerRules: Readonly<Record<string, InitializerRule>> = {
  Conv: chooseConvolutionInitializer,
  ConvTranspose: chooseConvolutionInitializer,
  Gemm: (node) => {
    const transposed = node.attributes.transB?.value === 1;
    return linearInitializer(getLastDim(node.inputs[1], transposed ? 1 : 2));
  },
  MatMul: (node, value) => (node.inputs[1] === value ? linearInitializer(getLastDim(value, 2)) : undefined),
  PRelu: (node, value) => (node.inputs[1] === value ? constantInitializer(0.25) : undefined),
};

function chooseConvolutionInitializer(node: Node, value: Value, dims: readonly number[]): Initializer | undefined {
  if (node.inputs[1] !== value) return constantInitializer(0);
  // As `kaiming_normal_(mode='fan_out')` counts it, groups or not.
  return normalInitializer(Math.sqrt(2 / ((dims[0] ?? 1) * countElements(dims.slice(2)))));
}

function chooseNormalisationInitializer(node: Node, value: Value): Initializer {
  const at = node.inputs.indexOf(value);
  return constantInitializer(at === 1 || at === 4 ? 1 : 0);
}

/** Finds out how each parameter of a graph begins. */
class InitializerFinder {
  readonly #uses;
  /** Values that some weighted operator acted on: what is computed with before belongs to the preprocessing. */
  readonly #weighted: ReadonlySet<Value>;
  readonly #cores: ReadonlyMap<string, Initializer>;

  constructor(graph: Graph) {
    this.#uses = findUses(graph);
    const heavy = graph.nodes.filter(({ op }) => ['Conv', 'ConvTranspose', 'Gemm', 'MatMul'].includes(op));
    this.#weighted = findReachable(
      graph,
      heavy.flatMap(({ outputs }) => outputs.flatMap((output) => output ?? [])),
    );
    const cores = findTtDescriptors(graph).map(({ path, inModes, bonds, outModes, layout }) => {
      const count = layout === 'tt' ? outModes.length + inModes.length : inModes.length;
      const variance = 1 / (3 * countElements(inModes) * countElements(bonds));
      return [path, normalInitializer(variance ** (1 / (2 * count)))] as const;
    });
    this.#cores = new Map(cores);
  }

  find(name: string, value: Value, dims: readonly number[]): Initializer | undefined {
    const core = this.#cores.get(getParameterModule(name));
    if (core) return name.includes('.tt_W') ? core : constantInitializer(0);
    for (const node of this.#uses.consumers(value)) {
      const [output] = node.outputs;
      if (RESHAPING.has(node.op) && output) {
        const found = this.find(name, output, dims);
        if (found) return found;
      }
      const role = NORMALISATIONS.has(node.op) ? chooseNormalisationInitializer : initializerRules[node.op];
      const found = role?.(node, value, dims) ?? this.#findElementwise(node, value, dims);
      if (found) return found;
    }
    return undefined;
  }

  #findElementwise(node: Node, value: Value, dims: readonly number[]): Initializer | undefined {
    if (node.op !== 'Add' && node.op !== 'Mul') return undefined;
    const other = node.inputs.find((input) => input !== value);
    // One number for all is a constant of the architecture (1/√d of attention).
    if (!other || countElements(dims) === 1 || !this.#weighted.has(other)) return undefined;
    const isVector = countElements(dims) === Math.max(...dims);
    if (!isVector) return normalInitializer(0.02);
    if (node.op === 'Mul') return constantInitializer(1);
    const producer = this.#uses.producer(other);
    return producer?.op === 'MatMul' ? linearInitializer(getLastDim(producer.inputs[1], 2)) : constantInitializer(0);
  }
}

/**
 * The graph with fresh parameters and running statistics, drawn from streams of the seed: see the table at the head of
 * this file. What tells nothing of its use, as constants of the preprocessing, stays as it is.
 *
 * @returns the graph, and the names of the parameters that stayed.
 */
export function reinitialize(graph: Graph, seed: number): { readonly graph: Graph; readonly kept: readonly string[] } {
  const finder = new InitializerFinder(graph);
  const fresh = new Map<Value, Tensor>();
  const kept: string[] = [];
  for (const [position, { value, name, tensor: old }] of listParameters(graph).entries()) {
    const initializer = old.dtype === 'float32' ? finder.find(name, value, old.dims) : undefined;
    if (initializer) fresh.set(value, initializer(old.dims, createInitialStream(seed, position)));
    else kept.push(name);
  }
  return { graph: rewrite(graph, { initializer: (value, old) => fresh.get(value) ?? old }), kept };
}
