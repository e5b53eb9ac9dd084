import type { RunOptions } from '../context/run-context.js';
import { findSpatialLayers, type SpatialLayer } from '../explain/layers.js';
import type { Dim } from '../graph/model.js';
import type { OpenOptions } from '../io/models/model-file.js';
import { type ModelSource, openModelSource } from '../io/models/model-source.js';

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

/** Lists the options of {@link listLayers}. */
export interface ListLayersOptions extends OpenOptions, RunOptions {
  /** Path of a model file, or an opened model. */
  readonly model: ModelSource;
}

/**
 * Lists the layers of a model that Grad-CAM can look at, in order of execution.
 *
 * @example
 * ```ts
 * const layers = await listLayers({ model: 'model.onnx' });
 * ```
 */
export async function listLayers(options: ListLayersOptions): Promise<ListedLayer[]> {
  const { graph } = await openModelSource(options.model, options, options);
  return findSpatialLayers(graph).map(({ path, op, output, grid, isDefault }) => ({
    name: path,
    op,
    shape: output.type?.dims ?? [],
    grid,
    isDefault,
  }));
}
