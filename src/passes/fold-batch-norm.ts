/*
 * In inference a batch norm is y = a x + s for each channel, a = scale / √(variance + ε), s = bias − a mean.
 *   behind a Conv or Gemm:   W' = diag(a) W,  b' = a b + s
 *   before a Gemm or Conv:   W' = W diag(a),  b' = b + W s      (a Conv that pads sees 0, not s, beyond the edge)
 */
import type { Graph, Node, Value } from '../graph/model.js';
import { getModulePath } from '../graph/module-path.js';
import { findUses } from '../graph/uses.js';
import { readAttributes } from '../ops/table.js';
import { countElements } from '../tensor/dims.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { type FoldNote, type FoldResult, findOwnTensor } from './fold.js';
import { rewrite } from './rewrite.js';

/** y = `scale` x + `shift`, one of each a channel. */
interface ChannelAffine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** A Conv or Gemm that may take something in. */
interface FoldTarget {
  readonly node: Node;
  readonly weight: Tensor<'float32'>;
  readonly bias: Tensor<'float32'> | undefined;
  readonly outputs: number;
  /** The output and the input channel of element `at` of the weight. */
  getChannels(at: number): { readonly out: number; readonly into: number };
  /** Whether it pads its input with zeros. */
  readonly pads: boolean;
}

function readChannelAffine(graph: Graph, node: Node): ChannelAffine | undefined {
  const tensors = node.inputs.slice(1).map((input) => input && graph.initializers.get(input)?.data);
  const [scale, bias, mean, variance] = tensors.map((data) => data && Float64Array.from(data, Number));
  if (!scale || !bias || !mean || !variance || node.outputs.filter(Boolean).length !== 1) return undefined;
  const { epsilon, training_mode } = readAttributes('BatchNormalization', node);
  if (training_mode === 1) return undefined;
  const factor = scale.map((value, c) => value / Math.sqrt((variance[c] ?? 0) + epsilon));
  return { scale: factor, shift: bias.map((value, c) => value - (factor[c] ?? 0) * (mean[c] ?? 0)) };
}

/** The node as a host, or why it is none. */
function readFoldTarget(graph: Graph, node: Node | undefined): FoldTarget | string {
  if (node?.op !== 'Conv' && node?.op !== 'Gemm') return 'no Conv or Gemm beside it';
  const [, w, b] = node.inputs;
  const weight = findOwnTensor(graph, w);
  const bias = findOwnTensor(graph, b);
  if (!weight || (b && !bias)) return `the parameters of ${node.name} are not constants of its own`;
  if (node.op === 'Conv') {
    const { group, pads, auto_pad } = readAttributes('Conv', node);
    const [outputs = 1, each = 1, ...kernel] = weight.dims;
    const positions = countElements(kernel);
    return {
      node,
      weight,
      bias,
      outputs,
      getChannels(at) {
        const out = Math.floor(at / (each * positions));
        const own = Math.floor(at / positions) % each;
        return { out, into: Math.floor(out / (outputs / group)) * each + own };
      },
      pads: (auto_pad !== 'NOTSET' && auto_pad !== 'VALID') || (pads ?? []).some((pad) => pad !== 0),
    };
  }
  const { alpha, beta, transA, transB } = readAttributes('Gemm', node);
  const [rows = 1, columns = 1] = weight.dims;
  const outputs = transB ? rows : columns;
  if (alpha !== 1 || beta !== 1 || transA) return `${node.name} scales or transposes its input`;
  if (bias && bias.data.length !== outputs) return `the bias of ${node.name} is broadcast`;
  return {
    node,
    weight,
    bias,
    outputs,
    getChannels(at) {
      const [row, column] = [Math.floor(at / columns), at % columns];
      return transB ? { out: row, into: column } : { out: column, into: row };
    },
    pads: false,
  };
}

interface FoldedParameters {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

function foldIntoUpstream(
  { weight, bias, outputs, getChannels: channelsOf }: FoldTarget,
  { scale, shift }: ChannelAffine,
): FoldedParameters {
  return {
    weight: weight.data.map((value, at) => value * (scale[channelsOf(at).out] ?? 0)),
    bias: Float32Array.from({ length: outputs }, (_, o) => (scale[o] ?? 0) * (bias?.data[o] ?? 0) + (shift[o] ?? 0)),
  };
}

function foldIntoDownstream(
  { weight, bias, outputs, getChannels: channelsOf }: FoldTarget,
  { scale, shift }: ChannelAffine,
): FoldedParameters {
  const sums = Float64Array.from({ length: outputs }, (_, o) => bias?.data[o] ?? 0);
  weight.data.forEach((value, at) => {
    const { out, into } = channelsOf(at);
    sums[out] = (sums[out] ?? 0) + value * (shift[into] ?? 0);
  });
  return {
    weight: weight.data.map((value, at) => value * (scale[channelsOf(at).into] ?? 0)),
    bias: Float32Array.from(sums),
  };
}

/** The graph without the batch norm `node`, whose work `host` does with these parameters. */
function removeBatchNorm(graph: Graph, node: Node, host: FoldTarget, { weight, bias }: FoldedParameters): Graph {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const [, w, b] = host.node.inputs;
  if (!x || !y) return graph;
  const dims = host.bias?.dims ?? [host.outputs];
  return rewrite(graph, {
    replace: new Map([[y, { reads: [x], emit: ([same]: readonly Value[]) => same ?? x }]]),
    initializer: (value, data) => (value === w ? float32(weight, data.dims) : value === b ? float32(bias, dims) : data),
    node: (old, inputs, builder) =>
      old === host.node && !b
        ? builder.copy(old, [
            inputs[0],
            inputs[1],
            builder.initializer(`${getModulePath(old)}.bias`, float32(bias, dims)),
          ])
        : undefined,
  });
}

/** Passes values on unchanged in inference. */
const passThroughOperators = new Set(['Identity', 'Dropout']);

/** The only reader of a value, looking through what passes it on; `undefined` when there are several, or it is an output. */
function findOnlyReader(graph: Graph, value: Value | undefined): Node | undefined {
  let current = value;
  for (;;) {
    if (!current || graph.outputs.includes(current)) return undefined;
    const [reader, second] = findUses(graph).consumers(current);
    if (!reader || second) return undefined;
    if (!passThroughOperators.has(reader.op)) return reader.inputs[0] === current ? reader : undefined;
    current = reader.outputs[0];
  }
}

function tryFoldBatchNorm(graph: Graph, node: Node): FoldResult {
  const note = (folded: boolean, text: string): FoldNote => ({ node: node.name, folded, text });
  const affine = readChannelAffine(graph, node);
  if (!affine) return { graph, notes: [note(false, 'its statistics are not constants, or those of the batch')] };
  const [x] = node.inputs;
  const producer = x && findUses(graph).producer(x);
  const upstream = readFoldTarget(graph, producer);
  const alone = x && findUses(graph).consumers(x).length === 1 && !graph.outputs.includes(x);
  if (typeof upstream === 'object' && alone) {
    return {
      graph: removeBatchNorm(graph, node, upstream, foldIntoUpstream(upstream, affine)),
      notes: [note(true, `folded into ${upstream.node.name} before it`)],
    };
  }
  const downstream = readFoldTarget(graph, findOnlyReader(graph, node.outputs[0]));
  if (typeof downstream === 'string') {
    const reason =
      typeof upstream === 'object' ? `what ${upstream.node.name} computes is read elsewhere too` : upstream;
    return { graph, notes: [note(false, `kept: ${reason}; ${downstream} (behind)`)] };
  }
  if (downstream.pads && affine.shift.some((value) => value !== 0)) {
    return { graph, notes: [note(false, `kept: ${downstream.node.name} pads with zeros, which are no shifted zeros`)] };
  }
  return {
    graph: removeBatchNorm(graph, node, downstream, foldIntoDownstream(downstream, affine)),
    notes: [note(true, `folded into ${downstream.node.name} behind it`)],
  };
}

/**
 * Folds every batch norm of an inference graph into the Conv or Gemm before it, or else behind it, where that is exact.
 * The products are float32 of float64 arithmetic.
 */
export function foldBatchNorms(graph: Graph): FoldResult {
  const notes = new Map<string, FoldNote>();
  let folded = graph;
  // One that is stuck behind another may be free once that one is gone.
  for (let before: Graph | undefined; before !== folded; ) {
    before = folded;
    for (const { name } of before.nodes.filter(({ op }) => op === 'BatchNormalization')) {
      const node = folded.nodes.find((candidate) => candidate.name === name);
      const step = node && tryFoldBatchNorm(folded, node);
      folded = step?.graph ?? folded;
      for (const note of step?.notes ?? []) notes.set(name, note);
    }
  }
  return { graph: folded, notes: [...notes.values()] };
}
