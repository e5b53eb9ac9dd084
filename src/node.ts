/**
 * Shibori for Node: the verbs of the command line as typed functions, ONNX Runtime, model files and images.
 *
 * @packageDocumentation
 */
export { nodeEngine } from './engine/node.js';
export { decodeImage } from './node/decode-image.js';
export { fetchNamed } from './node/fetch.js';
export { openImageSource } from './node/image-source.js';
export { type LoadedModel, type OpenedModel, type OpenOptions, openModel } from './node/model-file.js';
export { saveModel } from './node/save-model.js';
export { renderTriptychs } from './node/triptych.js';
export { compare, compareModels } from './verbs/compare.js';
export { compress, compressModel } from './verbs/compress.js';
export type { ProgressEvent, VerbContext } from './verbs/context.js';
export { type DataOptions, type Dataset, openDataset } from './verbs/dataset.js';
export { demo } from './verbs/demo.js';
export { evaluate, evaluateModel } from './verbs/evaluate.js';
export { explain } from './verbs/explain.js';
export { explainImages } from './verbs/explained.js';
export { exportModel } from './verbs/export.js';
export { type Finetuning, finetune, finetuneModel } from './verbs/finetune.js';
export { listLayers } from './verbs/layers.js';
export {
  type FinetunePlan,
  finetuneSchema,
  parseYaml,
  planSchema,
  recipeSchema,
  trainSchema,
} from './verbs/recipe.js';
export { run } from './verbs/run.js';
export { study } from './verbs/study.js';
export { summary } from './verbs/summary.js';
export {
  type TrainedFile,
  type Training,
  type TrainOptions,
  train,
  trainModel,
  type WorkFolder,
} from './verbs/train.js';
