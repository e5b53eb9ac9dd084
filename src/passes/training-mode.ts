import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { findReachable } from '../graph/uses.js';
import type { GraphBuilder } from '../ops/builder.js';
import { readAttributes } from '../ops/table.js';
import { countElements, range } from '../tensor/dims.js';
import { startRewrite } from './rewrite.js';

/** A random mask that a Dropout node needs in training: zeros with probability `ratio`, otherwise 1 / (1 − ratio). */
export interface DropoutMask {
  /** Name of the graph input that it is fed to. */
  readonly name: string;
  readonly dims: readonly number[];
  readonly ratio: number;
}

/** A running statistic that a training step updates. */
export interface StatisticUpdate {
  /** Name of the initializer in the inference graph; the training graph takes it as an input of that name. */
  readonly name: string;
  /** The value that holds it after the step. */
  readonly updated: Value;
}

/**
 * Which statistics BatchNormalization normalises with: those of the batch, which update the running ones (`train`), or
 * the running ones, which stay as they are (`frozen`).
 */
export type BatchNormMode = 'train' | 'frozen';

/** What is particular about a training's forward pass. */
export interface TrainingModeOptions {
  /** Default: `train`. */
  readonly batchNorm?: BatchNormMode | undefined;
  /** `false`: Dropout passes everything on, as in inference. Default: true. */
  readonly dropout?: boolean | undefined;
}

/** A graph in training mode, still open for a loss and gradients. */
export interface TrainingModeGraph {
  readonly builder: GraphBuilder;
  /** The new value of one of the inference graph. */
  mapValue(old: Value): Value;
  readonly masks: readonly DropoutMask[];
  readonly statistics: readonly StatisticUpdate[];
}

function readDropoutRatio(graph: Graph, node: Node): number {
  const ratio = node.inputs[1];
  if (!ratio) return 0.5;
  const known = graph.initializers.get(ratio)?.data[0];
  if (known === undefined)
    throw new ShiboriError(`Node "${node.name}" (Dropout): its ratio must be a constant to be trained.`, {
      code: 'unsupported-model',
      node: node.name,
    });
  if (!(Number(known) >= 0 && Number(known) < 1)) {
    throw new ShiboriError(`Node "${node.name}" (Dropout): its ratio must be at least 0 and below 1, found ${known}.`, {
      code: 'unsupported-model',
      node: node.name,
    });
  }
  return Number(known);
}

/**
 * Rewrites an inference graph for training: the trained initializers become inputs, and of the nodes that depend on
 * them BatchNormalization normalises with the batch's statistics and updates the running ones (inputs, too), and Dropout
 * multiplies with a mask that is fed. Everything else computes as it does in inference.
 *
 * Batch normalisation is written out in primitives because runtimes disagree with PyTorch: ONNX Runtime updates the
 * running variance with the biased variance of the batch, PyTorch with the unbiased one (Ioffe and Szegedy 2015,
 * arXiv:1502.03167, algorithm 2). ONNX's momentum weighs the old value, PyTorch's the new.
 *
 * @param graph its input dimensions must be fixed.
 * @param trained initializers of `graph`.
 * @param options with `batchNorm: 'frozen'` normalisations compute as in inference; their scale and bias may be trained all
 *   the same.
 * @throws ShiboriError when a ratio is not constant, when a batch gives a channel one value only, or when two
 *   normalisations update the same running statistics.
 */
export function startTrainingMode(
  graph: Graph,
  trained: readonly Value[],
  { batchNorm = 'train', dropout = true }: TrainingModeOptions = {},
): TrainingModeGraph {
  const masks: DropoutMask[] = [];
  const statistics: StatisticUpdate[] = [];
  const reached = findReachable(graph, trained);
  const trains = (node: Node) => node.outputs.some((output) => output && reached.has(output));
  const normalises = (node: Node) => batchNorm === 'train' && node.op === 'BatchNormalization' && trains(node);
  const running = new Map<Value, Node>();
  for (const node of graph.nodes) {
    if (!normalises(node)) continue;
    for (const value of node.inputs.slice(3)) {
      if (!value) continue;
      const other = running.get(value);
      if (other) {
        throw new ShiboriError(
          `Nodes "${other.name}" and "${node.name}" (BatchNormalization) both update "${value.name}": a module that is used twice cannot be trained. Freeze it.`,
          { code: 'unsupported-model', node: node.name },
        );
      }
      running.set(value, node);
    }
  }
  const rewriting = startRewrite(graph, {
    cutAt: [...trained, ...running.keys()],
    node(node, inputs, b) {
      if (!trains(node)) return undefined;
      if (normalises(node)) return [emitTrainedBatchNormalization(node, inputs, b, statistics)];
      if (node.op !== 'Dropout' || !dropout) return undefined;
      const [x] = inputs;
      const ratio = readDropoutRatio(graph, node);
      if (!x?.type || !isStatic(x.type.dims)) {
        throw new ShiboriError(`Node "${node.name}" (Dropout): its dimensions must be fixed.`, {
          code: 'unsupported-model',
          node: node.name,
        });
      }
      if (ratio === 0) return [x];
      const mask = { name: `mask/${node.name}`, dims: x.type.dims, ratio };
      masks.push(mask);
      return [b.op('Mul', [x, b.input(mask.name, 'float32', mask.dims)], {}, { name: node.name })];
    },
  });
  return { ...rewriting, masks, statistics };
}

function emitTrainedBatchNormalization(
  node: Node,
  [x, scale, bias, mean, variance]: readonly (Value | undefined)[],
  b: GraphBuilder,
  statistics: StatisticUpdate[],
): Value {
  const dims = x?.type?.dims;
  const [, , , meanName, varianceName] = node.inputs;
  if (!x || !scale || !bias || !mean || !variance || !meanName || !varianceName || !dims || !isStatic(dims)) {
    throw new ShiboriError(
      `Node "${node.name}" (BatchNormalization): its inputs must be complete and their dimensions fixed.`,
      { code: 'unsupported-model', node: node.name },
    );
  }
  const { epsilon, momentum } = readAttributes('BatchNormalization', node);
  const channels = dims[1] ?? 1;
  const count = countElements(dims) / channels;
  if (count < 2) {
    throw new ShiboriError(
      `Node "${node.name}" (BatchNormalization): training needs more than one value per channel; use a batch of at least 2.`,
      { code: 'unsupported-model', node: node.name },
    );
  }
  const axes = b.ints(range(dims.length).filter((axis) => axis !== 1));
  const perChannel = b.ints([1, channels, ...dims.slice(2).map(() => 1)]);
  const shaped = (value: Value) => (dims.length === 2 ? value : b.op('Reshape', [value, perChannel]));
  return b.within(node.name, () => {
    const batchMean = b.op('ReduceMean', [x, axes], { keepdims: 1 });
    const centered = b.op('Sub', [x, batchMean]);
    const batchVariance = b.op('ReduceMean', [b.op('Mul', [centered, centered]), axes], { keepdims: 1 });
    const deviation = b.op('Sqrt', [b.op('Add', [batchVariance, b.scalar(epsilon)])]);
    // Scale and deviation are joined first: one product over all elements less, and fewer in the gradient.
    const gain = b.op('Div', [shaped(scale), deviation]);
    const y = b.op('Add', [b.op('Mul', [centered, gain]), shaped(bias)]);
    const flat = b.ints([channels]);
    const blend = (old: Value, fresh: Value, factor: number) =>
      b.op('Add', [
        b.op('Mul', [old, b.scalar(momentum)]),
        b.op('Mul', [b.op('Reshape', [fresh, flat]), b.scalar((1 - momentum) * factor)]),
      ]);
    statistics.push(
      { name: meanName.name, updated: blend(mean, batchMean, 1) },
      { name: varianceName.name, updated: blend(variance, batchVariance, count / (count - 1)) },
    );
    return y;
  });
}
