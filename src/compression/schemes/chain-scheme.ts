/*
 * A weight T[in, height, width, out] as a tensor train over groups of these four axes, in this order. Every core is then a
 * convolution of its own (or a Gemm): its channels are the ranks alongside it (or the layer's at the ends), its kernel the
 * spatial axes in its group.
 */
import { balance } from '../../decompose/balance.js';
import { type Core, clipRanks, reconstructTensor } from '../../decompose/tensor-train.js';
import { ShiboriError } from '../../errors.js';
import type { Value } from '../../graph/model.js';
import { matrix } from '../../linalg/matrix.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { countElements, range } from '../../tensor/dims.js';
import { float32, type Tensor, tensor } from '../../tensor/tensor.js';
import type { CompressibleLayer } from '../compressible-layers.js';
import { fitChain } from './chain-fit.js';
import type {
  DecompositionScheme,
  LayerShape,
  RankPrediction,
  SchemeInput,
  SchemeName,
} from './decomposition-scheme.js';
import type { TruncationErrors } from './truncation-errors.js';

/** An axis of a weight. */
export type WeightAxis = 'in' | 'height' | 'width' | 'out';

/** What makes one of these schemes. */
export interface ChainGroups {
  readonly name: SchemeName;
  /** The axes of each core. */
  readonly groups: readonly (readonly WeightAxis[])[];
  /** Which truncation errors bound the ranks between them. */
  readonly unfoldings: readonly (keyof TruncationErrors)[];
  findRefusal(layer: LayerShape): string | undefined;
}

/** Sizes of the four axes. */
function getAxisSizes({ inputs, outputs, kernel }: LayerShape): Readonly<Record<WeightAxis, number>> {
  return { in: inputs, height: kernel[0], width: kernel[1], out: outputs };
}

/** One factor: its convolution weight's dimensions `[out, in, height, width]`. */
function computeFactorDims({ groups }: ChainGroups, layer: LayerShape, ranks: readonly number[], k: number): number[] {
  const group = groups[k] ?? [];
  const sizes = getAxisSizes(layer);
  const has = (axis: WeightAxis): boolean => group.includes(axis);
  return [
    has('out') ? sizes.out : (ranks[k] ?? 1),
    has('in') ? sizes.in : (ranks[k - 1] ?? 1),
    has('height') ? sizes.height : 1,
    has('width') ? sizes.width : 1,
  ];
}

/** A core `[r, axes…, r′]` as the weight of its convolution, or of its Gemm for a linear layer (`[out, in]`). */
function buildFactor({ groups }: ChainGroups, layer: CompressibleLayer, core: Core, k: number): Tensor<'float32'> {
  const [before, , after] = core.dims;
  const group = groups[k] ?? [];
  const sizes = getAxisSizes(layer);
  const size = (axis: WeightAxis): number => (group.includes(axis) ? sizes[axis] : 1);
  const [ins, height, width, outs] = [size('in'), size('height'), size('width'), size('out')];
  const [inChannels, outChannels] = [before * ins, after * outs];
  if (core.data.length !== inChannels * height * width * outChannels) {
    throw new ShiboriError(`Layer "${layer.path}": core ${k} has ${core.data.length} elements, which do not fit.`, {
      code: 'unsupported-model',
    });
  }
  const data = new Float32Array(core.data.length);
  let at = 0;
  // Of rank and channel one is 1 at either end, so that their pairs count in the order of the core.
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

/**
 * ranks to look at: no one needs to tell 200 from 201. Channels of convolutions are laid out in eights; rows of a
 * matrix are not.
 */
function listRanks(most: number, kind: LayerShape['kind']): number[] {
  const ranks: number[] = [];
  for (let rank = 1; rank <= most; ) {
    ranks.push(rank);
    if (kind === 'linear') rank += rank < 64 ? 1 : rank < 192 ? 4 : 32;
    else rank += rank < 8 ? 1 : rank < 32 ? 4 : rank < 192 ? 8 : 32;
  }
  return ranks;
}

function listCombinations(lists: readonly (readonly number[])[]): number[][] {
  return lists.reduce<number[][]>((all, list) => all.flatMap((before) => list.map((rank) => [...before, rank])), [[]]);
}

/** Emits a layer as its factors: Conv or Gemm nodes, the bias at the last. */
function emitFactors(
  { groups }: ChainGroups,
  b: GraphBuilder,
  layer: CompressibleLayer,
  x: Value,
  factors: readonly Value[],
  bias: Value | undefined,
): Value {
  const { strides, pads, dilations } = layer.window;
  let y = x;
  for (const [k, factor] of factors.entries()) {
    const group = groups[k] ?? [];
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
  return y;
}

/** The scheme of these groups; factors are parameters `PATH.factor0`, …, and `PATH.bias`. */
export function createChainScheme(groups: ChainGroups): DecompositionScheme {
  const count = groups.groups.length;
  const getModes = (layer: LayerShape): number[] => {
    const sizes = getAxisSizes(layer);
    return groups.groups.map((group) => countElements(group.map((axis) => sizes[axis])));
  };
  const fitRanks: DecompositionScheme['limitRanks'] = (layer, ranks) => clipRanks(getModes(layer), ranks).bonds;

  async function predict({ layer, truncationErrors: tails }: SchemeInput): Promise<RankPrediction[]> {
    const truncationErrors = groups.unfoldings.map((bond) => tails[bond]);
    if (truncationErrors.includes(undefined)) return [];
    return listCombinations(fitRanks(layer).map((most) => listRanks(most, layer.kind))).flatMap((ranks) => {
      if (fitRanks(layer, ranks).some((rank, k) => rank !== ranks[k])) return [];
      let discardedEnergy = 0;
      for (const [k, bond] of truncationErrors.entries())
        discardedEnergy += bond?.[Math.min(ranks[k] ?? 0, bond.length - 1)] ?? 0;
      return [{ ranks, discardedEnergy }];
    });
  }

  const fit: DecompositionScheme['fit'] = async (layer, ranks, regression, output, options, products) => {
    const fitted = fitRanks(layer, ranks);
    const chain = await fitChain(regression, getModes(layer), fitted, options, products);
    const { outputs, weight } = layer;
    const last = chain.cores.at(-1);
    const cores: Core[] = chain.cores.slice(0, -1);
    if (last) {
      const rows = matrix(last.data.length / outputs, outputs, last.data);
      cores.push({ dims: last.dims, data: (await products.multiply(rows, output.inverse, {})).data });
    }
    const train = balance({ modes: chain.modes, ranks: chain.ranks, cores });
    return {
      path: layer.path,
      scheme,
      ranks: fitted,
      factors: train.cores.map((core, k) => ({ name: `factor${k}`, tensor: buildFactor(groups, layer, core, k) })),
      loss: chain.loss,
      innerCores: chain.innerCores,
      computeMap: async () => matrix(weight.rows, weight.cols, await reconstructTensor(train, products)),
    };
  };

  const scheme: DecompositionScheme = {
    name: groups.name,
    unfoldings: groups.unfoldings,
    findRefusal: (layer) => groups.findRefusal(layer),
    limitRanks: fitRanks,
    countParameters: (layer, ranks) =>
      range(count).reduce((sum, k) => sum + countElements(computeFactorDims(groups, layer, ranks, k)), 0),
    countMacs(layer, ranks) {
      let sum = 0;
      let [height, width] = layer.inputSize;
      // An axis is at the output's size from the factor on whose kernel runs along it.
      for (const [k, group] of groups.groups.entries()) {
        if (group.includes('height')) height = layer.outputSize[0];
        if (group.includes('width')) width = layer.outputSize[1];
        sum += countElements(computeFactorDims(groups, layer, ranks, k)) * height * width;
      }
      return sum;
    },
    predict,
    fit,
    buildBias: (_, values) => ({ name: 'bias', tensor: float32(values) }),
    emit: (b, layer, x, _, factors, bias) => emitFactors(groups, b, layer, x, factors, bias),
  };
  return scheme;
}
