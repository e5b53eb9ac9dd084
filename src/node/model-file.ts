import { closeSync, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve, sep } from 'node:path';
import { ttDescriptorsOf } from '../decompose/tt-layer.js';
import { ShiboriError, UsageError } from '../errors.js';
import { readOnnx } from '../formats/onnx/read.js';
import { writeOnnxChunks } from '../formats/onnx/write.js';
import { readSafetensors } from '../formats/safetensors/read.js';
import { writeSafetensors } from '../formats/safetensors/write.js';
import { readTorch } from '../formats/torch/read.js';
import { writeTorch } from '../formats/torch/write.js';
import { type Graph, type Model, OPSET } from '../graph/model.js';
import { architectureOf, architectures } from '../models/architectures.js';
import { decodeInfo, encodeInfo, type ModelInfo } from '../models/metadata.js';
import { type StateDict, stateDictOf } from '../models/state-dict.js';
import { bindInputs } from '../passes/rewrite.js';
import { upgradeOpset } from '../passes/upgrade-opset.js';
import { writeFileAtomic } from './atomic-file.js';

/** A file format that models are read from and written to. */
export type ModelFormat = 'onnx' | 'torch' | 'safetensors';

/** A model as the verbs handle it: an inference graph with its parameters, and what else is known of it. */
export interface LoadedModel {
  /** Typed graph; the batch is symbolic. */
  readonly graph: Graph;
  readonly info: ModelInfo;
}

/** A model that was read from a file. */
export interface OpenedModel extends LoadedModel {
  readonly file: string;
  readonly format: ModelFormat;
  readonly fileBytes: number;
  /** Entries of the file that are not part of the model (optimizer state, epoch numbers), by name. */
  readonly ignored: readonly string[];
}

const formatNames: Readonly<Record<ModelFormat, string>> = {
  onnx: 'an ONNX model',
  torch: 'a PyTorch file',
  safetensors: 'a safetensors file',
};

const byExtension: Readonly<Record<string, ModelFormat>> = {
  '.onnx': 'onnx',
  '.pt': 'torch',
  '.pth': 'torch',
  '.bin': 'torch',
  '.safetensors': 'safetensors',
};

/** The format that a file's extension promises. Throws UsageError for one that is none of a model's. */
export function formatOf(file: string): ModelFormat {
  const format = byExtension[extname(file).toLowerCase()];
  if (format) return format;
  throw new UsageError(
    `"${file}" does not look like a model: expected a name ending in ${Object.keys(byExtension).join(', ')}.`,
  );
}

/** The format that the first bytes of a file show, or `undefined`. */
function formatOfBytes(bytes: Uint8Array): ModelFormat | undefined {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return 'torch';
  if (bytes[0] === 0x80 && (bytes[1] ?? 0) <= 5) return 'torch';
  if (bytes[8] === 0x7b && bytes[6] === 0 && bytes[7] === 0) return 'safetensors';
  return bytes[0] === 0x08 ? 'onnx' : undefined;
}

/** Reads a whole file. Throws ShiboriError when it is missing or cannot be read. */
export async function readWhole(file: string, what: string): Promise<Uint8Array> {
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
    throw new ShiboriError(`Reading ${what} "${file}": ${reason}.`);
  }
}

/** Options of `openModel`. */
export interface OpenOptions {
  /** Architecture of a state dict; default: recognised from its keys and shapes. */
  readonly arch?: string;
  /** `[height, width]` of the images; default: what the file says or the architecture's usual size. */
  readonly inputSize?: readonly [number, number];
  /** How tensor-train layers of a state dict run. Default: `rebuilt`. */
  readonly execution?: 'factored' | 'rebuilt';
}

function graphOfState(tensors: StateDict, info: ModelInfo, file: string, options: OpenOptions): LoadedModel {
  const architecture = architectureOf(tensors, file, options.arch ?? info.architecture);
  const inputSize = options.inputSize ?? info.preprocess?.size ?? architecture.defaultInputSize(tensors);
  const execution = (path: string) =>
    options.execution ?? info.layers?.find((layer) => layer.path === path)?.execution ?? 'rebuilt';
  const graph = architecture.build(tensors, { inputSize, execution });
  const layers = ttDescriptorsOf(graph).map((layer) => ({ ...layer, execution: execution(layer.path) }));
  return {
    graph,
    info: { ...info, architecture: architecture.name, ...(layers.length > 0 ? { layers } : {}) },
  };
}

/** Reads a part of an external data file; refuses one outside of the model's folder. */
function readExternal(model: string, location: string, offset: number, length: number | undefined): Uint8Array {
  const folder = realpathSync(dirname(resolve(model)));
  const fail = (reason: string) => new ShiboriError(`Reading ${model}: its external data "${location}" ${reason}.`);
  let path: string;
  try {
    path = realpathSync(resolve(folder, location));
  } catch {
    throw fail('is missing: put it beside the model');
  }
  if (!path.startsWith(folder + sep)) throw fail("lies outside of the model's folder");
  const descriptor = openSync(path, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const wanted = length ?? size - offset;
    if (offset < 0 || wanted < 0 || offset + wanted > size)
      throw fail(`has ${size} bytes, the model asks for ${offset} to ${offset + wanted}`);
    const bytes = new Uint8Array(wanted);
    readSync(descriptor, bytes, 0, wanted, offset);
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}

function onnxModel(bytes: Uint8Array, file: string, options: OpenOptions): LoadedModel {
  const model = readOnnx(bytes, file, {
    external: (location, offset, length) => readExternal(file, location, offset, length),
  });
  const info = decodeInfo(model.metadata, file);
  const graph = upgradeOpset(model, file);
  const input = graph.inputs[0];
  const dims = input?.type?.dims;
  if (!input || !dims || !options.inputSize) return { graph, info };
  return { graph: bindInputs(graph, { [input.name]: [...dims.slice(0, -2), ...options.inputSize] }), info };
}

/**
 * Opens a model file: `.onnx`, `.pt`/`.pth` (a state dict) or `.safetensors`.
 *
 * @throws ShiboriError when the file is missing, damaged, mislabelled, or no known architecture.
 */
export async function openModel(file: string, options: OpenOptions = {}): Promise<OpenedModel> {
  const promised = formatOf(file);
  const bytes = await readWhole(file, 'model');
  if (bytes.length === 0) throw new ShiboriError(`Reading ${file}: the file is empty.`);
  const found = formatOfBytes(bytes);
  if (found !== undefined && found !== promised) {
    throw new ShiboriError(
      `Reading ${file}: its name promises ${formatNames[promised]}, but it holds ${formatNames[found]}. Rename it, or give the right file.`,
    );
  }
  const common = { file, format: promised, fileBytes: bytes.length };
  if (promised === 'onnx') return { ...common, ...onnxModel(bytes, file, options), ignored: [] };
  if (promised === 'torch') {
    const { tensors, source } = await readTorch(bytes, file);
    return { ...common, ...graphOfState(tensors, {}, file, options), ignored: source.ignored };
  }
  const { tensors, metadata } = readSafetensors(bytes, file);
  return { ...common, ...graphOfState(tensors, decodeInfo(metadata, file), file, options), ignored: [] };
}

/** The bytes of a model in a format, in chunks. */
export async function encodeModel(model: LoadedModel, format: ModelFormat): Promise<readonly Uint8Array[]> {
  const metadata = encodeInfo(model.info);
  if (format === 'onnx') {
    const whole: Model = { graph: model.graph, opset: OPSET, domains: {}, metadata };
    return writeOnnxChunks(whole);
  }
  const state = stateDictOf(model.graph);
  return [format === 'torch' ? await writeTorch(state) : writeSafetensors(state, metadata)];
}

/** Writes a model file, format by extension. What was there before stays until the new file is whole. */
export async function saveModel(
  model: LoadedModel,
  file: string,
): Promise<{ readonly file: string; readonly sizeBytes: number }> {
  const chunks = await encodeModel(model, formatOf(file));
  await writeFileAtomic(file, chunks);
  return { file, sizeBytes: (await stat(file)).size };
}

/** A name for a result beside its source: `defaultOutput('a/b.pt', 'compressed', '.onnx')` is `b-compressed.onnx`. */
export function defaultOutput(file: string, suffix: string, extension = extname(file)): string {
  return join(process.cwd(), `${basename(file, extname(file))}-${suffix}${extension}`);
}

/** The parameters that fine-tuning trains unless told otherwise: the architecture's head. */
export function headPattern(info: ModelInfo): string {
  return architectures.find(({ name }) => name === info.architecture)?.head ?? '*';
}
