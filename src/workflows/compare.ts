import { basename } from 'node:path';
import type { RunOptions } from '../context/run-context.js';
import { listModelFiles } from '../evaluation/collect-provenance.js';
import { planComparison } from '../evaluation/comparison-phases.js';
import { type DataSourceOptions, withDataset } from '../images/open-dataset.js';
import { type OpenOptions, splitOpenOptions } from '../io/models/model-file.js';
import { isOpenedModel, type ModelSource, openModelSource } from '../io/models/model-source.js';
import { type ComparisonOptions, compareModels } from '../pictures/compare-models.js';
import type { Comparison } from '../report/comparison.js';

/** Lists the options of {@link compare}. */
export interface CompareOptions extends OpenOptions, DataSourceOptions, RunOptions, Omit<ComparisonOptions, 'files'> {
  /** The original: path of a model file, or an opened model. */
  readonly before: ModelSource;
  /** What it became: path of a model file, or an opened model. */
  readonly after: ModelSource;
}

/** Holds what two models have in common on the same images. */
export type CompareResult = Comparison;

const getName = (source: ModelSource, other: string): string => (typeof source === 'string' ? basename(source) : other);

/**
 * Compares two models on a data set: accuracy, sizes, speed, Grad-CAM maps, changed predictions.
 *
 * Nothing is written unless `output` names a folder, for `report.html`, `report.json` and `figures/`.
 *
 * @throws UsageError for models whose classes or input sizes differ.
 * @example
 * ```ts
 * const { verdict, maps } = await compare({ before: 'model.onnx', after: 'model.onnx', data: 'photos' });
 * ```
 */
export async function compare(options: CompareOptions): Promise<CompareResult> {
  const paths = [options.before, options.after].map((source) => (typeof source === 'string' ? source : ''));
  const [forBefore = options, forAfter = options] = splitOpenOptions(paths, options);
  const before = await openModelSource(options.before, forBefore, options);
  const after = await openModelSource(options.after, forAfter, options);
  const names = options.names ?? ([getName(options.before, 'before'), getName(options.after, 'after')] as const);
  const [filesBefore, filesAfter] = [before, after].map((model) => (isOpenedModel(model) ? listModelFiles(model) : []));
  return withDataset(options, 'measure', options, (dataset) => {
    options.onPhases?.(planComparison(dataset.source.items.length, options.mapImages));
    const files = [filesBefore ?? [], filesAfter ?? []] as const;
    return compareModels(before, after, dataset, { ...options, names, files }, options);
  });
}
