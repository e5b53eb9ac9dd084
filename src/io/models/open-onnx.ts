/*
 * From the bytes of an ONNX file to a classifier for the workflows: one input of float32 images [N, C, H, W], one
 * first output [N, classes], ONNX's own operators of one version. What was changed on the way becomes notes.
 */

import { addFileToError, ShiboriError, UsageError } from '../../errors.js';
import { type OnnxModel, readOnnx } from '../../formats/onnx/read.js';
import { formatDims } from '../../graph/dims.js';
import type { Dim, Graph, Model, Value } from '../../graph/model.js';
import { listNodesFor } from '../../graph/uses.js';
import { decodeInfo, type ModelInfo } from '../../models/metadata.js';
import { resolvePreprocess } from '../../models/preprocessing.js';
import { freeBatch } from '../../passes/free-batch.js';
import { type ImageInput, readImageInput, withImageInput } from '../../passes/image-input.js';
import { importGraph } from '../../passes/import-graph.js';
import type { PassResult } from '../../passes/pass.js';
import { rescalesPixels } from '../../passes/pixel-range.js';
import { isStoredWeight, moveWeightsToInitializers } from '../../passes/weights-as-initializers.js';
import { type DType, isFloat } from '../../tensor/dtype.js';
import { defined } from '../../values.js';
import type { ModelConfigs } from './config-files.js';
import { openExternalData } from './external-data.js';
import { applyPreprocess, listKnownLayers, type Preprocessed } from './model-preprocess.js';
import type { OpenOptions } from './open-options.js';
import { moveScoresFirst } from './scores-first.js';
import { findMainDtype } from './stored-file.js';

/** A value at the border of a file's graph, as the file declares it. */
export interface DeclaredValue {
  readonly name: string;
  readonly dtype: string;
  /** `undefined` where the file leaves even the rank open. */
  readonly dims: readonly Dim[] | undefined;
}

/** What an ONNX file says about itself, before anything is changed. */
export interface OnnxOrigin {
  readonly opset: number;
  /** Name and version of the tool that wrote it, or an empty string. */
  readonly producer: string;
  readonly inputs: readonly DeclaredValue[];
  readonly outputs: readonly DeclaredValue[];
  readonly layout?: 'nchw' | 'nhwc';
  /** Paths of the files with its external data. */
  readonly externalFiles: readonly string[];
}

const BATCH_DIM = 'N';

const describeDeclared = ({ name, type }: Value): DeclaredValue => ({
  name,
  dtype: type?.dtype ?? 'unknown',
  dims: type?.dims,
});

/** Refuses graphs that need more than images. Initializers listed as inputs are none any more. */
function checkInputs({ graph }: Model): void {
  const read = new Set(listNodesFor(graph, graph.outputs).flatMap(({ inputs }) => inputs));
  const used = graph.inputs.filter((input) => read.has(input));
  if (used.length === 1 || graph.inputs.length === 1) return;
  const list = used.map((input) => `"${input.name}" ${formatDims(input.type?.dims)}`).join(', ') || 'none';
  throw new ShiboriError(
    `The model takes ${used.length} inputs (${list}); an image classifier takes images alone. Export it with the others as constants.`,
    { code: 'unsupported-model' },
  );
}

/** A graph whose input has its dimensions, and what was done to it. */
interface BoundGraph extends PassResult {
  /** Why the batch could not be freed. */
  readonly fixed?: string;
}

/** The graph for any batch, or for the file's own where a node holds on to it. */
function bindImages(model: Model, image: ImageInput, dims: readonly Dim[], file: string): BoundGraph {
  const bind = (batch: Dim) =>
    importGraph({ ...model, graph: withImageInput(model.graph, image, [batch, ...dims]).graph }, file);
  if (typeof image.batch !== 'number') return bind(BATCH_DIM);
  let reason: string;
  try {
    const { graph, notes } = bind(BATCH_DIM);
    const freed = freeBatch(graph, BATCH_DIM, image.batch);
    const [fixed] = freed.notes;
    if (!fixed) return { graph: freed.graph, notes };
    reason = fixed.text;
  } catch (error) {
    if (!(error instanceof ShiboriError)) throw error;
    reason = error.message;
  }
  return { ...bind(image.batch), fixed: reason };
}

/** A classifier that was read from an ONNX file. */
export interface OpenedOnnx extends Preprocessed {
  readonly graph: Graph;
  readonly info: ModelInfo;
  readonly notes: readonly string[];
  readonly origin: OnnxOrigin;
  /** The element type that most bytes of the weights are in. */
  readonly dtype: DType;
}

/** What the file says about its model, without that this package wrote it. */
function describeOpened({ about: { producerName, producerVersion, ...others } }: OnnxModel): Pick<ModelInfo, 'about'> {
  const version = producerVersion === undefined ? {} : { producerVersion };
  const producer = producerName === undefined || producerName === 'shibori' ? {} : { producerName, ...version };
  const about = { ...producer, ...others };
  return Object.keys(about).length > 0 ? { about } : {};
}

/** What becomes of weights in small types when a file is written. */
function describeStorage(dtype: DType): string[] {
  if (dtype === 'float16') return ['Its weights are float16; a file that is made of it has them in float16, too.'];
  const isSmall = ['bfloat16', 'int8', 'uint8'].includes(dtype);
  return isSmall
    ? [
        `Its weights are ${dtype}; a file that is made of it has them in float32 (\`store\` of \`compress\` changes that).`,
      ]
    : [];
}

/**
 * Reads an ONNX file as a classifier of images.
 *
 * @throws ShiboriError naming file and node for what cannot be handled.
 */
export function openOnnx(bytes: Uint8Array, file: string, options: OpenOptions, configs: ModelConfigs): OpenedOnnx {
  const external = openExternalData(file);
  const read: OnnxModel = readOnnx(bytes, file, { external: external.read });
  const model = { ...read, graph: moveWeightsToInitializers(read.graph).graph };
  const dtype = findMainDtype(
    Array.from(model.graph.initializers)
      .filter(([value, tensor]) => isStoredWeight(value, tensor))
      .map(([, tensor]) => tensor),
  );
  const info: ModelInfo = {
    ...decodeInfo(model.metadata, file),
    ...describeOpened(read),
    ...(dtype === 'float16' ? { store: dtype } : {}),
  };
  const image = readImageInput(model.graph, options.layout);
  const origin: OnnxOrigin = {
    opset: model.opset,
    producer: model.producer,
    inputs: model.graph.inputs.map(describeDeclared),
    outputs: model.graph.outputs.map(describeDeclared),
    externalFiles: external.files(),
    ...defined({ layout: image?.layout }),
  };
  try {
    checkInputs(model);
    const notes: string[] = [...external.notes, ...describeStorage(dtype)];
    if (!image) {
      const imported = importGraph(model, file);
      notes.push(...imported.notes.map(({ text }) => text));
      const graph = moveScoresFirst(imported.graph, info, configs, options);
      notes.push(...graph.notes);
      return { dtype, graph: graph.graph, info: graph.info, notes, origin };
    }
    const channels = chooseChannels(image, options, notes);
    const takesBytes = !isFloat(image.dtype) || info.takesBytes === true;
    const facts = {
      channels,
      layout: image.layout,
      takesBytes,
      rescales: rescalesPixels(model.graph, image.value),
      ...findImageSize(image, options),
    };
    const layers = listKnownLayers(info, configs);
    const resolved =
      channels === 1 || channels === 3 ? resolvePreprocess(options.preprocess ?? {}, layers, facts) : undefined;
    const [height, width] = resolved?.preprocess.size ?? facts.size?.value ?? [image.height, image.width];
    const bound = bindImages(model, image, [channels, height, width], file);
    notes.push(...bound.notes.map(({ text }) => text));
    noteChanges(image, bound, notes);
    const described = takesBytes ? { ...info, takesBytes } : info;
    const scores = moveScoresFirst(bound.graph, described, configs, options);
    notes.push(...scores.notes);
    const { graph } = scores;
    return { dtype, graph, notes, origin, ...applyPreprocess(graph, scores.info, configs, resolved, notes) };
  } catch (error) {
    throw addFileToError(file, error);
  }
}

function chooseChannels({ channels, value }: ImageInput, options: OpenOptions, notes: string[]): number {
  const { channels: wanted } = options;
  if (typeof channels === 'number') {
    if (wanted === undefined || wanted === channels) return channels;
    throw new UsageError(
      `Input "${value.name}" takes images of ${channels} channels, not of ${wanted} (\`channels\`).`,
      { option: 'channels' },
    );
  }
  if (wanted === undefined) notes.push(`Input "${value.name}" leaves its channels open: taken to be 3.`);
  return wanted ?? 3;
}

function findImageSize(
  { height, width }: ImageInput,
  { inputSize }: OpenOptions,
): { size?: { from: string; value: readonly [number, number] } } {
  if (inputSize) return { size: { from: 'option', value: inputSize } };
  return typeof height === 'number' && typeof width === 'number'
    ? { size: { from: 'graph', value: [height, width] } }
    : {};
}

function noteChanges(image: ImageInput, bound: BoundGraph, notes: string[]): void {
  const { value, layout, layoutFrom, dtype, batch } = image;
  if (layoutFrom === 'sizes') {
    const order = layout === 'nchw' ? '[N, C, H, W]' : '[N, H, W, C]';
    notes.push(
      `No node shows which axis of input "${value.name}" ${formatDims(value.type?.dims)} holds the channels: by its sizes it is taken to be ${order}. \`imageLayout\` changes it.`,
    );
  }
  if (layout === 'nhwc') {
    notes.push(
      `Input "${value.name}" is [N, H, W, C]: images come in as [N, C, H, W] and are transposed at the entry.`,
    );
  }
  if (!['float32', 'float16', 'bfloat16'].includes(dtype)) {
    notes.push(`Input "${value.name}" takes ${dtype}: images come in as float32 and are cast at the entry.`);
  }
  if (typeof batch !== 'number') return;
  notes.push(
    bound.fixed === undefined
      ? `The batch was fixed to ${batch}; any batch runs now.`
      : `The batch is fixed to ${batch}, batches run ${batch === 1 ? 'image by image' : `${batch} images at a time`}: ${bound.fixed}.`,
  );
}
