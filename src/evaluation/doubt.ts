import type { VerbContext } from '../context/context.js';
import { preprocessOf } from '../images/dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { findPredictionProblem, type PredictionStats } from '../metrics/prediction-stats.js';
import { describePreprocess } from '../models/preprocessing.js';

/**
 * Warns, through the context, when predictions look as if the model was given images in another form than it was
 * trained on; says which form that was and which options change it.
 */
export function warnOfDoubt(stats: PredictionStats, model: LoadedModel, context: VerbContext): void {
  const doubt = findPredictionProblem(stats);
  if (doubt === undefined) return;
  const { size, resize, filter, color, normalization } = describePreprocess(preprocessOf(model.graph, model.info));
  const guessed = model.info.guessed ?? [];
  context.onWarning?.(
    `${doubt}. Perhaps the model wants its images in another form than ${size} (${resize}, ${filter}), ${color}, ${normalization}${
      guessed.length > 0 ? ` (guessed: ${guessed.join(', ')})` : ''
    }. --scale, --mean, --std, --color, --image-layout, --resize and --input change it.`,
  );
}
