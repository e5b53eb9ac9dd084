import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { compressModelWithRanks, type RankCompressionReport } from '../compression-run/compress-with-ranks.js';
import { getEngine, type RunContext } from '../context/run-context.js';
import { findIndexByPath, getItem } from '../data/image-items.js';
import { buildTriptychRow, explainImages } from '../evaluation/explain-images.js';
import { listOutputNames } from '../evaluation/label-map.js';
import type { Dataset } from '../images/open-dataset.js';
import { makeFolder, writeFileAtomic } from '../io/atomic-file.js';
import { computeCacheKey } from '../io/feature-cache.js';
import { encodeModel, type LoadedModel, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { summarize } from '../models/summary.js';
import { renderTriptychs } from '../pictures/triptych.js';
import type { Recipe } from '../recipes/recipe.js';
import type { Comparison } from '../report/comparison.js';
import { range } from '../tensor/dims.js';
import { defined } from '../values.js';
import { compareModels } from './compare.js';
import { type Evaluation, evaluateModel } from './evaluate.js';
import { type Finetuning, finetuneModel } from './finetune.js';

/** What a whole study found. */
export interface RecipeResult {
  /** Folder with models, pictures and report. */
  readonly output: string;
  readonly compression: RankCompressionReport;
  /** Accuracy after squeezing, before fine-tuning. */
  readonly squeezed: Evaluation;
  readonly finetuning: Finetuning | undefined;
  readonly comparison: Comparison;
  readonly seconds: number;
}

/** Results of the stages that are done, kept in `study.json`: an interrupted study goes on after them. */
interface FinishedPhases {
  readonly key: string;
  readonly compression?: RankCompressionReport;
  readonly squeezed?: Evaluation;
  readonly finetuning?: Finetuning;
}

async function readFinishedPhases(file: string, key: string): Promise<FinishedPhases> {
  try {
    const done = JSON.parse(await readFile(file, 'utf8')) as FinishedPhases;
    if (done.key === key) return done;
  } catch {
    // No study was begun here, or its notes are damaged: everything is done anew.
  }
  return { key };
}

/** Pictures of a study that names none. */
const DEFAULT_PICTURES = 8;

/** Finds the positions in a data set of the images that a recipe names. */
function findPositions(dataset: Dataset, images: NonNullable<Recipe['explain']['images']>): number[] {
  return images.map((image) => (typeof image === 'number' ? image : findIndexByPath(dataset.source, image)));
}

/** Draws the triptychs of images at these positions into one PNG. */
async function drawTriptychs(
  model: LoadedModel,
  dataset: Dataset,
  positions: readonly number[],
  layer: string | undefined,
  context: RunContext,
): Promise<Uint8Array> {
  const names = listOutputNames(model, dataset.source);
  const entries = await Promise.all(
    positions.map(async (position) => {
      const { path } = getItem(dataset.source, position);
      return { file: path, image: await dataset.decode(await dataset.source.read(position), path) };
    }),
  );
  const explained = await explainImages(model, entries, { names, ...defined({ layer }) }, context);
  return renderTriptychs(
    explained.images.map((image) => buildTriptychRow(image)),
    { layer: explained.layer },
  );
}

/**
 * Does a whole study on a loaded model: summary, triptychs, squeezing, fine-tuning, comparison, saving.
 *
 * Everything goes to `output`: `summary.json`, `triptychs.png`, `compressed.onnx`, `training/`, the final model as
 * `model.onnx`, `model.safetensors` and `model.pt`, `report.html` and `report.json`. A study that was interrupted goes on
 * where it was, unless `fresh` is set.
 */
export async function runRecipe(
  model: LoadedModel,
  data: { readonly train?: Dataset; readonly validation: Dataset },
  recipe: Recipe,
  options: {
    readonly output: string;
    readonly title: string;
    readonly fresh?: boolean;
    readonly files?: readonly string[];
  },
  context: RunContext = {},
): Promise<RecipeResult> {
  const start = performance.now();
  const { output } = options;
  await makeFolder(output);
  const doneFile = join(output, 'study.json');
  const parts = await encodeModel(model, 'safetensors');
  const key = computeCacheKey([
    JSON.stringify(recipe),
    ...parts,
    data.validation.source.items.map(({ path }) => path).join(),
  ]);
  let done: FinishedPhases = options.fresh ? { key } : await readFinishedPhases(doneFile, key);
  const saveFinished = async (more: Partial<FinishedPhases>) => {
    done = { ...done, ...more };
    await writeFileAtomic(doneFile, `${JSON.stringify(done, null, 2)}\n`);
  };
  const getFile = (name: string) => join(output, name);
  // A training that another study left here could not be gone on with.
  if (done.compression === undefined) await rm(getFile('training'), { recursive: true, force: true });

  await writeFileAtomic(getFile('summary.json'), `${JSON.stringify(summarize(model.graph), null, 2)}\n`);
  const featured = findPositions(data.validation, recipe.explain.images ?? []);
  const total = data.validation.source.items.length;
  // Spread over the data set, which may be sorted by class.
  const spread = range(Math.min(DEFAULT_PICTURES, total)).map((i) =>
    Math.floor((i * total) / Math.min(DEFAULT_PICTURES, total)),
  );
  const positions = recipe.explain.images ? featured : spread;
  await writeFileAtomic(
    getFile('triptychs.png'),
    await drawTriptychs(model, data.validation, positions, recipe.explain.layer, context),
  );

  let compressed: LoadedModel;
  if (done.compression && existsSync(getFile('compressed.onnx')))
    compressed = await openModel(getFile('compressed.onnx'));
  else {
    const result = await compressModelWithRanks(model, recipe.compress, {}, context);
    compressed = result.model;
    await saveModel(compressed, getFile('compressed.onnx'), { engine: getEngine(context) });
    await saveFinished({ compression: result.report });
  }
  if (!done.squeezed) await saveFinished({ squeezed: await evaluateModel(compressed, data.validation, {}, context) });

  let final = compressed;
  if (recipe.finetune && data.train) {
    if (done.finetuning && existsSync(getFile('model.onnx'))) final = await openModel(getFile('model.onnx'));
    else {
      const result = await finetuneModel(
        compressed,
        { train: data.train, validation: data.validation },
        recipe.finetune,
        { work: { folder: getFile('training'), resume: true } },
        context,
      );
      if (result.report.interrupted)
        throw new DOMException('The study was interrupted; run it again to go on.', 'AbortError');
      final = result.model;
      await saveModel(final, getFile('model.onnx'), { engine: getEngine(context) });
      await saveFinished({ finetuning: result.report });
    }
  }
  for (const extension of ['onnx', 'safetensors', 'pt'])
    await saveModel(final, getFile(`model.${extension}`), { engine: getEngine(context) });

  const { compression, squeezed: evaluation, finetuning } = done;
  if (!compression || !evaluation) throw new Error('unreachable: both stages were done above');
  const comparison = await compareModels(
    model,
    final,
    data.validation,
    {
      output,
      names: ['original', finetuning ? 'compressed, fine-tuned' : 'compressed'],
      featured,
      files: [options.files ?? [], [getFile('model.onnx')]],
      mapImages: recipe.compare.images,
      ...defined({ layer: recipe.explain.layer }),
      extras: {
        title: options.title,
        layers: compression.layers,
        compressedTop1Percent: evaluation.top1,
        ...(finetuning
          ? {
              history: [...(finetuning.before ? [finetuning.before] : []), ...finetuning.history],
              keptEpoch: finetuning.kept.epoch,
            }
          : {}),
      },
    },
    context,
  );
  return {
    output,
    compression,
    squeezed: evaluation,
    finetuning,
    comparison,
    seconds: (performance.now() - start) / 1000,
  };
}
