import type { RunContext } from '../context/run-context.js';
import { findIndexByPath, getItem } from '../data/image-items.js';
import { explainImages } from '../evaluation/explain-images.js';
import { listOutputNames } from '../evaluation/label-map.js';
import type { Dataset } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { renderTriptychs } from '../pictures/triptych.js';
import { buildTriptychRow } from '../pictures/triptych-row.js';
import type { Recipe } from '../recipes/recipe.js';
import { range } from '../tensor/dims.js';
import { defined } from '../values.js';

/** Pictures of a recipe that names none. */
const DEFAULT_PICTURES = 8;

/** Finds the positions in a data set of the images that a recipe names. */
export function findRecipeImages({ source }: Dataset, { explain }: Recipe): number[] {
  return (explain.images ?? []).map((image) => (typeof image === 'number' ? image : findIndexByPath(source, image)));
}

/** Draws the triptychs of a recipe's images into one PNG: image, map, overlay. */
export async function drawRecipePictures(
  model: LoadedModel,
  dataset: Dataset,
  recipe: Recipe,
  context: RunContext,
): Promise<Uint8Array> {
  const total = dataset.source.items.length;
  const count = Math.min(DEFAULT_PICTURES, total);
  // Spread over the data set, which may be sorted by class.
  const spread = range(count).map((i) => Math.floor((i * total) / count));
  const positions = recipe.explain.images ? findRecipeImages(dataset, recipe) : spread;
  const entries = await Promise.all(
    positions.map(async (position) => {
      const { path } = getItem(dataset.source, position);
      return { file: path, image: await dataset.decode(await dataset.source.read(position), path) };
    }),
  );
  const names = listOutputNames(model, dataset.source);
  const explained = await explainImages(
    model,
    entries,
    { names, ...defined({ layer: recipe.explain.layer }) },
    context,
  );
  return renderTriptychs(
    explained.images.map((image) => buildTriptychRow(image)),
    { layer: explained.layer },
  );
}
