import { basename, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { type RunContext, reportNotes } from '../context/run-context.js';
import { UsageError } from '../errors.js';
import { listModelFiles } from '../evaluation/collect-provenance.js';
import { builtInDatasets, type DataOptions, type Dataset, withDataset } from '../images/open-dataset.js';
import { openModel } from '../io/models/model-file.js';
import { type Recipe, readYaml, recipeSchema } from '../recipes/recipe.js';
import { defined } from '../values.js';
import { type RecipeResult, runRecipe } from './run-recipe.js';

/** What may be given in place of what a recipe says. Paths are relative to the working folder. */
export interface RecipeOverrides {
  readonly model?: string;
  /** Key of the weights to take from a checkpoint that holds several. */
  readonly weights?: string;
  readonly data?: string;
  readonly trainSplit?: string;
  readonly validationSplit?: string;
  readonly output?: string;
  /** Start anew even if a study of this recipe was interrupted in the output folder. */
  readonly fresh?: boolean;
}

/** The two halves of a recipe's data. */
function splitRecipeData(
  recipe: Recipe,
  file: string,
  options: RecipeOverrides,
): { train: DataOptions | undefined; validation: DataOptions } {
  // Paths in a recipe are relative to the recipe, so that it can be run from anywhere.
  const resolveHere = (path: string) =>
    isAbsolute(path) || builtInDatasets.includes(path) ? path : resolve(dirname(file), path);
  const data = options.data ?? (recipe.data && resolveHere(recipe.data.source));
  if (data === undefined)
    throw new UsageError(`${file}: no data. Add data: { source: … } to the recipe, or give \`data\`.`, {
      file,
      option: 'data',
    });
  const trainSplit = options.trainSplit ?? (recipe.data?.train && resolveHere(recipe.data.train));
  const validationSplit = options.validationSplit ?? (recipe.data?.validation && resolveHere(recipe.data.validation));
  // A split given by hand takes the place of a random one.
  const random = trainSplit === undefined && validationSplit === undefined ? recipe.data?.randomSplit : undefined;
  const buildPart = (split: string | undefined, index: number): DataOptions => ({
    data,
    ...defined({ split }),
    ...(random ? { randomSplit: { ...random, part: index } } : {}),
  });
  const hasTrain = trainSplit !== undefined || random !== undefined || builtInDatasets.includes(data);
  return { train: hasTrain ? buildPart(trainSplit, 0) : undefined, validation: buildPart(validationSplit, 1) };
}

/** The part for training of the data set that the validation images are a part of. */
function findTrainingPart(validation: DataOptions, { source }: Dataset): DataOptions | undefined {
  const found = source.parts?.find(({ kind, name }) => kind === 'train' && name !== source.part);
  return validation.split === undefined && !validation.randomSplit && found
    ? { ...validation, part: found.name }
    : undefined;
}

/**
 * Does the whole study that a recipe declares.
 *
 * @throws UsageError for a mistake in the recipe, with its line; ShiboriError for what goes wrong on the way.
 */
export async function run(
  file: string,
  options: RecipeOverrides = {},
  context: RunContext = {},
): Promise<RecipeResult> {
  const recipe = await readYaml(file, 'recipe', recipeSchema, context.onNote);
  const modelFile = options.model ?? (recipe.model && resolve(dirname(file), recipe.model));
  if (modelFile === undefined)
    throw new UsageError(`${file}: no model. Add model: FILE to the recipe, or give \`model\`.`, {
      file,
      option: 'model',
    });
  const name = basename(file, extname(file));
  const { train, validation } = splitRecipeData(recipe, file, options);
  const { arch } = recipe;
  const weights = options.weights ?? recipe.weights;
  const model = await openModel(modelFile, { ...(arch && { arch }), ...(weights && { weights }) });
  reportNotes(model, context);
  return withDataset(validation, 'validate', context, async (validationSet) => {
    const own = train ?? findTrainingPart(validation, validationSet);
    if (recipe.finetune && !own) {
      throw new UsageError(
        `${file}: fine-tuning needs training images. Add data.train or data.randomSplit, give \`trainSplit\`, or data with a folder "train" beside the one for validation.`,
        { file, option: 'trainSplit' },
      );
    }
    const runWithTraining = (trained?: Dataset) =>
      runRecipe(
        model,
        { validation: validationSet, ...defined({ train: trained }) },
        recipe,
        {
          output: options.output ?? recipe.output ?? join('shibori-out', name),
          title: name,
          files: listModelFiles(model),
          ...(options.fresh ? { fresh: true } : {}),
        },
        context,
      );
    return recipe.finetune && own ? withDataset(own, 'train', context, runWithTraining) : runWithTraining();
  });
}
