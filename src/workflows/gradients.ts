import { computeGradients, type Gradients, type GradientsOptions } from '../autodiff/gradients.js';
import { getEngine, type RunContext } from '../context/run-context.js';
import { type LoadedModel, type OpenOptions, openModel } from '../io/models/model-file.js';
import type { Tensor } from '../tensor/tensor.js';

/** Lists the options of {@link gradients}: what is differentiated by what, and how the model is opened and run. */
export type GradientsWorkflowOptions<W extends string = string> = GradientsOptions<W> & OpenOptions & RunContext;

/**
 * Computes gradients of a model: of any number that its scores give, by its images, parameters or activations.
 *
 * @param model path of a model file, or an opened model.
 * @param images float32 `[N, C, H, W]`, preprocessed as the model takes them.
 * @returns the gradient of each of `wrt` by name, with the dimensions of what it belongs to.
 * @throws UsageError for a name that the model does not have; ShiboriError (`no-gradient`) where there is none.
 * @example
 * ```ts
 * const images = float32(new Float32Array(3 * 8 * 8), [1, 3, 8, 8]);
 * const { gradients: g } = await gradients('model.onnx', { of: (scores) => max(scores), wrt: 'input' }, images);
 * console.log(g.input.dims); // [1, 3, 8, 8]
 * ```
 */
export async function gradients<const W extends string>(
  model: string | LoadedModel,
  options: GradientsWorkflowOptions<W>,
  images: Tensor<'float32'>,
): Promise<Gradients<W>> {
  const { graph } = typeof model === 'string' ? await openModel(model, options) : model;
  return computeGradients(getEngine(options), graph, options, images);
}
