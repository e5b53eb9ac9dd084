import { join } from 'node:path';
import { getEngine, type RunOptions } from '../context/run-context.js';
import { IMAGENET_MEAN, IMAGENET_STD } from '../data/preprocess.js';
import { openDigits } from '../images/open-dataset.js';
import { makeFolder } from '../io/atomic-file.js';
import { openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { buildInitialVgg } from '../models/initial-vgg.js';
import { finetuneSchema, toTrainPlan } from '../recipes/training-schema.js';
import { runTraining } from '../training-run/run-training.js';
import { type RecipeResult, runRecipe } from './run-recipe.js';

/** Training and validation images. Enough for well above 95 %, few enough for two minutes on two cores in all. */
const IMAGES = { train: 10_000, validation: 1000 };

/** A small VGG-style net with a fat classifier: 90 % of its parameters are in `classifier.0`. */
const ARCHITECTURE = {
  channels: [[12], [24], [48], [64]],
  batchNorm: true,
  classifier: [512],
  classes: 10,
  inputSize: 64,
  prefix: 'digits.',
} as const;

/** Lists the options of `demo`. */
export interface DemoOptions extends RunOptions {
  /** Folder for models, pictures and report. */
  readonly output: string;
  /** Decides digits, initial weights and order. Default: 42. */
  readonly seed?: number;
}

/**
 * Runs a whole recipe in miniature, without any download: trains a small net from scratch on cluttered digits, saves it as
 * `digits.pt`, opens it again, explains, compresses, fine-tunes and compares it.
 */
export async function demo(options: DemoOptions): Promise<RecipeResult> {
  const start = performance.now();
  const { output, seed = 42 } = options;
  await makeFolder(output);
  const train = await openDigits('train', seed, IMAGES.train);
  const validation = await openDigits('validation', seed, IMAGES.validation);
  const preprocess = { size: [64, 64], resize: 'stretch', mean: IMAGENET_MEAN, std: IMAGENET_STD } as const;
  const classes = validation.source.classes.map(({ name }) => name);
  const plan = { train: '*', epochs: 3, batch: 32, learningRate: [2e-4, 4e-3], schedule: 'one-cycle', seed };
  const { model: trained } = await runTraining(
    {
      model: { graph: buildInitialVgg(ARCHITECTURE, seed), info: { architecture: 'vgg', preprocess, classes } },
      data: { train },
      plan: toTrainPlan(finetuneSchema.parse(plan)),
    },
    options,
  );
  const file = join(output, 'digits.pt');
  await saveModel(trained, file, { engine: getEngine(options) });
  const model = await openModel(file, { inputSize: [64, 64] });
  const result = await runRecipe({
    ...options,
    recipe: {
      compress: {
        layers: {
          'classifier.0': { layout: 'tt', out: [16, 32], in: [32, 32], ranks: [16, 32, 16] },
          'classifier.4': { layout: 'tt', out: [2, 5], in: [16, 32], ranks: [2, 10, 16] },
        },
      },
      finetune: { epochs: 3, learningRate: [1e-4, 1e-3], seed },
      compare: { images: 200 },
    },
    model: { ...model, info: { ...model.info, preprocess, classes } },
    data: train,
    validationData: validation,
    title: 'Cluttered digits: a study in miniature',
    fresh: true,
  });
  return { ...result, seconds: (performance.now() - start) / 1000 };
}
