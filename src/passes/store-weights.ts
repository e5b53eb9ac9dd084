/*
 * Weights stored in fewer bits and computed in float32: the file holds the small tensor and a node that widens it.
 *   float16   w = Cast(half(w))                                             11 bits of mantissa: |error| ≤ 2⁻¹¹ |w|
 *   int8      w = DequantizeLinear(q, scale), q = round(w / scale) ∈ ±127    |error| ≤ scale / 2
 * with scale = max |w| / 127 for each output channel, symmetric, so that zeros stay zeros.
 */
import type { Graph, Node, Value } from '../graph/model.js';
import { CONSTANT_PREFIX, isParameter } from '../graph/parameters.js';
import type { GraphBuilder } from '../ops/builder.js';
import { attributesOf } from '../ops/table.js';
import { sizeOf } from '../tensor/dims.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { float32, type Tensor, tensor } from '../tensor/tensor.js';
import { rewrite } from './rewrite.js';

/** How the weights of a file are stored. Activations, biases and norms stay float32. */
export type StorageType = 'float32' | 'float16' | 'int8';

/** A tensor with fewer elements saves nothing: its node in the file takes as much. */
const FEWEST_ELEMENTS = 256;
/** The largest float16. */
const HALF_LIMIT = 65504;

/** The axis of the output channels of the weight that a node reads, by operator. */
const channelAxes: Readonly<Record<string, (node: Node) => number>> = {
  Conv: () => 0,
  ConvTranspose: () => 1,
  Gemm: (node) => (attributesOf('Gemm', node).transB ? 0 : 1),
  MatMul: () => 1,
};

interface Weight {
  /** The axis of its output channels. */
  readonly axis: number;
  readonly tensor: Tensor<'float32'>;
}

/** A weight in its small form, and how a graph gets it back. */
interface Stored {
  readonly tensor: Tensor;
  widen(b: GraphBuilder, small: Value): Value;
}

/** Second inputs of the operators above: float32 parameters with two axes or more, read along one axis alone. */
function weightsOf(graph: Graph): Map<Value, Weight> {
  const found = new Map<Value, Weight>();
  const refused = new Set<Value>(graph.outputs);
  for (const node of graph.nodes) {
    for (const [i, input] of node.inputs.entries()) {
      const data = input && graph.initializers.get(input);
      if (!input || data?.dtype !== 'float32' || !isParameter(input, data)) continue;
      const axis = i === 1 ? channelAxes[node.op]?.(node) : undefined;
      const known = found.get(input);
      if (axis === undefined || data.dims.length < 2 || (known && known.axis !== axis)) refused.add(input);
      else if (data.data.length >= FEWEST_ELEMENTS) found.set(input, { axis, tensor: data });
    }
  }
  for (const value of refused) found.delete(value);
  return found;
}

/** float32's number in ONNX (`TensorProto.DataType`). */
const FLOAT = 1;

function halved({ tensor: { dims, data } }: Weight): Stored | undefined {
  if (data.some((value) => Math.abs(value) > HALF_LIMIT)) return undefined;
  return {
    tensor: tensor('float16', dims, float32ToFloat16(data)),
    widen: (b, small) => b.op('Cast', [small], { to: FLOAT }, { name: `${small.name}/widen` }),
  };
}

function quantized({ axis, tensor: { dims, data } }: Weight): Stored {
  const channels = dims[axis] ?? 1;
  const inner = sizeOf(dims.slice(axis + 1));
  const channel = (i: number): number => Math.floor(i / inner) % channels;
  const scales = new Float32Array(channels);
  for (let i = 0; i < data.length; i++) {
    const c = channel(i);
    scales[c] = Math.max(scales[c] as number, Math.abs(data[i] as number));
  }
  // A channel of zeros may have any scale.
  for (let c = 0; c < channels; c++) scales[c] = (scales[c] as number) > 0 ? (scales[c] as number) / 127 : 1;
  const steps = new Int8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    steps[i] = Math.max(-127, Math.min(127, Math.round((data[i] as number) / (scales[channel(i)] as number))));
  }
  return {
    tensor: tensor('int8', dims, steps),
    widen(b, small) {
      const scale = b.initializer(`${CONSTANT_PREFIX}${small.name}/scale`, float32(scales, [channels]));
      return b.op('DequantizeLinear', [small, scale], { axis }, { name: `${small.name}/widen` });
    },
  };
}

const storers: Readonly<Record<StorageType, (weight: Weight) => Stored | undefined>> = {
  float32: () => undefined,
  float16: halved,
  int8: quantized,
};

/**
 * The graph with the weights of its convolutions and matrix products stored in fewer bits, under their own names.
 * Everything else, small tensors included, stays as it is; so do weights that float16 cannot hold.
 */
export function storeWeights(graph: Graph, type: StorageType): Graph {
  const stored = new Map<Value, Stored>();
  for (const [value, weight] of weightsOf(graph)) {
    const small = storers[type](weight);
    if (small) stored.set(value, small);
  }
  if (stored.size === 0) return graph;
  const widened = new Map<Value, Value>();
  return rewrite(graph, {
    initializer: (value, data) => stored.get(value)?.tensor ?? data,
    node(node, inputs, b) {
      if (!node.inputs.some((input) => input && stored.has(input))) return undefined;
      const own = inputs.map((small, i) => {
        const weight = node.inputs[i];
        const form = weight && stored.get(weight);
        if (!small || !form) return small;
        const value = widened.get(weight) ?? form.widen(b, small);
        widened.set(weight, value);
        return value;
      });
      return b.copy(node, own);
    },
  });
}
