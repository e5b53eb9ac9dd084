import { basename, extname } from 'node:path';
import type { RunOptions } from '../context/run-context.js';
import { UsageError } from '../errors.js';
import { listModelFiles } from '../evaluation/collect-provenance.js';
import { type Dataset, withDataset } from '../images/open-dataset.js';
import { isOpenedModel, type ModelSource, openModelSource } from '../io/models/model-source.js';
import { parseOption } from '../recipes/parse-option.js';
import { type Recipe, type RecipeInput, readYaml, recipeSchema } from '../recipes/recipe.js';
import {
  findRecipeData,
  findTrainingPart,
  formatRecipePrefix,
  type NamedRecipe,
  type RecipeDataOptions,
  resolveRecipePath,
} from '../recipes/recipe-data.js';
import { defined } from '../values.js';
import { type RecipeResult, runRecipeOn } from './recipe-run.js';

export type { RecipeResult } from './recipe-run.js';

/** Lists the options of `runRecipe`: the recipe, and what takes the place of what it names. */
export interface RunRecipeOptions extends RunOptions, RecipeDataOptions {
  /** A YAML file, or a recipe in memory. */
  readonly recipe: string | RecipeInput;
  readonly model?: ModelSource;
  /** Key of the weights to take from a checkpoint that holds several. */
  readonly weights?: string;
  /** Folder for models, pictures and report. Default: the recipe's. */
  readonly output?: string;
  /** Title of the report. Default: the name of the recipe's file. */
  readonly title?: string;
  /** Start again even if a run of this recipe was interrupted in the output folder. */
  readonly fresh?: boolean;
}

/** Opens the model that a recipe is run on. */
async function openRecipeModel(named: NamedRecipe, options: RunRecipeOptions) {
  const { model: declared, arch, weights: ownWeights } = named.recipe;
  const source = options.model ?? (declared && resolveRecipePath(declared, named));
  if (source === undefined) {
    throw new UsageError(`${formatRecipePrefix(named)}no model. Add model: FILE to the recipe, or give \`model\`.`, {
      ...defined({ file: named.file }),
      option: 'model',
    });
  }
  return openModelSource(source, defined({ arch, weights: options.weights ?? ownWeights }), options);
}

/**
 * Runs a recipe: explains, compresses, fine-tunes and compares a model, and writes models, pictures and a report.
 *
 * An interrupted run resumes where it was, unless `fresh` is set.
 *
 * @throws UsageError for a mistake in the recipe, with its line; ShiboriError for what fails later.
 */
export async function runRecipe(options: RunRecipeOptions): Promise<RecipeResult> {
  const file = typeof options.recipe === 'string' ? options.recipe : undefined;
  const recipe: Recipe =
    file === undefined
      ? parseOption('recipe', recipeSchema, options.recipe)
      : await readYaml(file, 'recipe', recipeSchema, options.onNote);
  const named: NamedRecipe = { recipe, ...defined({ file }) };
  const output = options.output ?? recipe.output;
  if (output === undefined) throw new UsageError('A recipe writes files: give `output`.', { option: 'output' });
  const { train, validation } = findRecipeData(named, options);
  const model = await openRecipeModel(named, options);
  const title = options.title ?? (file === undefined ? 'recipe' : basename(file, extname(file)));
  const target = {
    output,
    title,
    fresh: options.fresh === true,
    files: isOpenedModel(model) ? listModelFiles(model) : [],
  };
  return withDataset(validation, 'validate', options, async (held) => {
    const own = train ?? findTrainingPart(validation, held);
    if (recipe.finetune && !own) {
      throw new UsageError(
        `${formatRecipePrefix(named)}fine-tuning needs training images. Add data.train or data.randomSplit, give \`trainSplit\`, or data with a folder "train" next to the one for validation.`,
        { ...defined({ file }), option: 'trainSplit' },
      );
    }
    const run = (images?: Dataset) =>
      runRecipeOn(model, { validation: held, ...defined({ train: images }) }, { recipe, ...target }, options);
    return recipe.finetune && own ? withDataset(own, 'train', options, run) : run();
  });
}
