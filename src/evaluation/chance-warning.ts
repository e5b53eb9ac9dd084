import type { RunContext } from '../context/run-context.js';
import { requirePreprocess } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { findPredictionProblem, type PredictionStats } from '../metrics/prediction-stats.js';
import { describePreprocess } from '../models/preprocessing.js';

/**
 * Warns, through the context, when predictions look as if the model was given images in another form than it was
 * trained on; says which form that was and which options change it.
 */
export function warnIfLikeChance(stats: PredictionStats, model: LoadedModel, context: RunContext): void {
  const problem = findPredictionProblem(stats);
  if (problem === undefined) return;
  const { size, resize, filter, color, normalization } = describePreprocess(requirePreprocess(model.graph, model.info));
  const guessed = model.info.guessed ?? [];
  context.onWarning?.(
    `${problem}. Perhaps the model wants its images in another form than ${size} (${resize}, ${filter}), ${color}, ${normalization}${
      guessed.length > 0 ? ` (guessed: ${guessed.join(', ')})` : ''
    }. \`range\`, \`mean\`, \`std\`, \`color\`, \`imageLayout\`, \`resize\` and \`inputSize\` change it.`,
  );
}
