import { dirname, isAbsolute, resolve } from 'node:path';
import { UsageError } from '../errors.js';
import {
  builtInDatasets,
  type DataOptions,
  type DataSource,
  type DataSourceOptions,
  type Dataset,
} from '../images/open-dataset.js';
import { defined } from '../values.js';
import type { Recipe } from './recipe.js';

/** Holds a recipe and, where it was read from a file, that file. */
export interface NamedRecipe {
  readonly recipe: Recipe;
  /** Paths in a recipe are relative to its file, so that it can be run from anywhere. */
  readonly file?: string;
}

/** Lists what takes the place of the data that a recipe names. Paths are relative to the working folder. */
export interface RecipeDataOptions {
  readonly data?: DataSource;
  readonly validationData?: DataSource;
  readonly trainSplit?: string;
  readonly validationSplit?: string;
}

/** Returns a path of a recipe as the working folder sees it. */
export const resolveRecipePath = (path: string, { file }: NamedRecipe): string =>
  file === undefined || isAbsolute(path) || builtInDatasets.includes(path) ? path : resolve(dirname(file), path);

/** Returns what begins an error about a recipe: its file. */
export const formatRecipePrefix = ({ file }: NamedRecipe): string => (file === undefined ? '' : `${file}: `);

/**
 * Finds the training and the validation images of a recipe.
 *
 * @throws UsageError where neither the recipe nor the options name images.
 */
export function findRecipeData(
  named: NamedRecipe,
  options: RecipeDataOptions,
): { readonly train: DataSourceOptions | undefined; readonly validation: DataSourceOptions } {
  const { data: declared } = named.recipe;
  const here = (path: string | undefined) => path && resolveRecipePath(path, named);
  const data = options.data ?? here(declared?.source);
  const { validationData } = options;
  const ownValidation = validationData && toSourceOptions(validationData, options.validationSplit);
  if (data === undefined) {
    if (ownValidation) return { train: undefined, validation: ownValidation };
    throw new UsageError(
      `${formatRecipePrefix(named)}no data. Add data: { source: … } to the recipe, or give \`data\`.`,
      { ...defined({ file: named.file }), option: 'data' },
    );
  }
  if (ownValidation) return { train: toSourceOptions(data, options.trainSplit), validation: ownValidation };
  if (typeof data === 'object') return { train: undefined, validation: { data } };
  const trainSplit = options.trainSplit ?? here(declared?.train);
  const validationSplit = options.validationSplit ?? here(declared?.validation);
  // A split given by hand takes the place of a random one.
  const random = trainSplit === undefined && validationSplit === undefined ? declared?.randomSplit : undefined;
  const part = (split: string | undefined, index: number): DataOptions => ({
    data,
    ...defined({ split }),
    ...(random ? { randomSplit: { ...random, part: index } } : {}),
  });
  const hasTrain = trainSplit !== undefined || random !== undefined || builtInDatasets.includes(data);
  return { train: hasTrain ? part(trainSplit, 0) : undefined, validation: part(validationSplit, 1) };
}

const toSourceOptions = (data: DataSource, split: string | undefined): DataSourceOptions =>
  typeof data === 'string' ? { data, ...defined({ split }) } : { data };

/** Finds the training part of the data set that the validation images are a part of. */
export function findTrainingPart(validation: DataSourceOptions, { source }: Dataset): DataSourceOptions | undefined {
  const found = source.parts?.find(({ kind, name }) => kind === 'train' && name !== source.part);
  return typeof validation.data === 'string' && validation.split === undefined && !validation.randomSplit && found
    ? { ...validation, data: validation.data, part: found.name }
    : undefined;
}
