/**
 * Quantised files as float graphs. A file in the format QDQ says of each value how it would be rounded: QuantizeLinear,
 * q = saturate(round(x / scale) + zero_point), and at once DequantizeLinear, (q - zero_point) scale.
 */
import { type Dim, type Graph, type Node, Value } from '../graph/model.js';
import { findUses } from '../graph/uses.js';
import type { GraphBuilder } from '../ops/builder.js';
import { makeScaleIndex, quantizedRanges } from '../ops/quantization.js';
import { readAttributes } from '../ops/table.js';
import { normalizeAxis } from '../tensor/dims.js';
import type { DType } from '../tensor/dtype.js';
import { roundHalfToEven } from '../tensor/round.js';
import { float32, type Tensor, tensor } from '../tensor/tensor.js';
import type { PassResult } from './pass.js';
import { rewrite } from './rewrite.js';
import { getNodeNames } from './upgrade.js';

/** Smallest and largest integer of the types that values are stored in: biases are int32. */
const integerRanges: typeof quantizedRanges = { ...quantizedRanges, int32: [-(2 ** 31), 2 ** 31 - 1] };

/** Scale and zero point, one of each or one for each position along an axis. */
interface QuantizationGrid {
  readonly scales: readonly number[];
  readonly zeros: readonly number[];
  readonly axis: number;
  readonly range: readonly [number, number];
}

/** The grid of a node, where its scale and zero point are constants. */
function readQuantizationGrid(
  node: Node,
  dims: readonly Dim[] | undefined,
  dtype: DType | undefined,
  getTensor: (value: Value) => Tensor | undefined,
): QuantizationGrid | undefined {
  const [, scale, zero] = node.inputs;
  const [scales, zeros] = [scale, zero].map((value) => {
    const tensor = value && getTensor(value);
    return tensor && Array.from(tensor.data, Number);
  });
  const range = dtype && integerRanges[dtype];
  if (!scales || !range || !dims || (zero && !zeros)) return undefined;
  const op = node.op === 'QuantizeLinear' ? 'QuantizeLinear' : 'DequantizeLinear';
  return { scales, zeros: zeros ?? [0], axis: normalizeAxis(readAttributes(op, node).axis, dims.length), range };
}

const isSameGrid = (a: QuantizationGrid, b: QuantizationGrid): boolean =>
  a.scales.join() === b.scales.join() && a.zeros.join() === b.zeros.join() && a.axis === b.axis;

const getBroadcast = (list: readonly number[], i: number): number => list[list.length === 1 ? 0 : i] ?? 0;

/** What each element becomes by a function of it, its scale and its zero point. */
function mapElements(
  { dims, data }: Tensor,
  grid: QuantizationGrid,
  value: (element: number, scale: number, zero: number) => number,
): Tensor {
  const getScaleIndex = makeScaleIndex(dims, grid.axis, grid.scales.length);
  const values = new Float32Array(data.length);
  for (let i = 0; i < values.length; i++) {
    const entry = getScaleIndex(i);
    values[i] = value(Number(data[i]), getBroadcast(grid.scales, entry), getBroadcast(grid.zeros, entry));
  }
  return tensor('float32', dims, values);
}

/** `(q - zero_point) scale` for every element. */
const dequantizeTensor = (q: Tensor, grid: QuantizationGrid): Tensor =>
  mapElements(q, grid, (x, scale, zero) => (x - zero) * scale);

/** A float tensor on the grid that it would be rounded to. */
function snapToGrid(source: Tensor, grid: QuantizationGrid): Tensor {
  const [low, high] = grid.range;
  return mapElements(
    source,
    grid,
    (x, scale, zero) => (Math.min(Math.max(roundHalfToEven(x / scale) + zero, low), high) - zero) * scale,
  );
}

/** `conv1.weight` of `conv1.weight_quantized`, as ONNX Runtime's tool names what it quantises. */
const getOriginalName = (name: string): string => name.replace(/_(quantized|QuantizeLinear\w*)$/, '');

/** The value in the range that the grid covers: a tool leaves a Relu to the quantisation that follows it. */
function clipToRange(node: Node, x: Value, grid: QuantizationGrid, b: GraphBuilder): Value {
  const bounds = grid.range.map((bound) =>
    grid.scales.map((scale, i) => (bound - getBroadcast(grid.zeros, i)) * scale),
  );
  const [low = [], high = []] = bounds;
  if (grid.scales.length === 1) {
    return b.op('Clip', [x, b.scalar(low[0] ?? 0), b.scalar(high[0] ?? 0)], {}, getNodeNames(node));
  }
  const dims = (x.type?.dims ?? []).map((_, axis) => (axis === grid.axis ? grid.scales.length : 1));
  const [lower, upper] = [low, high].map((values) => b.initializer('constant/range', float32(values, dims)));
  return b.op('Min', [b.op('Max', [x, lower], {}, { name: node.name }), upper], {}, getNodeNames(node));
}

/** The graph with float initializers for what its quantised initializers stand for, and how many there are. */
function withFloatWeights(graph: Graph): { readonly graph: Graph; readonly count: number } {
  const getTensor = (value: Value) => graph.initializers.get(value);
  const { producer } = findUses(graph);
  const floats = new Map<string, { readonly value: Value; readonly tensor: Tensor }>();
  const replaced = new Map<Value, Value>();
  // One stored tensor may stand for several weights: what it stands for depends on scale, zero point and axis too.
  const numbers = new Map<Value, number>();
  const assignNumber = (value: Value): number => {
    const number = numbers.get(value) ?? numbers.size;
    numbers.set(value, number);
    return number;
  };
  const named = new Set<string>();
  for (const node of graph.nodes) {
    const [q] = node.inputs;
    const [output] = node.outputs;
    if (node.op !== 'DequantizeLinear' || !q || !output) continue;
    const quantizer = producer(q);
    const [source] = quantizer?.op === 'QuantizeLinear' ? quantizer.inputs : [q];
    const stored = source && getTensor(source);
    const grid = stored && readQuantizationGrid(node, stored.dims, q.type?.dtype, getTensor);
    if (!source || !stored || !grid) continue;
    const rounding = quantizer && readQuantizationGrid(quantizer, stored.dims, q.type?.dtype, getTensor);
    if (quantizer && (!rounding || !isSameGrid(rounding, grid))) continue;
    const key = [...node.inputs.map((input) => input && assignNumber(input)), grid.axis].join();
    let float = floats.get(key);
    if (!float) {
      const name = getOriginalName(source.name);
      const value = new Value(named.has(name) ? output.name : name, { dtype: 'float32', dims: stored.dims });
      named.add(name);
      float = { value, tensor: quantizer ? snapToGrid(stored, grid) : dequantizeTensor(stored, grid) };
      floats.set(key, float);
    }
    replaced.set(output, float.value);
  }
  const moved = (value: Value | undefined) => value && (replaced.get(value) ?? value);
  return {
    graph: {
      ...graph,
      nodes: graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map(moved) })),
      outputs: graph.outputs.map((output) => replaced.get(output) ?? output),
      initializers: new Map([
        ...graph.initializers,
        ...Array.from(floats.values(), ({ value, tensor }) => [value, tensor] as const),
      ]),
    },
    count: floats.size,
  };
}

/**
 * A graph of operator set 18 without the QuantizeLinear and DequantizeLinear of the format QDQ. Quantised weights
 * become float parameters under their original names, with the values that they stood for. Activations are clipped to
 * the range of their quantisation but no longer rounded to its steps. Pairs whose scale is computed stay.
 *
 * @returns the graph, and what was done; the graph itself and no notes where nothing is quantised.
 */
export function dequantize(graph: Graph): PassResult {
  if (!graph.nodes.some(({ op }) => op === 'DequantizeLinear')) return { graph, notes: [] };
  const weights = withFloatWeights(graph);
  let activations = 0;
  /** What each quantised activation was made of. */
  const quantized = new Map<Value, { readonly x: Value; readonly grid: QuantizationGrid }>();
  const floats = rewrite(weights.graph, {
    node(node, inputs, b) {
      const [x] = inputs;
      if (node.op === 'DequantizeLinear') {
        const source = x && quantized.get(x);
        if (!source) return undefined;
        activations++;
        return [clipToRange(node, source.x, source.grid, b)];
      }
      if (node.op !== 'QuantizeLinear' || x?.type?.dtype !== 'float32') return undefined;
      const outputs = b.copy(node, inputs);
      const [q] = outputs;
      const grid = readQuantizationGrid({ ...node, inputs }, x.type.dims, q?.type?.dtype, (value) =>
        b.findTensor(value),
      );
      if (q && grid) quantized.set(q, { x, grid });
      return outputs;
    },
  });
  if (weights.count === 0 && activations === 0) return { graph, notes: [] };
  return {
    // What only served to quantise is dropped.
    graph: rewrite(floats),
    notes: [
      {
        applied: true,
        text: `It is quantised: tensors that are float32 parameters now, with the values that they stood for: ${weights.count}; activations that keep the range of their quantisation without being rounded: ${activations}.`,
      },
    ],
  };
}
