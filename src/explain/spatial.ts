/*
 * Activations that lie on a grid over the image, in the layouts that classifiers have them: `[N, C, H, W]` of
 * convolutional networks, `[N, H, W, C]` of Swin and Keras, and the tokens `[N, T, C]` of vision transformers, one for
 * each patch in rows, after up to two that belong to no patch (class, distillation).
 */
import type { Graph, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import type { ChannelAxes } from './channel-axis.js';

/** An activation as maps over the image. */
export interface Grid {
  readonly layout: 'channels-first' | 'channels-last' | 'tokens';
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Tokens before those of the patches: 0, 1 (class) or 2 (class and distillation). */
  readonly prefix: number;
}

type Size = readonly [height: number, width: number];

/** Tokens that may stand before those of the patches. */
const PREFIXES = [0, 1, 2];

/** The sizes that patches may have been arranged in: each known grid, halved as often as stages merge their patches. */
function halvings([height, width]: Size): Size[] {
  const sizes: Size[] = [[height, width]];
  for (let h = height / 2, w = width / 2; Number.isInteger(h) && Number.isInteger(w); h /= 2, w /= 2)
    sizes.push([h, w]);
  return sizes;
}

/**
 * Height and width of the patches of `count` tokens, and how many tokens stand before them: the grid of a convolution
 * before, or such a grid halved, or a square. `undefined` when nothing fits.
 */
function patchesOf(count: number, convolved: readonly Size[]): { size: Size; prefix: number } | undefined {
  const root = (n: number): Size => [Math.round(Math.sqrt(n)), Math.round(Math.sqrt(n))];
  const guesses: ((n: number) => readonly Size[])[] = [
    () => convolved,
    () => convolved.flatMap(halvings),
    (n) => [root(n)],
  ];
  for (const guess of guesses) {
    for (const prefix of PREFIXES) {
      const size = guess(count - prefix).find(([h, w]) => h * w === count - prefix);
      if (size) return { size, prefix };
    }
  }
  return undefined;
}

/** Tells of each value of a typed graph whether it is a grid. Sizes must be fixed, the batch may be a symbol. */
export function gridsOf(graph: Graph, axes: ChannelAxes): (value: Value) => Grid | undefined {
  const batch = graph.inputs[0]?.type?.dims[0];
  const grid = (value: Value, convolved: readonly Size[]): Grid | undefined => {
    const [first, ...sizes] = value.type?.dims ?? [];
    const axis = axes.axisOf(value);
    if (first !== batch || axes.isAttention(value)) return undefined;
    const [a, b, c] = sizes;
    if (typeof a !== 'number' || typeof b !== 'number') return undefined;
    if (sizes.length === 2) {
      const patches = axis === 2 ? patchesOf(a, convolved) : undefined;
      if (!patches || a - patches.prefix < 2) return undefined;
      const { size, prefix } = patches;
      return { layout: 'tokens', channels: b, height: size[0], width: size[1], prefix };
    }
    if (sizes.length !== 3 || typeof c !== 'number') return undefined;
    if (axis === 1 && b * c > 1) return { layout: 'channels-first', channels: a, height: b, width: c, prefix: 0 };
    if (axis === 3 && a * b > 1) return { layout: 'channels-last', channels: c, height: a, width: b, prefix: 0 };
    return undefined;
  };
  const convolved: Size[] = [];
  for (const { op, outputs } of graph.nodes) {
    const found = op === 'Conv' && outputs[0] ? grid(outputs[0], []) : undefined;
    // The last one first: a stem of several convolutions ends in the grid of patches.
    if (found) convolved.unshift([found.height, found.width]);
  }
  return (value) => grid(value, convolved);
}

/** Adds what lays a grid out as `[N, C, H, W]`; tokens of no patch are left out. */
export function toChannelsFirst(b: GraphBuilder, value: Value, grid: Grid, batch: number): Value {
  const { layout, channels, height, width, prefix } = grid;
  if (layout === 'channels-first') return value;
  if (layout === 'channels-last') return b.op('Transpose', [value], { perm: [0, 3, 1, 2] });
  const end = prefix + height * width;
  const patches = prefix === 0 ? value : b.op('Slice', [value, b.ints([prefix]), b.ints([end]), b.ints([1])]);
  const transposed = b.op('Transpose', [patches], { perm: [0, 2, 1] });
  return b.op('Reshape', [transposed, b.ints([batch, channels, height, width])]);
}
