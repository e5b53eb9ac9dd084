/*
 * A convolution's weight T[in, height, width, out] as a tensor train over groups of these four axes, in this order. Every
 * core is then a convolution of its own: its channels are the bonds beside it (or the layer's at the ends), its kernel
 * the spatial axes in its group. One bond: a singular value decomposition.
 *   svd        in·height·width | out           k×k to r channels, 1×1        (Denton et al. 2014, arXiv:1404.0736)
 *   svd-input  in | height·width·out           1×1 to r channels, k×k
 *   spatial    in·height | width·out           k×1 to r channels, 1×k        (Jaderberg et al. 2014, arXiv:1405.3866)
 *   tucker2    in | height·width | out         1×1, k×k, 1×1                 (Kim et al. 2015, arXiv:1511.06530)
 *   tt-conv    in | height | width | out       1×1, k×1, 1×k, 1×1            (Oseledets 2011, on the kernel's own axes)
 */

import { type Core, fitBonds } from '../decompose/tensor-train.js';
import { ShiboriError } from '../errors.js';
import type { Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { range, sizeOf } from '../tensor/dims.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { SqueezeLayer } from './squeeze-layer.js';

/** An axis of a weight. */
export type Axis = 'in' | 'height' | 'width' | 'out';

export type SchemeName = 'svd' | 'svd-input' | 'spatial' | 'tucker2' | 'tt-conv';

/** What of a layer a scheme looks at. */
export type LayerShape = Pick<SqueezeLayer, 'inputs' | 'outputs' | 'kernel' | 'inputSize' | 'outputSize'>;

/** One way of taking a weight apart. */
export interface Scheme {
  readonly name: SchemeName;
  /** The axes of each core. */
  readonly groups: readonly (readonly Axis[])[];
  /** Why the scheme makes no sense for a layer; `undefined` when it does. */
  refuses(layer: LayerShape): string | undefined;
}

const anyLayer = (): undefined => undefined;
const spatialKernel = ({ kernel }: LayerShape): string | undefined =>
  sizeOf(kernel) > 1 ? undefined : 'its kernel is 1×1';
const twoSided = ({ kernel }: LayerShape): string | undefined =>
  kernel[0] > 1 && kernel[1] > 1 ? undefined : 'its kernel is one pixel high or wide';

/** The schemes by name. */
export const schemes: Readonly<Record<SchemeName, Scheme>> = {
  svd: { name: 'svd', groups: [['in', 'height', 'width'], ['out']], refuses: anyLayer },
  'svd-input': { name: 'svd-input', groups: [['in'], ['height', 'width', 'out']], refuses: spatialKernel },
  spatial: {
    name: 'spatial',
    groups: [
      ['in', 'height'],
      ['width', 'out'],
    ],
    refuses: twoSided,
  },
  tucker2: { name: 'tucker2', groups: [['in'], ['height', 'width'], ['out']], refuses: spatialKernel },
  'tt-conv': { name: 'tt-conv', groups: [['in'], ['height'], ['width'], ['out']], refuses: twoSided },
};

/** Sizes of the four axes. */
function axisSizes({ inputs, outputs, kernel }: LayerShape): Readonly<Record<Axis, number>> {
  return { in: inputs, height: kernel[0], width: kernel[1], out: outputs };
}

/** The modes of the train: the product of each group's axes. */
export function schemeModes(scheme: Scheme, layer: LayerShape): number[] {
  const sizes = axisSizes(layer);
  return scheme.groups.map((group) => sizeOf(group.map((axis) => sizes[axis])));
}

/** Ranks cut to what the weight's unfoldings allow. */
export function fitRanks(scheme: Scheme, layer: LayerShape, ranks?: readonly number[]): number[] {
  return fitBonds(schemeModes(scheme, layer), ranks).bonds;
}

/** One factor: its convolution weight's dimensions `[out, in, height, width]`. */
function factorDims(scheme: Scheme, layer: LayerShape, ranks: readonly number[], k: number): number[] {
  const group = scheme.groups[k] ?? [];
  const sizes = axisSizes(layer);
  const has = (axis: Axis): boolean => group.includes(axis);
  return [
    has('out') ? sizes.out : (ranks[k] ?? 1),
    has('in') ? sizes.in : (ranks[k - 1] ?? 1),
    has('height') ? sizes.height : 1,
    has('width') ? sizes.width : 1,
  ];
}

/** Number of weights of all factors, the bias not counted. */
export function schemeParameters(scheme: Scheme, layer: LayerShape, ranks: readonly number[]): number {
  return range(scheme.groups.length).reduce((sum, k) => sum + sizeOf(factorDims(scheme, layer, ranks, k)), 0);
}

/** Multiply-adds of one image. An axis is at the output's size from the factor on whose kernel runs along it. */
export function schemeMultiplyAdds(scheme: Scheme, layer: LayerShape, ranks: readonly number[]): number {
  let sum = 0;
  let [height, width] = layer.inputSize;
  for (const [k, group] of scheme.groups.entries()) {
    if (group.includes('height')) height = layer.outputSize[0];
    if (group.includes('width')) width = layer.outputSize[1];
    sum += sizeOf(factorDims(scheme, layer, ranks, k)) * height * width;
  }
  return sum;
}

/** A core `[r, axes…, r′]` as the weight of its convolution, or of its Gemm for a linear layer (`[out, in]`). */
export function factorOf(scheme: Scheme, layer: SqueezeLayer, core: Core, k: number): Tensor<'float32'> {
  const [before, , after] = core.dims;
  const group = scheme.groups[k] ?? [];
  const sizes = axisSizes(layer);
  const size = (axis: Axis): number => (group.includes(axis) ? sizes[axis] : 1);
  const [ins, height, width, outs] = [size('in'), size('height'), size('width'), size('out')];
  const [inChannels, outChannels] = [before * ins, after * outs];
  if (core.data.length !== inChannels * height * width * outChannels) {
    throw new ShiboriError(`Layer "${layer.path}": core ${k} has ${core.data.length} elements, which do not fit.`);
  }
  const data = new Float32Array(core.data.length);
  let at = 0;
  // Of bond and channel one is 1 at either end, so that their pairs count in the order of the core.
  for (let c = 0; c < inChannels; c++) {
    for (let h = 0; h < height; h++) {
      for (let w = 0; w < width; w++) {
        for (let o = 0; o < outChannels; o++) {
          data[((o * inChannels + c) * height + h) * width + w] = core.data[at++] as number;
        }
      }
    }
  }
  const dims = layer.kind === 'linear' ? [outChannels, inChannels] : [outChannels, inChannels, height, width];
  return tensor('float32', dims, data);
}

/** Name of a factor's parameter below the layer's path: `factor0`, `factor1`, … */
export const factorName = (k: number): string => `factor${k}`;

/**
 * Emits a layer as its factors, under the layer's path: Conv or Gemm nodes, the bias at the last.
 *
 * @param x `[N, C, H, W]`, or `[N, C]` for a linear layer.
 * @param factors as `factorOf` gives them.
 * @param bias `[O]`.
 */
export function emitFactors(
  b: GraphBuilder,
  scheme: Scheme,
  layer: SqueezeLayer,
  x: Value,
  factors: readonly Value[],
  bias: Value | undefined,
): Value {
  const { strides, pads, dilations } = layer.window;
  const outer = b.scope;
  b.scope = layer.path;
  let y = x;
  for (const [k, factor] of factors.entries()) {
    const group = scheme.groups[k] ?? [];
    const isLast = k === factors.length - 1;
    const last = isLast ? bias : undefined;
    // Whoever reads the layer, or the graph's outputs, by name finds it under the name that it had.
    const named = isLast ? { outputName: layer.output.name } : {};
    if (layer.kind === 'linear') {
      y = b.op('Gemm', [y, factor, last], { transB: 1 }, named);
      continue;
    }
    const along = (axis: 0 | 1, value: number | undefined, otherwise: number): number =>
      group.includes(axis === 0 ? 'height' : 'width') ? (value ?? otherwise) : otherwise;
    const attributes = {
      kernel_shape: (factor.type?.dims ?? []).slice(2).map(Number),
      strides: [along(0, strides[0], 1), along(1, strides[1], 1)],
      pads: [along(0, pads[0], 0), along(1, pads[1], 0), along(0, pads[2], 0), along(1, pads[3], 0)],
      dilations: [along(0, dilations[0], 1), along(1, dilations[1], 1)],
    };
    y = b.op('Conv', [y, factor, last], attributes, named);
  }
  b.scope = outer;
  return y;
}
