import { spatialLayers } from '../explain/grad-cam.js';
import type { Dim } from '../graph/model.js';
import { findLayer } from '../graph/module-path.js';
import { type OpenOptions, openModel } from '../node/model-file.js';

/** The layers of a model file that Grad-CAM can look at, in order of execution, with their activations' dimensions. */
export async function listLayers(
  file: string,
  options: OpenOptions = {},
): Promise<{ name: string; shape: readonly Dim[] }[]> {
  const { graph } = await openModel(file, options);
  return spatialLayers(graph).map((name) => ({ name, shape: findLayer(graph, name).output.type?.dims ?? [] }));
}
