import { join } from 'node:path';
import { getEngine, type RunContext } from '../context/run-context.js';
import { IMAGENET_MEAN, IMAGENET_STD } from '../data/preprocess.js';
import { openDigits } from '../images/open-dataset.js';
import { makeFolder } from '../io/atomic-file.js';
import { openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { buildInitialVgg } from '../models/initial-vgg.js';
import { finetuneSchema, recipeSchema } from '../recipes/recipe.js';
import { finetuneModel } from './finetune.js';
import { type RecipeResult, runRecipe } from './run-recipe.js';

/** Training and test images. Enough for well above 95 %, few enough for two minutes on two cores in all. */
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

/**
 * The whole study in miniature, without any download: a small net is trained from scratch on cluttered digits, saved as
 * `digits.pt`, opened again, explained, squeezed, fine-tuned back and compared.
 *
 * @param options.output default: `shibori-out/demo`.
 * @param options.seed decides digits, initial weights and order. Default: 42.
 */
export async function demo(
  options: { readonly output?: string; readonly seed?: number } = {},
  context: RunContext = {},
): Promise<RecipeResult> {
  const start = performance.now();
  const output = options.output ?? join('shibori-out', 'demo');
  const seed = options.seed ?? 42;
  await makeFolder(output);
  const train = await openDigits('train', seed, IMAGES.train);
  const validation = await openDigits('validation', seed, IMAGES.validation);
  const preprocess = { size: [64, 64], resize: 'stretch', mean: IMAGENET_MEAN, std: IMAGENET_STD } as const;
  const fresh = {
    graph: buildInitialVgg(ARCHITECTURE, seed),
    info: { architecture: 'vgg', preprocess, classes: validation.source.classes.map(({ name }) => name) },
  };
  const { model: trained } = await finetuneModel(
    fresh,
    { train },
    finetuneSchema.parse({ train: '*', epochs: 3, batch: 32, learningRate: [2e-4, 4e-3], schedule: 'one-cycle', seed }),
    {},
    context,
  );
  const file = join(output, 'digits.pt');
  await saveModel(trained, file, { engine: getEngine(context) });
  const model = await openModel(file, { inputSize: [64, 64] });
  const recipe = recipeSchema.parse({
    compress: {
      layers: {
        'classifier.0': { layout: 'tt', out: [16, 32], in: [32, 32], bonds: [16, 32, 16] },
        'classifier.4': { layout: 'tt', out: [2, 5], in: [16, 32], bonds: [2, 10, 16] },
      },
    },
    finetune: { epochs: 3, learningRate: [1e-4, 1e-3], seed },
    compare: { images: 200 },
  });
  const result = await runRecipe(
    { ...model, info: { ...model.info, preprocess, classes: fresh.info.classes } },
    { train, validation },
    recipe,
    { output, title: 'Cluttered digits: a study in miniature', fresh: true, files: [file] },
    context,
  );
  return { ...result, seconds: (performance.now() - start) / 1000 };
}
