/** Files that compressions read and write. */

import { basename } from 'node:path';
import { getEngine, type RunContext } from '../context/run-context.js';
import { UsageError } from '../errors.js';
import { listModelFiles } from '../evaluation/collect-provenance.js';
import { type LoadedModel, parseModelFormat } from '../io/models/model-file.js';
import { isOpenedModel, type ModelSource } from '../io/models/model-source.js';
import { type SaveOptions, saveModel } from '../io/models/save-model.js';
import { defined } from '../values.js';

/** Names the file of a compressed model, where one was asked for. */
export interface CompressedFile {
  readonly output?: string;
  readonly outputBytes?: number;
}

/** Holds a compressed model. */
export interface CompressedModel extends CompressedFile {
  /** The model, weights as they are stored. */
  readonly model: LoadedModel;
}

/** Lists the files of a model; none for a model that was built in memory. */
export function listSourceFiles(model: ModelSource): string[] {
  if (typeof model === 'string') return [model];
  return isOpenedModel(model) ? listModelFiles(model) : [];
}

/** Names a model in titles: its file, else its graph. */
export function getModelTitle(model: LoadedModel): string {
  return isOpenedModel(model) ? basename(model.file) : model.graph.name;
}

/** Refuses a file that cannot hold layers of any scheme. Throws a UsageError for one that is no ONNX file. */
export function requireOnnxFile(output: string | undefined): void {
  if (output === undefined || parseModelFormat(output) === 'onnx') return;
  throw new UsageError(
    `\`output: '${output}'\`: only an ONNX file holds decomposed layers; a state dict has no graph that says how its factors belong together. Give a name ending in .onnx.`,
    { option: 'output' },
  );
}

/** Writes a compressed model where a file is asked for. */
export async function saveCompressed(
  model: LoadedModel,
  output: string | undefined,
  options: Omit<SaveOptions, 'engine'>,
  context: RunContext,
): Promise<CompressedFile> {
  context.signal?.throwIfAborted();
  if (output === undefined) return {};
  const { file, sizeBytes } = await saveModel(model, output, { ...defined(options), engine: getEngine(context) });
  return { output: file, outputBytes: sizeBytes };
}
