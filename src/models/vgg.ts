/**
 * VGG (Simonyan and Zisserman 2014, arXiv:1409.1556) as torchvision lays it out, from the keys and shapes of a state
 * dict: `features.N` 3×3 convolutions with ReLU and 2×2 max pooling, an adaptive average pooling, and a classifier.
 *
 * Modules without parameters leave gaps in the numbering, and the gaps say what they are: in `features` a convolution
 * (or its batch norm) is followed by ReLU, and by MaxPool where one more number is skipped; in `classifier` the first
 * gap after a linear layer is its ReLU, any later one is Dropout. Any depth and width is recognised that way, with or
 * without batch norm, and with linear layers that were replaced by tensor trains.
 */
import { type Execution, emitTtLinear, readTtDescriptor } from '../decompose/tt-layer.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { GraphBuilder } from '../ops/builder.js';
import { toFloat32 } from '../tensor/float16.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import type { StateDict } from './state-dict.js';

/** What a builder needs beyond the tensors. */
export interface BuildOptions {
  /** Spatial size of the input, `[height, width]`. */
  readonly inputSize: readonly [number, number];
  /** How the tensor-train layer at a module path runs. */
  readonly getExecution: (path: string) => Execution;
}

/** The numbered modules of one container that have parameters: `features` or `classifier`. */
interface VggContainer {
  readonly path: string;
  readonly indices: readonly number[];
}

function readVggContainer(tensors: StateDict, path: string): VggContainer {
  const indices = new Set<number>();
  for (const key of tensors.keys()) {
    const rest = key.startsWith(`${path}.`) ? key.slice(path.length + 1) : undefined;
    const index = rest?.match(/^(\d+)\./)?.[1];
    if (index !== undefined) indices.add(Number(index));
  }
  return { path, indices: [...indices].sort((a, b) => a - b) };
}

/** What stands before `features.` and `classifier.`: `vgg16.` or nothing. `undefined` when this is no VGG. */
export function findVggPrefix(tensors: StateDict): string | undefined {
  const first = [...tensors.keys()].find((key) => /(^|\.)features\.0\.weight$/.test(key));
  if (first === undefined) return undefined;
  const prefix = first.slice(0, first.length - 'features.0.weight'.length);
  const features = readVggContainer(tensors, `${prefix}features`);
  const classifier = readVggContainer(tensors, `${prefix}classifier`);
  const kernels = features.indices
    .map((index) => tensors.get(`${features.path}.${index}.weight`)?.dims ?? [])
    .filter((dims) => dims.length === 4);
  const plain = kernels.length > 0 && kernels.every((dims) => dims[2] === 3 && dims[3] === 3);
  const dense = classifier.indices.length > 0;
  // Every key must be one of the two containers': a network with more than these is another architecture.
  const all = [...tensors.keys()].every((key) => key.startsWith(features.path) || key.startsWith(classifier.path));
  return plain && dense && all ? prefix : undefined;
}

/** Whether the classifier has batch norms, as the reference VGG16 has: such models end in LogSoftmax. */
export function hasLogSoftmax(tensors: StateDict, prefix: string): boolean {
  return [...tensors.keys()].some((key) => key.startsWith(`${prefix}classifier.`) && key.endsWith('.running_mean'));
}

class VggBuilder {
  readonly b = new GraphBuilder();
  constructor(
    readonly tensors: StateDict,
    readonly options: BuildOptions,
  ) {}

  addParameter(name: string): Value {
    const tensor = this.tensors.get(name);
    if (!tensor)
      throw new ShiboriError(`Building VGG: the state dict has no "${name}".`, { code: 'unsupported-model' });
    return this.b.initializer(name, toFloat32(tensor));
  }

  addOptionalParameter(name: string): Value | undefined {
    return this.tensors.has(name) ? this.addParameter(name) : undefined;
  }

  addBatchNorm(x: Value, path: string): Value {
    const inputs = ['weight', 'bias', 'running_mean', 'running_var'].map((name) =>
      this.addParameter(`${path}.${name}`),
    );
    return this.b.op('BatchNormalization', [x, ...inputs], {}, { name: path });
  }

  addFeatures(input: Value, { path, indices }: VggContainer): Value {
    let x = input;
    for (const [i, index] of indices.entries()) {
      const name = `${path}.${index}`;
      const dims = this.tensors.get(`${name}.weight`)?.dims ?? [];
      if (dims.length === 4) {
        const pads = [1, 1, 1, 1];
        const inputs = [x, this.addParameter(`${name}.weight`), this.addOptionalParameter(`${name}.bias`)];
        x = this.b.op('Conv', inputs, { kernel_shape: [3, 3], pads, strides: [1, 1] }, { name });
      } else x = this.addBatchNorm(x, name);
      const next = indices[i + 1];
      // The convolution's own batch norm follows at once; ReLU comes after it.
      if (next === index + 1) continue;
      x = this.b.op('Relu', [x], {}, { name: `${path}.${index + 1}` });
      if (next === undefined || next === index + 3) {
        x = this.b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] }, { name: `${path}.${index + 2}` });
      }
    }
    return x;
  }

  addClassifier(input: Value, { path, indices }: VggContainer): Value {
    let x = input;
    for (const [i, index] of indices.entries()) {
      const name = `${path}.${index}`;
      const weight = this.tensors.get(`${name}.weight`);
      const isLinear = weight?.dims.length !== 1;
      if (weight && !isLinear) x = this.addBatchNorm(x, name);
      else if (weight) {
        const inputs = [x, this.addParameter(`${name}.weight`), this.addOptionalParameter(`${name}.bias`)];
        x = this.b.op('Gemm', inputs, { transB: 1 }, { name });
      } else x = this.addTensorTrain(x, name);
      const next = indices[i + 1] ?? index + 1;
      for (let gap = index + 1; gap < next; gap++) {
        const gapName = `${path}.${gap}`;
        x =
          isLinear && gap === index + 1
            ? this.b.op('Relu', [x], {}, { name: gapName })
            : this.b.op('Dropout', [x, this.b.scalar(0.5)], {}, { name: gapName });
      }
    }
    return x;
  }

  addTensorTrain(x: Value, path: string): Value {
    const cores: Value[] = [];
    checkLinear(this.tensors, path);
    for (let k = 0; this.tensors.has(`${path}.tt_W${k}`); k++) cores.push(this.addParameter(`${path}.tt_W${k}`));
    const bias = this.addOptionalParameter(`${path}.B`);
    const inFeatures = x.type?.dims[1];
    const descriptor = readTtDescriptor(
      path,
      cores.map((core) => this.b.findTensor(core)?.dims ?? []),
      bias && this.b.findTensor(bias)?.dims,
      typeof inFeatures === 'number' ? inFeatures : 0,
    );
    return this.b.within(path, () =>
      emitTtLinear(this.b, x, cores, bias, { ...descriptor, execution: this.options.getExecution(path) }),
    );
  }
}

/**
 * `torch.nn.AdaptiveAvgPool2d(size)`: output cell i averages input rows floor(i·in/out) … ceil((i+1)·in/out) − 1.
 *
 * Written as one product of all maps, flattened, with a constant matrix, which covers sizes that do not divide each
 * other (7 from 2); where each cell averages a whole block it is an AveragePool.
 */
function emitAdaptiveAveragePool(b: GraphBuilder, x: Value, size: readonly [number, number], path: string): Value {
  const [, channels, height, width] = x.type?.dims ?? [];
  if (typeof channels !== 'number' || typeof height !== 'number' || typeof width !== 'number') {
    throw new ShiboriError(`Building "${path}": the spatial size before the adaptive pooling must be known.`, {
      code: 'unsupported-model',
    });
  }
  if (height === size[0] && width === size[1]) return x;
  if (height % size[0] === 0 && width % size[1] === 0) {
    const kernel = [height / size[0], width / size[1]];
    return b.op('AveragePool', [x], { kernel_shape: kernel, strides: kernel }, { name: path });
  }
  const weights = b.initializer(`${CONSTANT_PREFIX}${path}`, buildAveragingMatrix([height, width], size));
  return b.within(path, () => {
    const flat = b.op('Reshape', [x, b.ints([-1, height * width])]);
    return b.op('Reshape', [b.op('MatMul', [flat, weights]), b.ints([-1, channels, ...size])]);
  });
}

/** First and one past the last input cell that output cell `i` averages. */
function getAveragedCells(i: number, size: number, out: number): readonly [number, number] {
  return [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)];
}

/** `[height·width, out height·out width]`: the weight of each input position in each output cell. */
function buildAveragingMatrix(
  [height, width]: readonly [number, number],
  [outHeight, outWidth]: readonly [number, number],
): Tensor<'float32'> {
  const cells = outHeight * outWidth;
  const weights = new Float32Array(height * width * cells);
  for (let i = 0; i < outHeight; i++) {
    const [top, bottom] = getAveragedCells(i, height, outHeight);
    for (let j = 0; j < outWidth; j++) {
      const [left, right] = getAveragedCells(j, width, outWidth);
      const share = 1 / ((bottom - top) * (right - left));
      for (let y = top; y < bottom; y++)
        for (let x = left; x < right; x++) weights[(y * width + x) * cells + i * outWidth + j] = share;
    }
  }
  return float32(weights, [height * width, cells]);
}

/** Throws for a linear layer that has neither a weight nor the cores of a tensor train, with what it has. */
function checkLinear(tensors: StateDict, path: string): void {
  if (tensors.has(`${path}.weight`) || tensors.has(`${path}.tt_W0`)) return;
  const found = [...tensors.keys()].filter((key) => key.startsWith(`${path}.`)).map((key) => `"${key}"`);
  throw new ShiboriError(
    `Building VGG: the state dict has no "${path}.weight" (nor "${path}.tt_W0" of a tensor train), only ${found.join(', ')}.`,
    { code: 'unsupported-model' },
  );
}

/** Features that enter the first linear layer. */
function countClassifierInputs(tensors: StateDict, path: string, channels: number): number {
  const dense = tensors.get(`${path}.weight`)?.dims[1];
  if (dense !== undefined) return dense;
  checkLinear(tensors, path);
  const dims: (readonly number[])[] = [];
  for (let k = 0; ; k++) {
    const core = tensors.get(`${path}.tt_W${k}`);
    if (!core) break;
    dims.push(core.dims);
  }
  const { inModes } = readTtDescriptor(path, dims, tensors.get(`${path}.B`)?.dims, undefined, channels);
  return inModes.reduce((product, mode) => product * mode, 1);
}

/**
 * The graph of a VGG from its state dict: input `input` `[N, 3, H, W]`, output `output` `[N, classes]`.
 *
 * @throws ShiboriError when a tensor is missing or does not fit.
 */
export function buildVgg(tensors: StateDict, options: BuildOptions): Graph {
  const prefix = findVggPrefix(tensors);
  if (prefix === undefined)
    throw new ShiboriError('Building VGG: the keys and shapes are not those of a VGG.', { code: 'unsupported-model' });
  const builder = new VggBuilder(tensors, options);
  const { b } = builder;
  const channelsIn = tensors.get(`${prefix}features.0.weight`)?.dims[1] ?? 3;
  let x = b.input('input', 'float32', ['N', channelsIn, ...options.inputSize]);
  x = builder.addFeatures(x, readVggContainer(tensors, `${prefix}features`));
  const channels = Number(x.type?.dims[1]);
  const classifier = readVggContainer(tensors, `${prefix}classifier`);
  const inFeatures = countClassifierInputs(tensors, `${classifier.path}.${classifier.indices[0]}`, channels);
  const side = Math.round(Math.sqrt(inFeatures / channels));
  if (side * side * channels !== inFeatures) {
    throw new ShiboriError(
      `Building VGG: ${classifier.path}.${classifier.indices[0]} takes ${inFeatures} features, which is no square map of ${channels} channels.`,
      { code: 'unsupported-model' },
    );
  }
  x = emitAdaptiveAveragePool(b, x, [side, side], `${prefix}avgpool`);
  x = b.op('Flatten', [x], { axis: 1 }, { name: `${prefix}flatten` });
  x = builder.addClassifier(x, classifier);
  const [op, name] = hasLogSoftmax(tensors, prefix)
    ? (['LogSoftmax', 'log_softmax'] as const)
    : (['Identity', 'output'] as const);
  b.output(b.op(op, [x], {}, { name, outputName: 'output' }));
  return b.build('vgg');
}
