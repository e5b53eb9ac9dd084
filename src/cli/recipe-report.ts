import type { RecipeResult } from '../workflows/run-recipe.js';

/** What `run` and `demo` print: the result of a recipe without its model, `compressed` also under its old name. */
export type RecipeReport = Omit<RecipeResult, 'model'> & { readonly squeezed: RecipeResult['compressed'] };

/** Lists what `run` and `demo` print of a recipe's result. The key `squeezed` goes in version 1.0. */
export function toRecipeReport({
  output,
  compression,
  compressed,
  finetuning,
  comparison,
  seconds,
}: RecipeResult): RecipeReport {
  return { output, compression, squeezed: compressed, compressed, finetuning, comparison, seconds };
}
