/**
 * Convolutions with 3×3 kernels by Winograd's minimal filtering algorithm F(2×2, 3×3): four outputs from a tile of 4×4
 * inputs with 16 products instead of 36. Source: Lavin and Gray 2016, arXiv:1509.09308, equations 8 and 13.
 *
 *   Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A,   summed over the channels between the brackets
 *
 * The three transforms are linear with small constant matrices, so that the whole convolution is standard nodes: one
 * stack of 16 matrix products `[O, C] · [C, N T]` with T tiles an image, and cheap steps around it. Because it is a
 * rewrite of the forward graph, gradients come out of the ordinary rules and need 16 products instead of 36, too.
 */
import { isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import type { GraphBuilder } from '../ops/builder.js';
import { readWindow } from '../ops/convolution.js';
import { readAttributes } from '../ops/table.js';
import { float32 } from '../tensor/tensor.js';
import type { PassResult } from './pass.js';
import { rewrite } from './rewrite.js';

type TransformMatrix = readonly (readonly number[])[];

const INPUT: TransformMatrix = [
  [1, 0, -1, 0],
  [0, 1, 1, 0],
  [0, -1, 1, 0],
  [0, 1, 0, -1],
];
const KERNEL: TransformMatrix = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
];
const OUTPUT: TransformMatrix = [
  [1, 1, 1, 0],
  [0, 1, -1, -1],
];

/**
 * With fewer channels the products that are saved hardly pay for the transforms, which write four times the input and
 * keep it for the backward pass. Forward and backward together, batch 32, one thread (AVX2), share of the time of Conv:
 * 512 channels at 4×4 0.66, at 8×8 0.57; 256 at 16×16 0.65; 128 at 32×32 0.85; 64 at 64×64 1.17. A whole step of VGG16
 * takes 0.73 of the time from 128 channels on and 0.77 from 256 on, with 180 MB less.
 */
const FEWEST_CHANNELS = 256;

/** The matrix that transforms both axes of a flattened tile at once: M ⊗ M. */
function buildKroneckerSquare(matrix: TransformMatrix): number[] {
  return matrix.flatMap((a) => matrix.flatMap((b) => a.flatMap((x) => b.map((y) => x * y))));
}

/**
 * The graph with every Conv to which F(2×2, 3×3) applies and for which it pays written that way: 3×3, stride 1, padding
 * 1, no groups, no dilation, at least 256 channels in and out, fixed dimensions, float32. Results are the same up to
 * float32 rounding. For training: where weights are constants, an engine's own convolutions are as fast.
 *
 * @param options.fewestChannels another bound than 256.
 */
export function applyWinograd(graph: Graph, options: { readonly fewestChannels?: number } = {}): PassResult {
  const fewest = options.fewestChannels ?? FEWEST_CHANNELS;
  const constants = new Map<string, Value>();
  const rewritten = rewrite(graph, {
    node(node, inputs, b) {
      const dims = node.op === 'Conv' ? findSuitableDims(node, inputs, fewest) : undefined;
      if (!dims) return undefined;
      const constant = (name: string, matrix: TransformMatrix, shape: readonly number[]): Value => {
        const found =
          constants.get(name) ??
          b.initializer(`${CONSTANT_PREFIX}winograd/${name}`, float32(buildKroneckerSquare(matrix), shape));
        constants.set(name, found);
        return found;
      };
      return [b.within(node.name, () => emitWinogradConvolution(b, inputs, dims, constant))];
    },
  });
  return { graph: rewritten, notes: [] };
}

interface WinogradDims {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly height: number;
  readonly width: number;
}

function findSuitableDims(
  node: Node,
  [x, w]: readonly (Value | undefined)[],
  fewest: number,
): WinogradDims | undefined {
  const [from, kernel] = [x?.type, w?.type];
  if (from?.dtype !== 'float32' || !kernel || !isStatic(from.dims) || !isStatic(kernel.dims)) return undefined;
  const [batch = 0, channels = 0, height = 0, width = 0] = from.dims;
  const [outputs = 0, , rows, columns] = kernel.dims;
  const attributes = readAttributes('Conv', node);
  const window = readWindow(attributes, kernel.dims.slice(2), from.dims.slice(2));
  const plain =
    kernel.dims.length === 4 &&
    rows === 3 &&
    columns === 3 &&
    attributes.group === 1 &&
    [...window.strides, ...window.dilations, ...window.pads].every((size) => size === 1);
  return plain && Math.min(channels, outputs) >= fewest ? { batch, channels, outputs, height, width } : undefined;
}

function emitWinogradConvolution(
  b: GraphBuilder,
  [x, w, bias]: readonly (Value | undefined)[],
  { batch, channels, outputs, height, width }: WinogradDims,
  constant: (name: string, matrix: TransformMatrix, shape: readonly number[]) => Value,
): Value {
  const [down, across] = [Math.ceil(height / 2), Math.ceil(width / 2)];
  const tiles = down * across;
  const shaped = (value: Value, dims: readonly number[]) => b.op('Reshape', [value, b.ints(dims)]);
  const turned = (value: Value | undefined, perm: readonly number[]) => b.op('Transpose', [value], { perm });

  // G g Gᵀ for every pair of channels: [16, O, C].
  const taps = turned(b.op('Reshape', [w, b.ints([outputs * channels, 9])]), [1, 0]);
  const kernels = shaped(b.op('MatMul', [constant('kernel', KERNEL, [16, 9]), taps]), [16, outputs, channels]);

  // Bᵀ d B for every tile is a convolution with 16 kernels of 4×4 and stride 2: [16, C, N T]. Channels come first, so
  // that each of the 16 planes is a matrix as it lies.
  const planes = shaped(turned(x, [1, 0, 2, 3]), [channels * batch, 1, height, width]);
  const seen = b.op('Conv', [planes, constant('input', INPUT, [16, 1, 4, 4])], {
    kernel_shape: [4, 4],
    strides: [2, 2],
    pads: [1, 1, 1 + (height % 2), 1 + (width % 2)],
  });
  const inputs = shaped(turned(shaped(seen, [channels * batch, 16, tiles]), [1, 0, 2]), [16, channels, batch * tiles]);

  const products = shaped(b.op('MatMul', [kernels, inputs]), [16, outputs * batch * tiles]);

  // Aᵀ m A, and the 2×2 outputs of each tile back to their places.
  const quads = shaped(b.op('MatMul', [constant('output', OUTPUT, [4, 16]), products]), [
    2,
    2,
    outputs,
    batch,
    down,
    across,
  ]);
  const whole = shaped(turned(quads, [3, 2, 4, 0, 5, 1]), [batch, outputs, 2 * down, 2 * across]);
  const odd = height % 2 === 1 || width % 2 === 1;
  const y = odd ? b.op('Slice', [whole, b.ints([0, 0]), b.ints([height, width]), b.ints([2, 3])]) : whole;
  return bias ? b.op('Add', [y, b.op('Reshape', [bias, b.ints([outputs, 1, 1])])]) : y;
}
