import type { Graph } from '../graph/model.js';
import { sizeOf } from '../tensor/dims.js';
import { type RandomStream, seeded } from '../tensor/random.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { buildVgg } from './vgg.js';

/** The shape of a VGG-style network with the study's classifier (linear, ReLU, batch norm, dropout; LogSoftmax). */
export interface VggShape {
  /** Channels of the convolutions of each block; a 2×2 max pooling ends a block. */
  readonly channels: readonly (readonly number[])[];
  /** Whether a batch norm follows each convolution, as in torchvision's `vgg16_bn`. Default: no. */
  readonly batchNorm?: boolean;
  /** Whether Dropout(0.5) follows each hidden linear layer, as in the study, or only the last. Default: each. */
  readonly dropout?: 'each' | 'last';
  /** Widths of the hidden linear layers. */
  readonly classifier: readonly number[];
  readonly classes: number;
  /** Height and width of the input, divisible by 2 to the number of blocks. */
  readonly inputSize: number;
  /** What stands before `features.` and `classifier.` in parameter names. */
  readonly prefix: string;
}

/** Normally distributed numbers (Box and Muller 1958). */
function normal(random: RandomStream, deviation: number, dims: readonly number[]): Tensor<'float32'> {
  const values = Array.from({ length: sizeOf(dims) }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    return deviation * radius * Math.cos(2 * Math.PI * random.uniform());
  });
  return float32(values, dims);
}

/**
 * A VGG-style network with fresh weights: normal with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852, equation
 * 10; the last layer 1 / (3 fan-in), as PyTorch's linear layers), biases 0, batch norms the identity.
 */
export function initialVgg(shape: VggShape, seed: number): Graph {
  const random = seeded(seed, 0);
  const state = new Map<string, Tensor>();
  const filled = (value: number, size: number) => float32(new Float32Array(size).fill(value));
  const dense = (path: string, dims: readonly number[], gain = 2) => {
    state.set(`${path}.weight`, normal(random, Math.sqrt(gain / sizeOf(dims.slice(1))), dims));
    state.set(`${path}.bias`, filled(0, dims[0] ?? 1));
  };
  const norm = (path: string, width: number) => {
    state.set(`${path}.weight`, filled(1, width));
    state.set(`${path}.bias`, filled(0, width));
    state.set(`${path}.running_mean`, filled(0, width));
    state.set(`${path}.running_var`, filled(1, width));
  };
  let index = 0;
  let inputs = 3;
  for (const block of shape.channels) {
    for (const channels of block) {
      dense(`${shape.prefix}features.${index}`, [channels, inputs, 3, 3]);
      inputs = channels;
      if (shape.batchNorm) norm(`${shape.prefix}features.${++index}`, channels);
      // Past the convolution (or its batch norm) and the ReLU.
      index += 2;
    }
    // The pooling.
    index++;
  }
  const side = shape.inputSize / 2 ** shape.channels.length;
  let features = inputs * side * side;
  let module = 0;
  shape.classifier.forEach((width, layer) => {
    const path = `${shape.prefix}classifier`;
    dense(`${path}.${module}`, [width, features]);
    norm(`${path}.${module + 2}`, width);
    const isLast = layer === shape.classifier.length - 1;
    // Past linear, ReLU and batch norm; the gap that Dropout leaves is what makes the builder add it.
    module += shape.dropout === 'last' && !isLast ? 3 : 4;
    features = width;
  });
  // No ReLU follows the last layer, and small scores make the first loss that of guessing: PyTorch's variance.
  dense(`${shape.prefix}classifier.${module}`, [shape.classes, features], 1 / 3);
  return buildVgg(state, { inputSize: [shape.inputSize, shape.inputSize], execution: () => 'rebuilt' });
}
