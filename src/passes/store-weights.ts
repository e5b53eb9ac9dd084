/*
 * Weights stored in fewer bits and computed in float32: the file holds the small tensor and a node that widens it.
 *   float16   w = Cast(half(w))                                             11 bits of mantissa: |error| ≤ 2⁻¹¹ |w|
 *   int8      w = DequantizeLinear(q, scale), q = round(w / scale) ∈ ±127    |error| ≤ scale / 2
 * with scale = max |w| / 127 along the outputs or the inputs, whichever loses less; symmetric, so that zeros stay zeros.
 */
import { getElementTypeNumber } from '../graph/element-types.js';
import type { Graph, Value } from '../graph/model.js';
import { CONSTANT_PREFIX, isParameter } from '../graph/parameters.js';
import type { GraphBuilder } from '../ops/builder.js';
import { makeScaleIndex } from '../ops/quantization.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { float32, type Tensor, tensor } from '../tensor/tensor.js';
import type { PassResult } from './pass.js';
import { rewrite } from './rewrite.js';

/** How the weights of a file are stored. Activations, biases and norms stay float32. */
export type StorageType = 'float32' | 'float16' | 'int8';

/** A tensor with fewer elements saves nothing: its node in the file takes as much. */
const FEWEST_ELEMENTS = 256;
/** The largest float16. */
const HALF_LIMIT = 65504;

/**
 * The operators whose second input is a weight, and the axes that its scales may run along. Not the outputs of a MatMul:
 * ONNX Runtime would make that one product with activations rounded to 8 bits.
 */
const scaleAxes: Readonly<Record<string, readonly number[]>> = {
  Conv: [0, 1],
  ConvTranspose: [1, 0],
  Gemm: [0, 1],
  MatMul: [0],
};

interface StorableWeight {
  readonly axes: readonly number[];
  readonly tensor: Tensor<'float32'>;
}

/** A weight in its small form, and how a graph gets it back. */
interface StoredWeight {
  readonly tensor: Tensor;
  widen(b: GraphBuilder, small: Value): Value;
}

/** Second inputs of the operators above: float32 parameters with two axes or more, read by one kind of operator alone. */
function findStorableWeights(graph: Graph): Map<Value, StorableWeight> {
  const found = new Map<Value, StorableWeight>();
  const refused = new Set<Value>(graph.outputs);
  for (const node of graph.nodes) {
    for (const [i, input] of node.inputs.entries()) {
      const data = input && graph.initializers.get(input);
      if (!input || data?.dtype !== 'float32' || !isParameter(input, data)) continue;
      const axes = i === 1 ? scaleAxes[node.op] : undefined;
      const known = found.get(input);
      if (!axes || data.dims.length < 2 || (known && known.axes !== axes)) refused.add(input);
      else if (data.data.length >= FEWEST_ELEMENTS) found.set(input, { axes, tensor: data });
    }
  }
  for (const value of refused) found.delete(value);
  return found;
}

function storeAsHalf({ tensor: { dims, data } }: StorableWeight): StoredWeight | undefined {
  if (data.some((value) => Math.abs(value) > HALF_LIMIT)) return undefined;
  return {
    tensor: tensor('float16', dims, float32ToFloat16(data)),
    widen: (b, small) =>
      b.op('Cast', [small], { to: getElementTypeNumber('float32') }, { name: `${small.name}/widen` }),
  };
}

interface QuantizedSteps {
  readonly axis: number;
  readonly scales: Float32Array;
  readonly steps: Int8Array;
  /** Sum of squares of what rounding changed. */
  readonly squaredError: number;
}

function quantizeAlong({ dims, data }: Tensor<'float32'>, axis: number): QuantizedSteps {
  const channels = dims[axis] ?? 1;
  const channel = makeScaleIndex(dims, axis, channels);
  const scales = new Float32Array(channels);
  for (let i = 0; i < data.length; i++) {
    const c = channel(i);
    scales[c] = Math.max(scales[c] as number, Math.abs(data[i] as number));
  }
  // A channel of zeros may have any scale.
  for (let c = 0; c < channels; c++) scales[c] = (scales[c] as number) > 0 ? (scales[c] as number) / 127 : 1;
  const steps = new Int8Array(data.length);
  let error = 0;
  for (let i = 0; i < data.length; i++) {
    const scale = scales[channel(i)] as number;
    steps[i] = Math.max(-127, Math.min(127, Math.round((data[i] as number) / scale)));
    error += ((data[i] as number) - (steps[i] as number) * scale) ** 2;
  }
  return { axis, scales, steps, squaredError: error };
}

/** A norm of a unit that never fires, folded into a weight, leaves inputs with huge weights: no output's scale fits them. */
function storeAsInt8({ axes, tensor: weight }: StorableWeight): StoredWeight | undefined {
  const [first, ...others] = axes.map((axis) => quantizeAlong(weight, axis));
  if (!first) return undefined;
  const { axis, scales, steps } = others.reduce(
    (best, each) => (each.squaredError < best.squaredError ? each : best),
    first,
  );
  return {
    tensor: tensor('int8', weight.dims, steps),
    widen(b, small) {
      const scale = b.initializer(`${CONSTANT_PREFIX}${small.name}/scale`, float32(scales, [scales.length]));
      return b.op('DequantizeLinear', [small, scale], { axis }, { name: `${small.name}/widen` });
    },
  };
}

const storers: Readonly<Record<StorageType, (weight: StorableWeight) => StoredWeight | undefined>> = {
  float32: () => undefined,
  float16: storeAsHalf,
  int8: storeAsInt8,
};

/**
 * The graph with the weights of its convolutions and matrix products stored in fewer bits, under their own names.
 * Everything else, small tensors included, stays as it is; so do weights that float16 cannot hold.
 */
export function storeWeights(graph: Graph, type: StorageType): PassResult {
  const stored = new Map<Value, StoredWeight>();
  for (const [value, weight] of findStorableWeights(graph)) {
    const small = storers[type](weight);
    if (small) stored.set(value, small);
  }
  if (stored.size === 0) return { graph, notes: [] };
  const widened = new Map<Value, Value>();
  const small = rewrite(graph, {
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
  return { graph: small, notes: [] };
}
