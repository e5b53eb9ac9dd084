import { open } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { addFileToError, ShiboriError, UsageError } from '../../errors.js';
import {
  describeOtherFormat,
  detectModelFormat,
  findModelFormat,
  type ModelFormat,
  modelExtensions,
} from '../../formats/file-kind.js';
import { writeOnnxChunks } from '../../formats/onnx/write.js';
import { writeSafetensors } from '../../formats/safetensors/write.js';
import { writeTorch } from '../../formats/torch/write.js';
import { type Graph, type Model, OPSET } from '../../graph/model.js';
import { architectures } from '../../models/architectures.js';
import { encodeInfo, type ModelInfo, VERSION_KEY } from '../../models/metadata.js';
import { buildStateDict } from '../../models/state-dict.js';
import { checkFinite } from '../../passes/check-weights.js';
import { withOutputs } from '../../passes/scores-graph.js';
import { storeWeights } from '../../passes/store-weights.js';
import { readPackageVersion } from '../package-version.js';
import { readModelConfigs } from './config-files.js';
import type { Preprocessed } from './model-preprocess.js';
import { type OnnxOrigin, openOnnx } from './open-onnx.js';
import type { OpenOptions } from './open-options.js';
import { openState, readSafeState, readTorchState } from './open-state.js';
import { describeStoredFile, findMainDtype, type StoredFile } from './stored-file.js';

export type { ModelFormat } from '../../formats/file-kind.js';
export type { OpenOptions } from './open-options.js';

/** Holds a model for the workflows: an inference graph with its parameters, and the model's information. */
export interface LoadedModel {
  /** Typed graph; the batch is symbolic, or a number where the file's graph runs for no other. */
  readonly graph: Graph;
  readonly info: ModelInfo;
  /** The file that the graph was read from, where it was. */
  readonly stored?: StoredFile;
}

/** A model that was read from a file. */
export interface OpenedModel extends LoadedModel, Preprocessed {
  readonly file: string;
  readonly format: ModelFormat;
  readonly fileBytes: number;
  /** Entries of the file that are not part of the model (optimizer state, epoch numbers), by name. */
  readonly ignored: readonly string[];
  /** What was changed or assumed to open it, in sentences. */
  readonly notes: readonly string[];
  /** What an ONNX file says about itself. */
  readonly origin?: OnnxOrigin;
}

const formatNames: Readonly<Record<ModelFormat, string>> = {
  onnx: 'an ONNX model',
  torch: 'a PyTorch file',
  safetensors: 'a safetensors file',
};

/** The format that a file's extension promises. Throws UsageError for one that is none of a model's. */
export function parseModelFormat(file: string): ModelFormat {
  // `checkpoint.pth.tar` is what PyTorch's own examples write; it is no archive.
  const format = findModelFormat(getModelExtension(file));
  if (format) return format;
  throw new UsageError(
    `"${file}" does not look like a model: expected a name ending in ${modelExtensions.join(', ')}.`,
  );
}

/** Reads a whole file. Throws ShiboriError when it is missing or cannot be read. */
export async function readWholeFile(file: string, what: string): Promise<Uint8Array> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const bytes = new Uint8Array(size);
      let at = 0;
      while (at < size) {
        const { bytesRead } = await handle.read(bytes, at, Math.min(size - at, 1 << 30), at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return bytes.subarray(0, at);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : String(code ?? error);
    throw new ShiboriError(`Reading ${what} "${file}": ${reason}.`, { code: 'file-not-found', file });
  }
}

/**
 * Opens a model file: `.onnx`, `.pt`/`.pth`/`.ckpt`/`.th` (a state dict or checkpoint) or `.safetensors`. Its
 * preprocessing comes, part by part, from the first that says anything: options, our own metadata in the file,
 * `preprocessor_config.json` and `config.json` alongside it, a guess.
 *
 * @throws ShiboriError when the file is missing, damaged, mislabelled, or no known architecture.
 */
export async function openModel(file: string, options: OpenOptions = {}): Promise<OpenedModel> {
  const promised = parseModelFormat(file);
  const opened = await openBytes(await readWholeFile(file, 'model'), promised, file, options);
  try {
    checkFinite(opened.graph);
  } catch (error) {
    throw addFileToError(file, error);
  }
  return opened;
}

/** Opens what a model file holds. */
export async function openBytes(
  bytes: Uint8Array,
  promised: ModelFormat,
  file: string,
  options: OpenOptions,
): Promise<OpenedModel> {
  if (bytes.length === 0) throw new ShiboriError(`Reading ${file}: the file is empty.`, { code: 'invalid-file', file });
  const found = detectModelFormat(bytes);
  if (found !== undefined && found !== promised) {
    throw new ShiboriError(
      `Reading ${file}: its name promises ${formatNames[promised]}, but it holds ${formatNames[found]}. Rename it, or give the right file.`,
      { code: 'invalid-file', file },
    );
  }
  const otherFormat = describeOtherFormat(bytes);
  if (otherFormat)
    throw new ShiboriError(`Reading ${file}: it is not ${formatNames[promised]}: ${otherFormat}.`, {
      code: 'unsupported-file',
      file,
    });
  const common = { file, format: promised, fileBytes: bytes.length };
  const configs = readModelConfigs(file);
  if (promised === 'onnx' && options.weights !== undefined) {
    throw new UsageError(
      `Reading ${file}: \`weights: '${options.weights}'\` chooses among the weights of a checkpoint; an ONNX file has one set. Leave it out.`,
      { file, option: 'weights' },
    );
  }
  if (promised === 'onnx') {
    const { dtype, ...opened } = openOnnx(bytes, file, options, configs);
    const stored = describeStoredFile(opened.graph, dtype, [file, ...opened.origin.externalFiles]);
    return { ...common, ...opened, stored, ignored: [] };
  }
  const state = promised === 'torch' ? await readTorchState(bytes, file, options) : readSafeState(bytes, file, options);
  const opened = openState(state, file, options, configs);
  // What else a checkpoint holds (the state of an optimizer, other weights) is no part of the model.
  if (state.ignored.length > 0) return { ...common, ...opened };
  return {
    ...common,
    ...opened,
    stored: describeStoredFile(opened.graph, findMainDtype(state.tensors.values()), [file]),
  };
}

/**
 * The options for each of several files that are opened together: `weights` is for those that can hold several sets, and
 * refused where none can.
 */
export function splitOpenOptions(files: readonly string[], options: OpenOptions): OpenOptions[] {
  const { weights, ...others } = options;
  const isOnnx = files.map((file) => extname(file).toLowerCase() === '.onnx');
  if (weights === undefined || !isOnnx.includes(false)) return files.map(() => options);
  return isOnnx.map((one) => (one ? others : options));
}

/** The graph as a file has it: with the outputs of the file that it came from, in their order, and weights as that stored them. */
export function buildFileGraph({ graph, info }: LoadedModel): Graph {
  const whole = info.outputs ? withOutputs(graph, info.outputs) : graph;
  return storeWeights(whole, info.store ?? 'float32').graph;
}

/** The bytes of a model in a format, in chunks. */
export async function encodeModel(model: LoadedModel, format: ModelFormat): Promise<readonly Uint8Array[]> {
  const version = readPackageVersion();
  const metadata = { ...encodeInfo(model.info), [VERSION_KEY]: version };
  if (format === 'onnx') {
    const { about } = model.info;
    const own = { producerName: 'shibori', producerVersion: version };
    const whole: Model = {
      graph: buildFileGraph(model),
      opset: OPSET,
      domains: {},
      metadata,
      about: about?.producerName === undefined ? { ...about, ...own } : about,
    };
    return writeOnnxChunks(whole);
  }
  const state = buildStateDict(model.graph);
  return [format === 'torch' ? await writeTorch(state) : writeSafetensors(state, metadata)];
}

/** The extension of a model file, of which `.tar` after another is no part: `.pth` of `checkpoint.pth.tar`. */
export function getModelExtension(file: string): string {
  return extname(file.replace(/\.tar$/i, ''));
}

/** Names a result next to its source: `defaultOutput('a/b.pt', 'compressed', '.onnx')` is `b-compressed.onnx`. */
export function buildDefaultOutput(file: string, suffix: string, extension = getModelExtension(file)): string {
  return join(process.cwd(), `${basename(file, extname(file))}-${suffix}${extension}`);
}

/** Returns the parameters that fine-tuning trains by default: the architecture's head. */
export function getHeadPattern(info: ModelInfo): string {
  return architectures.find(({ name }) => name === info.architecture)?.headPattern ?? '*';
}
