/* Writes model files, each of which is opened and run before it takes its place. */
import type { Engine } from '../../engine/engine.js';
import { nodeEngine } from '../../engine/node.js';
import { ShiboriError } from '../../errors.js';
import { readSafetensors } from '../../formats/safetensors/read.js';
import { readTorch } from '../../formats/torch/read.js';
import type { Graph } from '../../graph/model.js';
import { architectures } from '../../models/architectures.js';
import { buildStateDict } from '../../models/state-dict.js';
import { checkFinite } from '../../passes/check-weights.js';
import { writeFileAtomic } from '../atomic-file.js';
import {
  buildFileGraph,
  encodeModel,
  type LoadedModel,
  type ModelFormat,
  openBytes,
  parseModelFormat,
  readWholeFile,
} from './model-file.js';
import type { OpenOptions } from './open-options.js';
import { verifyOutputs, verifyTensors } from './verify-model.js';

/** A model file that was written. */
export interface SavedModel {
  readonly file: string;
  readonly sizeBytes: number;
}

/** Options of `saveModel`. */
export interface SaveOptions {
  /** Runs the model that is compared with the file. Default: ONNX Runtime on all cores. */
  readonly engine?: Engine;
  /** A graph that the model should equal: nothing was to be lost. */
  readonly equals?: Graph;
  /** The most bytes that the file may take. */
  readonly maxBytes?: number;
}

/**
 * Writes a model file, format by extension. Before the new file takes its place it is opened as a user would: an ONNX file
 * is read again and loaded by ONNX Runtime, and both give the model's outputs for one image and for several; the tensors
 * of any other file are those of the model, bit by bit, and give its outputs where their architecture is known.
 *
 * @throws ShiboriError for a file that cannot be written, or is not what it should be; the file that was there before stays.
 */
export async function saveModel(model: LoadedModel, file: string, options: SaveOptions = {}): Promise<SavedModel> {
  const format = parseModelFormat(file);
  const chunks = await encodeModel(model, format);
  const { equals, engine = nodeEngine() } = options;
  const sizeBytes = await writeFileAtomic(file, chunks, async (temporary) => {
    try {
      const size = model.info.preprocess?.size;
      if (equals) await verifyOutputs(engine, { promised: model.graph, equals, size });
      await verifyFile(model, format, temporary, engine, options.maxBytes);
    } catch (error) {
      if (!(error instanceof ShiboriError)) throw error;
      throw new ShiboriError(
        `Saving ${file}: the file was written and opened before it takes its place, and is not what it should be: ${error.message.replaceAll(temporary, file).replace(/\.$/, '')}. Nothing was saved; what was there before is untouched.`,
        { code: 'write-failed', cause: error, file },
      );
    }
  });
  return { file, sizeBytes };
}

/** Throws a ShiboriError where a written file is not the model. */
async function verifyFile(
  model: LoadedModel,
  format: ModelFormat,
  path: string,
  engine: Engine,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<void> {
  const bytes = await readWholeFile(path, 'model');
  if (bytes.length > maxBytes)
    throw new ShiboriError(`it takes ${bytes.length} bytes, more than ${maxBytes}`, { code: 'goal-unreachable' });
  const common = { promised: model.graph, size: model.info.preprocess?.size };
  if (format === 'onnx') {
    const reopened = await openBytes(bytes, format, path, {});
    checkFinite(reopened.graph);
    // Scores come first in memory only: files are compared output by output as they have them.
    const graphs = { promised: buildFileGraph(model), reopened: buildFileGraph(reopened) };
    return verifyOutputs(engine, { ...common, ...graphs, onnxFile: path });
  }
  const { tensors } =
    format === 'torch' ? await readTorch(bytes, path, { keepNames: true }) : readSafetensors(bytes, path);
  verifyTensors(tensors, buildStateDict(model.graph));
  // A state dict has no graph: without a known architecture, the reader of the file has the graph.
  const known = model.info.architecture !== undefined || architectures.some(({ recognises }) => recognises(tensors));
  if (!known) return;
  const [, , height, width] = model.graph.inputs[0]?.type?.dims ?? [];
  const inputSize: OpenOptions =
    typeof height === 'number' && typeof width === 'number' ? { inputSize: [height, width] } : {};
  const { graph } = await openBytes(bytes, format, path, inputSize);
  checkFinite(graph);
  await verifyOutputs(engine, { ...common, reopened: graph });
}

/** Writes an ONNX file of unfinished work, which is not verified: what comes of it is. */
export async function saveWork(model: LoadedModel, file: string): Promise<void> {
  const info = { ...model.info, store: 'float32' } as const;
  await writeFileAtomic(file, await encodeModel({ ...model, info }, 'onnx'));
}
