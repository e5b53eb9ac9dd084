import { type RunContext, reportNotes } from '../../context/run-context.js';
import { type LoadedModel, type OpenedModel, type OpenOptions, openModel } from './model-file.js';

/** Names a model: the path of a file, or a model that is open already. */
export type ModelSource = string | LoadedModel;

/** Tells a model that was read from a file from one that was built in memory. */
export function isOpenedModel(model: LoadedModel): model is OpenedModel {
  return 'file' in model && 'notes' in model;
}

/**
 * Opens a model file and reports what was changed or assumed; returns a model that is open already as it is.
 *
 * @param options apply to files alone.
 */
export async function openModelSource(
  source: ModelSource,
  options: OpenOptions,
  context: RunContext,
): Promise<LoadedModel> {
  if (typeof source !== 'string') return source;
  const model = await openModel(source, options);
  reportNotes(model, context);
  return model;
}
