import type { RunOptions } from '../context/run-context.js';
import type { ChosenImages } from '../images/chosen-images.js';
import { type DataSource, type DataSourceOptions, withDataset } from '../images/open-dataset.js';
import type { OpenOptions } from '../io/models/model-file.js';
import { type ModelSource, openModelSource } from '../io/models/model-source.js';
import { type ExplainChoice, type ExplainResult, explainChosen } from '../pictures/explain-chosen.js';

export type { ExplainResult };

/** Lists the options of {@link explain}. */
export interface ExplainOptions extends OpenOptions, Omit<DataSourceOptions, 'data'>, RunOptions, ExplainChoice {
  /** Path of a model file, or an opened model. */
  readonly model: ModelSource;
  /**
   * Image files, folders of images, text files that list images, the bytes of a file, decoded images; with `data`, paths or
   * positions inside the data set. Default: images spread over the classes of `data`.
   */
  readonly images?: ChosenImages;
  /** The data set that images are taken from. Default: none. */
  readonly data?: DataSource;
}

/**
 * Shows why a model predicts: Grad-CAM maps of images (arXiv:1610.02391), as tensors `[H, W]` from 0 to 1 and, where
 * folders are named, as PNG triptychs *image | map | overlay* (`output`) and NumPy files (`maps`).
 *
 * @throws UsageError for an unknown layer or class, with the nearest name; ShiboriError for files that cannot be read.
 * @example
 * ```ts
 * const { layer, images: [first] } = await explain({ model: 'model.onnx', images: 'photo.png' });
 * console.log(first?.map.dims); // [8, 8]
 * ```
 */
export async function explain(options: ExplainOptions): Promise<ExplainResult> {
  const { data, images = [] } = options;
  const model = await openModelSource(options.model, options, options);
  if (data === undefined) return explainChosen(model, images, { ...options, dataset: undefined }, options);
  return withDataset({ ...options, data }, 'measure', options, (dataset) =>
    explainChosen(model, images, { ...options, dataset }, options),
  );
}
