import type { Graph, Node } from '../graph/model.js';
import { countElements } from '../tensor/dims.js';
import { float32, type Tensor, tensor } from '../tensor/tensor.js';
import { at } from '../values.js';
import type { ChannelAffine } from './recognisers/batch-norm.js';
import { padsInput, readConvolution } from './recognisers/convolution.js';
import { isPlainGemm, readGemm } from './recognisers/linear.js';
import { isReadOnce } from './recognisers/stored-tensor.js';

/** Describes a Conv or Gemm that may take in a scale and a shift of its input or output channels. */
export interface FoldTarget {
  readonly node: Node;
  readonly weight: Tensor<'float32'>;
  readonly bias: Tensor<'float32'> | undefined;
  /** Number of output channels. */
  readonly outputs: number;
  /** The output and the input channel of an element of the weight, by its index. */
  getChannels(index: number): { readonly out: number; readonly into: number };
  /** Whether it pads its input with zeros. */
  readonly pads: boolean;
}

/** Reads a node as the target of a fold; a string says why it is none. */
export function readFoldTarget(graph: Graph, node: Node | undefined): FoldTarget | string {
  if (node?.op !== 'Conv' && node?.op !== 'Gemm') return 'no Conv or Gemm next to it';
  const layer = node.op === 'Conv' ? readConvolution(graph, node) : readGemm(graph, node);
  if (typeof layer === 'string') return `${node.name} cannot take it in: ${layer}`;
  const { weight, storedWeight, bias, storedBias } = layer;
  if (!isReadOnce(graph, storedWeight) || (storedBias && !isReadOnce(graph, storedBias))) {
    return `the parameters of ${node.name} are not constants of its own`;
  }
  if (layer.kind === 'convolution') {
    const [outputs, each, ...kernel] = weight.dims as [number, number, ...number[]];
    const positions = countElements(kernel);
    const outputsPerGroup = outputs / layer.attributes.group;
    return {
      node,
      weight,
      bias,
      outputs,
      getChannels(index) {
        const out = Math.floor(index / (each * positions));
        const own = Math.floor(index / positions) % each;
        return { out, into: Math.floor(out / outputsPerGroup) * each + own };
      },
      pads: padsInput(layer),
    };
  }
  const { outputs } = layer;
  if (!isPlainGemm(layer)) return `${node.name} scales its product or its bias`;
  if (bias && bias.data.length !== outputs) return `the bias of ${node.name} is broadcast`;
  const columns = at(weight.dims, 1);
  const { transB } = layer.attributes;
  return {
    node,
    weight,
    bias,
    outputs,
    getChannels(index) {
      const [row, column] = [Math.floor(index / columns), index % columns];
      return transB ? { out: row, into: column } : { out: column, into: row };
    },
    pads: false,
  };
}

type FoldedParameters = Required<Pick<FoldTarget, 'weight' | 'bias'>>;

/** Returns parameters of the target with which it also does the work of a batch norm downstream of it. */
export function foldIntoUpstream(target: FoldTarget, { scale, shift }: ChannelAffine): FoldedParameters {
  const { weight, bias, outputs, getChannels } = target;
  const scaled = weight.data.map((value, index) => value * at(scale, getChannels(index).out));
  const sums = Float32Array.from({ length: outputs }, (_, o) => {
    const own = bias ? at(bias.data, o) : 0;
    return at(scale, o) * own + at(shift, o);
  });
  return toParameters(target, scaled, sums);
}

/** Returns parameters of the target with which it also does the work of a batch norm upstream of it. */
export function foldIntoDownstream(target: FoldTarget, { scale, shift }: ChannelAffine): FoldedParameters {
  const { weight, bias, outputs, getChannels } = target;
  const sums = Float64Array.from({ length: outputs }, (_, o) => (bias ? at(bias.data, o) : 0));
  weight.data.forEach((value, index) => {
    const { out, into } = getChannels(index);
    sums[out] = at(sums, out) + value * at(shift, into);
  });
  const scaled = weight.data.map((value, index) => value * at(scale, getChannels(index).into));
  return toParameters(target, scaled, Float32Array.from(sums));
}

function toParameters(
  { weight, bias, outputs }: FoldTarget,
  scaled: Float32Array<ArrayBuffer>,
  sums: Float32Array<ArrayBuffer>,
): FoldedParameters {
  return { weight: tensor('float32', weight.dims, scaled), bias: float32(sums, bias?.dims ?? [outputs]) };
}
