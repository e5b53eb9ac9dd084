import { formatSuggestion, UsageError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { countElements } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  constantInitializer,
  createInitialStream,
  type Initializer,
  linearInitializer,
  normalInitializer,
} from './initialize.js';
import type { StateDict } from './state-dict.js';
import { buildVgg, findVggPrefix } from './vgg.js';

/** Describes a VGG-style network with the compact classifier (linear, ReLU, batch norm, dropout; LogSoftmax). */
export interface VggShape {
  /** Channels of the convolutions of each block; a 2×2 max pooling ends a block. */
  readonly channels: readonly (readonly number[])[];
  /** Whether a batch norm follows each convolution, as in torchvision's `vgg16_bn`. Default: no. */
  readonly batchNorm?: boolean;
  /** Whether a batch norm follows each hidden linear layer. Default: yes. */
  readonly classifierNorm?: boolean;
  /** Whether Dropout(0.5) follows each hidden linear layer, as in the reference VGG16, or only the last. Default: each. */
  readonly dropout?: 'each' | 'last';
  /** Widths of the hidden linear layers. */
  readonly classifier: readonly number[];
  readonly classes: number;
  /** Height and width of the input, divisible by 2 to the number of blocks. */
  readonly inputSize: number;
  /** Height and width that the maps are averaged to before the classifier. Default: what the poolings leave. */
  readonly pooled?: number;
  /** What stands before `features.` and `classifier.` in parameter names. */
  readonly prefix: string;
}

/** Channels of the configurations A, B, D and E of Simonyan and Zisserman 2014, arXiv:1409.1556, table 1. */
const configurations: Readonly<Record<string, readonly number[]>> = {
  vgg11: [1, 1, 2, 2, 2],
  vgg13: [2, 2, 2, 2, 2],
  vgg16: [2, 2, 3, 3, 3],
  vgg19: [2, 2, 4, 4, 4],
};
const WIDTHS = [64, 128, 256, 512, 512];

/** Networks that are made by name, as torchvision's. */
export const vggNames: readonly string[] = Object.keys(configurations).flatMap((name) => [name, `${name}_bn`]);

/**
 * The shape of torchvision's network of a name: two hidden layers of 4,096, maps averaged to 7×7.
 *
 * @throws UsageError for a name that is none, or an input that five poolings leave nothing of.
 */
export function findVggShape(name: string, classes: number, inputSize = 224): VggShape {
  const counts = configurations[name.replace(/_bn$/, '')];
  if (!counts) {
    throw new UsageError(
      `No network is called "${name}".${formatSuggestion(name, vggNames)} Known: ${vggNames.join(', ')}; or give a model file.`,
    );
  }
  if (!(Number.isInteger(inputSize) && inputSize >= 32)) {
    throw new UsageError(`${name} takes images of at least 32×32, found ${inputSize}.`);
  }
  return {
    channels: counts.map((count, block) => Array.from({ length: count }, () => WIDTHS[block] ?? 512)),
    batchNorm: name.endsWith('_bn'),
    classifierNorm: false,
    classifier: [4096, 4096],
    classes,
    inputSize,
    pooled: 7,
    prefix: '',
  };
}

/** Parameters and running statistics of a batch norm, and how they begin. */
const NORM = [
  ['weight', 1],
  ['bias', 0],
  ['running_mean', 0],
  ['running_var', 1],
] as const;

/**
 * A VGG-style network with fresh weights: normal with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852, equation
 * 10; the last layer 1 / (3 fan-in), as PyTorch's linear layers), biases 0, batch norms the identity.
 */
export function buildInitialVgg(shape: VggShape, seed: number): Graph {
  const random = seeded(seed, 0);
  const state = new Map<string, Tensor>();
  const addDense = (path: string, dims: readonly number[], gain = 2) => {
    state.set(`${path}.weight`, normalInitializer(Math.sqrt(gain / countElements(dims.slice(1))))(dims, random));
    state.set(`${path}.bias`, constantInitializer(0)([dims[0] ?? 1], random));
  };
  const addNorm = (path: string, width: number) => {
    for (const [name, value] of NORM) state.set(`${path}.${name}`, constantInitializer(value)([width], random));
  };
  let index = 0;
  let inputs = 3;
  for (const block of shape.channels) {
    for (const channels of block) {
      addDense(`${shape.prefix}features.${index}`, [channels, inputs, 3, 3]);
      inputs = channels;
      if (shape.batchNorm) addNorm(`${shape.prefix}features.${++index}`, channels);
      // Past the convolution (or its batch norm) and the ReLU.
      index += 2;
    }
    // The pooling.
    index++;
  }
  const side = shape.pooled ?? shape.inputSize / 2 ** shape.channels.length;
  let features = inputs * side * side;
  let module = 0;
  shape.classifier.forEach((width, layer) => {
    const path = `${shape.prefix}classifier`;
    addDense(`${path}.${module}`, [width, features]);
    const hasNorm = shape.classifierNorm !== false;
    if (hasNorm) addNorm(`${path}.${module + 2}`, width);
    const isLast = layer === shape.classifier.length - 1;
    // Past linear, ReLU and batch norm; the gap that Dropout leaves is what makes the builder add it.
    module += (hasNorm ? 3 : 2) + (shape.dropout === 'last' && !isLast ? 0 : 1);
    features = width;
  });
  // No ReLU follows the last layer, and small scores make the first loss that of guessing: PyTorch's variance.
  addDense(`${shape.prefix}classifier.${module}`, [shape.classes, features], 1 / 3);
  return buildVgg(state, { inputSize: [shape.inputSize, shape.inputSize], getExecution: () => 'rebuilt' });
}

/** Lists the widths of the compact classifier's hidden layers. */
const COMPACT_WIDTHS = [512, 512];

/**
 * Builds a VGG with a new compact classifier: two hidden layers of 512, each with ReLU, batch norm and
 * Dropout(0.5), then the classes and LogSoftmax. Linear layers begin as PyTorch's `nn.Linear`.
 *
 * @param tensors state dict of the VGG whose convolutions it keeps.
 * @throws ShiboriError when these are no VGG's.
 */
export function withCompactHead(
  tensors: StateDict,
  classes: number,
  seed: number,
  inputSize: readonly [number, number],
): Graph {
  const prefix = findVggPrefix(tensors) ?? '';
  const path = `${prefix}classifier`;
  const state = new Map([...tensors].filter(([name]) => !name.startsWith(`${path}.`)));
  const channels = [...tensors].filter(
    ([name, { dims }]) => name.startsWith(`${prefix}features.`) && dims.length === 4,
  );
  // The pooling before it, 7×7, is torchvision's.
  let inputs = (channels.at(-1)?.[1].dims[0] ?? 1) * 49;
  let position = 0;
  const add = (name: string, dims: readonly number[], initializer: Initializer) =>
    state.set(name, initializer(dims, createInitialStream(seed, position++)));
  for (const [layer, width] of [...COMPACT_WIDTHS, classes].entries()) {
    add(`${path}.${4 * layer}.weight`, [width, inputs], linearInitializer(inputs));
    add(`${path}.${4 * layer}.bias`, [width], linearInitializer(inputs));
    inputs = width;
    if (layer === COMPACT_WIDTHS.length) break;
    for (const [name, value] of NORM) add(`${path}.${4 * layer + 2}.${name}`, [width], constantInitializer(value));
  }
  return buildVgg(state, { inputSize, getExecution: () => 'rebuilt' });
}
