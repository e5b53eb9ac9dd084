import { type CompressibleLayer, findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import type { Graph } from '../../src/graph/model.js';
import { type Matrix, matrix } from '../../src/linalg/matrix.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { countElements } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { naiveProduct, randomMatrix } from '../linalg/support.js';

export function random(dims: readonly number[], ...keys: number[]): Tensor<'float32'> {
  const stream = seeded(...keys);
  return float32(
    Array.from({ length: countElements(dims) }, () => stream.uniform(-1, 1)),
    dims,
  );
}

/** A positive definite matrix with a spread of about 1 to 100. */
export function moments(size: number, ...keys: number[]): Matrix {
  const a = randomMatrix(size, size, ...keys);
  const gram = naiveProduct(a, a, false, true);
  for (let i = 0; i < size; i++) gram.data[i * size + i] = (gram.data[i * size + i] ?? 0) + 0.1;
  return gram;
}

/** input `[N, C, H, W]` → one convolution with a bias. */
export function oneConvolution(
  [outputs, inputs, height, width]: readonly [number, number, number, number],
  size: readonly [number, number],
  attributes: { strides?: number[]; pads?: number[]; dilations?: number[] } = {},
): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', inputs, ...size]);
  const w = b.initializer('conv.weight', random([outputs, inputs, height, width], 1));
  const bias = b.initializer('conv.bias', random([outputs], 2));
  const y = b.op('Conv', [x, w, bias], { kernel_shape: [height, width], ...attributes }, { name: 'conv' });
  b.output(b.op('Identity', [y], {}, { name: 'end', outputName: 'output' }));
  return b.build('one convolution');
}

export function onlyLayer(graph: Graph): CompressibleLayer {
  const [layer] = findCompressibleLayers(graph).layers;
  if (!layer) throw new Error('the graph has no layer');
  return layer;
}

/** tr(ΔᵀGΔM): the loss in a metric, by its definition. */
export function lossOf(difference: Matrix, gram: Matrix, output: Matrix): number {
  const left = naiveProduct(naiveProduct(difference, gram, true), difference);
  const product = naiveProduct(left, output);
  let trace = 0;
  for (let i = 0; i < product.rows; i++) trace += product.data[i * product.cols + i] ?? Number.NaN;
  return trace;
}

export function minus(a: Matrix, b: Matrix): Matrix {
  return matrix(
    a.rows,
    a.cols,
    a.data.map((value, i) => value - (b.data[i] ?? Number.NaN)),
  );
}
