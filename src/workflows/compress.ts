import { compressByWeights, type WeightCompression } from '../compression-run/compress-by-weights.js';
import { compressToGoal, type GoalCompression } from '../compression-run/compress-to-goal.js';
import { compressWithRanks, type RankCompression } from '../compression-run/compress-with-ranks.js';
import { listSourceFiles, requireOnnxFile } from '../compression-run/compressed-file.js';
import type {
  CompressByWeightsOptions,
  CompressToGoalOptions,
  CompressWithRanksOptions,
} from '../compression-run/compression-options.js';
import { UsageError } from '../errors.js';
import { openModelSource } from '../io/models/model-source.js';
import { refuseInputAsOutput } from '../io/output-file.js';

export type { CompressByWeightsOptions, CompressToGoalOptions, CompressWithRanksOptions };

/** Lists the options of {@link compress}. */
export type CompressOptions = CompressToGoalOptions | CompressByWeightsOptions | CompressWithRanksOptions;

/** Holds what {@link compress} returns: the compressed model, and figures by what was asked for. */
export type CompressResult = GoalCompression | WeightCompression | RankCompression;

/**
 * Compresses a model by decomposing its layers: to a goal, with ranks that are found, or with given ranks.
 *
 * - With `goal` and `data`, images decide where to save, and what was lost is measured on validation images.
 * - With `goal` alone, the weights decide.
 * - With `ranks` or `plan`, linear layers become tensor trains of these ranks.
 *
 * Nothing is written unless `output`, `report` or `work` is given. The model is not changed; the same options give the same
 * result.
 *
 * @throws UsageError for options that are wrong or do not fit together; ShiboriError with the code `goal-unreachable` when
 *   the goal cannot be met, `slower` when the result runs slower than the original and `allowSlower` is not set.
 * @example
 * ```ts
 * const { model, size, accuracy } = await compress({
 *   model: 'model.onnx',
 *   data: 'photos',
 *   goal: { parameters: 0.5 },
 *   output: 'small.onnx',
 *   allowSlower: true,
 * });
 * ```
 */
export function compress(options: CompressToGoalOptions): Promise<GoalCompression>;
export function compress(options: CompressByWeightsOptions): Promise<WeightCompression>;
export function compress(options: CompressWithRanksOptions): Promise<RankCompression>;
export async function compress(options: CompressOptions): Promise<CompressResult> {
  const given = (['goal', 'ranks', 'plan'] as const).filter((name) => name in options);
  if (given.length > 1) {
    throw new UsageError(
      `\`${given.join('` and `')}\`: compress either finds the ranks for a goal, or takes those that are given.`,
      { option: given[0] },
    );
  }
  const { output } = options;
  if (output !== undefined) refuseInputAsOutput(output, listSourceFiles(options.model));
  if ('goal' in options) requireOnnxFile(output);
  const model = await openModelSource(options.model, options, options);
  if (!('goal' in options)) return compressWithRanks(model, options);
  return options.data === undefined ? compressByWeights(model, options) : compressToGoal(model, options);
}
