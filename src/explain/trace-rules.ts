/* How operators that compute carry places from their inputs to their outputs, see `trace.ts`. */
import type { Node } from '../graph/model.js';
import { activation } from '../ops/activation.js';
import { parseEinsum } from '../ops/einsum.js';
import { elementwise as elementwiseOps } from '../ops/elementwise.js';
import { normalization } from '../ops/normalization.js';
import { quantization } from '../ops/quantization.js';
import { readAttributes } from '../ops/table.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import {
  type AxisPlaces,
  createMapPlaces,
  createPlaceless,
  isLost,
  type Places,
  ROW_STRIDE,
  type TracedPlaces,
  unifyPlaces,
  withAxis,
} from './places.js';
import { createFirstInputRule, moveRules, type TraceContext, type TraceRule } from './trace-moves.js';

/** An element from those at its own place; where only some places are known, a residual connection brings them back. */
const elementwise: TraceRule = (c) => {
  const sizes = c.findOutputSizes(0);
  const parts = c.inputs.filter((input): input is Places => input !== undefined && !isLost(input));
  if (parts.length === 0) return [c.inputs.find(isLost)];
  if (!sizes) return [c.lose('has an output of unknown size')];
  return [unifyPlaces(sizes, parts) ?? c.lose('combines tokens of different places')];
};

/** Whether axes 2 and 3 are rows and columns, as far as they have places. */
function isMap({ axes }: Places): boolean {
  const [rows, columns] = [axes[2], axes[3]];
  const steps = (axis: AxisPlaces) => axis?.map((place) => place - (axis[0] as number)) ?? [];
  return (
    steps(rows).every((step) => step % ROW_STRIDE === 0) && steps(columns).every((step) => Math.abs(step) < ROW_STRIDE)
  );
}

/** A new map of its own size, as convolutions, pools and resampling make. */
const newMap: TraceRule = (c) => {
  const [first] = c.inputs;
  const sizes = c.findOutputSizes(0);
  if (!sizes) return [c.lose('has an output of unknown size')];
  if (first && !isLost(first)) {
    const kept = sizes.length === 3 && first.axes[2]?.length === sizes[2];
    if (kept) return [withAxis(first, 1, undefined, sizes[1] as number)];
    if (sizes.length === 3 ? first.axes[2] : !isMap(first)) return [c.lose('is a window over tokens')];
  }
  return [sizes.length === 4 ? createMapPlaces(sizes, 2, 3) : createPlaceless(sizes)];
};

const convolution: TraceRule = (c) => {
  const [first] = c.inputs;
  const { strides, pads, kernel_shape } = readAttributes('Conv', c.node);
  const kernel = c.findInputSizes(1)?.slice(2) ?? kernel_shape ?? [];
  const pointwise = [...kernel, ...(strides ?? [])].every((size) => size === 1) && !pads?.some((pad) => pad !== 0);
  const channels = c.findOutputSizes(0)?.[1];
  if (!pointwise || !first || isLost(first) || !channels) return newMap(c);
  return [withAxis(first, 1, undefined, channels)];
};

const reduce = createFirstInputRule((places, sizes, { node, findConstant: constant }) => {
  const attribute = node.attributes.axes;
  const listed = attribute?.type === 'ints' ? attribute.value : constant(1);
  const rank = places.sizes.length;
  const axes = listed && listed.length > 0 ? listed.map((axis) => normalizeAxis(axis, rank)) : range(rank);
  const left = places.axes.map((axis, k) => (axes.includes(k) ? undefined : axis));
  return { ...places, sizes, axes: sizes.length === rank ? left : left.filter((_, k) => !axes.includes(k)) };
});

/** Of a product, rows are those of the left and columns those of the right; what is summed over has gone. */
function traceProduct(
  left: TracedPlaces,
  right: TracedPlaces,
  rows: number,
  columns: number,
  c: TraceContext,
): TracedPlaces {
  const sizes = c.findOutputSizes(0);
  if (isLost(left) || !sizes) return left ?? c.lose('has an output of unknown size');
  const factors = [left, isLost(right) ? undefined : right];
  const batch = factors.flatMap((factor) => {
    if (!factor) return [];
    const outer = factor.axes.map((axis, k) => (k < factor.axes.length - 2 ? axis : undefined));
    return [
      {
        sizes: factor.sizes.map((size, k) => (k < factor.sizes.length - 2 ? size : 1)),
        axes: outer,
        offset: factor.offset,
      },
    ];
  });
  const outer = unifyPlaces(sizes, batch);
  if (!outer) return c.lose('combines tokens of different places');
  const row = withAxis(outer, sizes.length - 2, factors[0]?.axes.at(rows), sizes.at(-2) as number);
  return withAxis(row, sizes.length - 1, factors[1]?.axes.at(columns), sizes.at(-1) as number);
}

const matMul: TraceRule = (c) => {
  const [left, right] = c.inputs;
  const ranks = [c.findInputSizes(0)?.length ?? 0, c.findInputSizes(1)?.length ?? 0];
  return [ranks.some((rank) => rank < 2) ? c.lose('is a product with a vector') : traceProduct(left, right, -2, -1, c)];
};

const gemm: TraceRule = (c) => {
  const { transA, transB } = readAttributes('Gemm', c.node);
  return [traceProduct(c.inputs[0], c.inputs[1], transA ? -1 : -2, transB ? -2 : -1, c)];
};

const einsum: TraceRule = (c) => {
  const sizes = c.findOutputSizes(0);
  const lost = c.inputs.find(isLost);
  if (lost || !sizes) return [lost ?? c.lose('has an output of unknown size')];
  const ranks = c.inputs.map((_, i) => c.findInputSizes(i)?.length ?? 0);
  const { inputs, output } = parseEinsum(readAttributes('Einsum', c.node).equation, ranks);
  const parts = c.inputs.flatMap((places, i): Places[] => {
    if (!places || isLost(places)) return [];
    const at = output.map((label) => inputs[i]?.indexOf(label) ?? -1);
    return [{ sizes, axes: at.map((axis) => (axis < 0 ? undefined : places.axes[axis])), offset: places.offset }];
  });
  return [unifyPlaces(sizes, parts) ?? c.lose('combines tokens of different places')];
};

const ownPlace = { ...elementwiseOps, ...activation, ...normalization, ...quantization };

/** One entry for each channel, of the whole map. */
const globalPool = createFirstInputRule((_, sizes) => createPlaceless(sizes));

/** Some entries written over: those of the first input stay where they are. */
const scatter = createFirstInputRule((places) => places);

const computingRules: Readonly<Record<string, TraceRule>> = {
  ...Object.fromEntries([...Object.keys(ownPlace), 'Trilu', 'CumSum', 'Sum'].map((op) => [op, elementwise])),
  ...Object.fromEntries(
    ['ConvTranspose', 'MaxPool', 'AveragePool', 'LpPool', 'MaxUnpool', 'Resize', 'DepthToSpace', 'SpaceToDepth'].map(
      (op) => [op, newMap],
    ),
  ),
  Conv: convolution,
  Einsum: einsum,
  Gemm: gemm,
  GridSample: newMap,
  MatMul: matMul,
  ScatterElements: scatter,
  ScatterND: scatter,
};

/** Operators whose output is picked from the input by what the pixels are. */
const pickingOperators: ReadonlySet<string> = new Set([
  'GatherElements',
  'GatherND',
  'TopK',
  'Compress',
  'NonZero',
  'Unique',
]);

/** The rule of a node's operator. */
export function getTraceRule({ op }: Node): TraceRule {
  if (/^(Reduce|Arg)/.test(op)) return reduce;
  if (/^Global.*Pool$/.test(op)) return globalPool;
  const why = pickingOperators.has(op)
    ? 'picks tokens by computed indices'
    : 'moves elements in a way that is not followed';
  return moveRules[op] ?? computingRules[op] ?? ((c) => [c.lose(why)]);
}
