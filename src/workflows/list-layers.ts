import { type RunContext, reportNotes } from '../context/run-context.js';
import { findSpatialLayers, type SpatialLayer } from '../explain/layers.js';
import type { Dim } from '../graph/model.js';
import { type OpenOptions, openModel } from '../io/models/model-file.js';

/** A layer that Grad-CAM can look at. */
export interface ListedLayer {
  /** Module path. */
  readonly name: string;
  /** The ONNX operator that computes its output. */
  readonly op: string;
  /** The output's dimensions. */
  readonly shape: readonly Dim[];
  /** How the output lies on the image: layout, channels, height, width, tokens before those of the patches. */
  readonly grid: SpatialLayer['grid'];
  /** Whether `explain` looks here by default. */
  readonly isDefault: boolean;
}

/** The layers of a model file that Grad-CAM can look at, in order of execution. */
export async function listMapLayers(
  file: string,
  options: OpenOptions = {},
  context: RunContext = {},
): Promise<ListedLayer[]> {
  const model = await openModel(file, options);
  reportNotes(model, context);
  const { graph } = model;
  return findSpatialLayers(graph).map(({ path, op, output, grid, isDefault }) => ({
    name: path,
    op,
    shape: output.type?.dims ?? [],
    grid,
    isDefault,
  }));
}
