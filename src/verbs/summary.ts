import type { TtLayer } from '../decompose/tt-layer.js';
import { fitsPattern } from '../graph/module-path.js';
import { type Summary, summarize } from '../models/summary.js';
import { type OpenOptions, openModel } from '../node/model-file.js';

/** The summary of a model file. */
export interface FileSummary extends Summary {
  readonly file: string;
  readonly format: string;
  readonly fileBytes: number;
  readonly architecture?: string;
  /** The layers that are tensor trains, and how they run. */
  readonly tensorTrains: readonly TtLayer[];
  /** Entries of the file that are not part of the model. */
  readonly ignored: readonly string[];
}

/** A predicate from patterns such as `classifier.*`: whether a training changes a parameter. */
export function trainsBy(patterns: readonly string[]): (parameter: string) => boolean {
  return (parameter) => patterns.some((pattern) => fitsPattern(parameter, pattern));
}

/**
 * Summarises a model file as torchinfo does: layers with output shapes, parameters and multiply-adds, totals, sizes.
 *
 * @param options.batch size of the first dimension. Default: 1.
 * @param options.train patterns of the parameters to count as trainable. Default: all.
 */
export async function summary(
  file: string,
  options: OpenOptions & { readonly batch?: number; readonly train?: readonly string[] } = {},
): Promise<FileSummary> {
  const model = await openModel(file, options);
  const dims = model.graph.inputs[0]?.type?.dims ?? [];
  const inputDims = dims.map((dim, axis) => (axis === 0 ? (options.batch ?? 1) : typeof dim === 'number' ? dim : 224));
  return {
    file,
    format: model.format,
    fileBytes: model.fileBytes,
    ...(model.info.architecture === undefined ? {} : { architecture: model.info.architecture }),
    ...summarize(model.graph, { inputDims, ...(options.train ? { trains: trainsBy(options.train) } : {}) }),
    tensorTrains: model.info.layers ?? [],
    ignored: model.ignored,
  };
}
