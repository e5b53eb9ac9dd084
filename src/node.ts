/**
 * Shibori for Node: the verbs of the command line as typed functions, ONNX Runtime, model files and images.
 *
 * @packageDocumentation
 */

export type { ProgressEvent, RunContext } from './context/run-context.js';
export { nodeEngine } from './engine/node.js';
export { explainImages } from './evaluation/explain-images.js';
export { decodeImage } from './images/decode-image.js';
export { openImageSource } from './images/image-source.js';
export { type DataOptions, type Dataset, openDataset } from './images/open-dataset.js';
export { type LoadedModel, type OpenedModel, type OpenOptions, openModel } from './io/models/model-file.js';
export { saveModel } from './io/models/save-model.js';
export { fetchNamed } from './io/named-downloads.js';
export { renderTriptychs } from './pictures/triptych.js';
export {
  type FinetunePlan,
  finetuneSchema,
  parseYaml,
  rankPlanSchema,
  recipeSchema,
  trainSchema,
} from './recipes/recipe.js';
export { compare, compareModels } from './workflows/compare.js';
export { compressModelWithRanks, compressWithRanks } from './workflows/compress-with-ranks.js';
export { demo } from './workflows/demo.js';
export { evaluate, evaluateModel } from './workflows/evaluate.js';
export { explain } from './workflows/explain.js';
export { exportModel } from './workflows/export-model.js';
export { type Finetuning, finetune, finetuneModel } from './workflows/finetune.js';
export { listMapLayers } from './workflows/list-layers.js';
export { run } from './workflows/run.js';
export { runRecipe } from './workflows/run-recipe.js';
export { summary } from './workflows/summarize.js';
export {
  type TrainedFile,
  type Training,
  type TrainOptions,
  train,
  trainModel,
  type WorkFolder,
} from './workflows/train.js';
