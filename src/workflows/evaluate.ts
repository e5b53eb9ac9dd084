import type { RunOptions } from '../context/run-context.js';
import { type Evaluation, evaluateModel } from '../evaluation/evaluate-model.js';
import { type DataSourceOptions, withDataset } from '../images/open-dataset.js';
import type { OpenOptions } from '../io/models/model-file.js';
import { type ModelSource, openModelSource } from '../io/models/model-source.js';

/** Lists the options of {@link evaluate}. */
export interface EvaluateOptions extends OpenOptions, DataSourceOptions, RunOptions {
  /** Path of a model file, or an opened model. */
  readonly model: ModelSource;
  /** Images at a time. Default: 64. */
  readonly batch?: number;
}

/** Holds how well a model does on images, and how fast. */
export type EvaluateResult = Evaluation;

/**
 * Measures a model on a data set: top-1 and top-5 (counts and percent) and the mean negative log-likelihood in nats.
 *
 * @throws UsageError for images without labels; ShiboriError for files that cannot be read. Corrupt images are skipped and
 *   counted instead.
 * @example
 * ```ts
 * const { top1, nll } = await evaluate({ model: 'model.onnx', data: 'photos' });
 * ```
 */
export async function evaluate(options: EvaluateOptions): Promise<EvaluateResult> {
  const model = await openModelSource(options.model, options, options);
  return withDataset(options, 'measure', options, (dataset) => evaluateModel(model, dataset, options, options));
}
