import type { SweepOptions } from '../compression-run/compression-options.js';
import { type SweepResult, sweepSizes } from '../compression-run/sweep-sizes.js';

/**
 * Compresses a model to many sizes and measures each: the curve of size against accuracy and maps.
 *
 * Nothing is written unless `output`, `report` or `work` is given; without `output` the result holds the compressed models.
 * A call with the same `work` folder resumes where one was stopped. Points are made at once, in threads, where model and
 * images are names and `output` and `work` are given.
 *
 * @throws UsageError and ShiboriError as `compress`; a limit that cannot be reached is reported in its point instead.
 * @example
 * ```ts
 * const { points } = await sweep({
 *   model: 'model.onnx',
 *   data: 'photos',
 *   limits: { parameters: [0.05, 0.1, 0.2] },
 *   output: 'curve',
 * });
 * ```
 */
export function sweep(options: SweepOptions): Promise<SweepResult> {
  return sweepSizes(options);
}
