import type { RankCompressionReport } from '../compression-run/compress-with-ranks.js';
import type { RunContext } from '../context/run-context.js';
import type { Evaluation } from '../evaluation/evaluate-model.js';
import { writeFileAtomic } from '../io/atomic-file.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { summarizeGraph } from '../models/summary.js';
import { compareModels } from '../pictures/compare-models.js';
import type { Recipe } from '../recipes/recipe.js';
import type { Comparison } from '../report/comparison.js';
import type { TrainingFigures } from '../training-run/run-training.js';
import type { TrainingSets } from '../training-run/train-stage.js';
import { defined } from '../values.js';
import { drawRecipePictures, findRecipeImages } from './recipe-pictures.js';
import { RecipeSteps } from './recipe-steps.js';

/** Holds the model that a recipe made, and what was measured on the way. */
export interface RecipeResult {
  /** The final model: compressed, and fine-tuned where the recipe says so. */
  readonly model: LoadedModel;
  /** Folder with models, pictures and report. */
  readonly output: string;
  readonly compression: RankCompressionReport;
  /** Accuracy after compression, before fine-tuning. */
  readonly compressed: Evaluation;
  readonly finetuning: TrainingFigures | undefined;
  readonly comparison: Comparison;
  readonly seconds: number;
}

/** Describes what a recipe is run on besides its model and data. */
export interface RecipeTarget {
  readonly recipe: Recipe;
  readonly output: string;
  readonly title: string;
  readonly fresh: boolean;
  /** Files of the model, whose hashes the report shows. */
  readonly files: readonly string[];
}

/**
 * Runs a recipe on a loaded model and opened data sets.
 *
 * Everything goes to `output`: `summary.json`, `triptychs.png`, `compressed.onnx`, `training/`, the final model as
 * `model.onnx`, `model.safetensors` and `model.pt`, `report.html` and `report.json`.
 */
export async function runRecipeOn(
  model: LoadedModel,
  data: Pick<Required<TrainingSets>, 'validation'> & Partial<TrainingSets>,
  { recipe, output, title, fresh, files }: RecipeTarget,
  context: RunContext,
): Promise<RecipeResult> {
  const start = performance.now();
  const { train, validation } = data;
  const steps = await RecipeSteps.open(recipe, { folder: output, model, data: validation, fresh }, context);
  await writeFileAtomic(steps.file('summary.json'), `${JSON.stringify(summarizeGraph(model.graph), null, 2)}\n`);
  await writeFileAtomic(steps.file('triptychs.png'), await drawRecipePictures(model, validation, recipe, context));
  const { model: small, report: compression, evaluation } = await steps.compress(model, validation);
  const { model: final, figures: finetuning } = await steps.finetune(small, train, validation);
  await steps.saveFinal(final);
  const history = finetuning && [...(finetuning.before ? [finetuning.before] : []), ...finetuning.history];
  const comparison = await compareModels(
    model,
    final,
    validation,
    {
      output,
      names: ['original', finetuning ? 'compressed, fine-tuned' : 'compressed'],
      featured: findRecipeImages(validation, recipe),
      files: [files, [steps.file('model.onnx')]],
      mapImages: recipe.compare.images,
      ...defined({ layer: recipe.explain.layer }),
      extras: {
        title,
        layers: compression.layers,
        compressedTop1Percent: evaluation.top1,
        ...defined({ history, keptEpoch: finetuning?.kept.epoch }),
      },
    },
    context,
  );
  const seconds = (performance.now() - start) / 1000;
  return { model: final, output, compression, compressed: evaluation, finetuning, comparison, seconds };
}
