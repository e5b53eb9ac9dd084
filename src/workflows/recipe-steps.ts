import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { compressModelWithRanks, type RankCompressionReport } from '../compression-run/compress-with-ranks.js';
import { getEngine, type RunContext } from '../context/run-context.js';
import { type Evaluation, evaluateModel } from '../evaluation/evaluate-model.js';
import type { Dataset } from '../images/open-dataset.js';
import { makeFolder, writeFileAtomic } from '../io/atomic-file.js';
import { computeCacheKey } from '../io/feature-cache.js';
import { encodeModel, type LoadedModel, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import type { Recipe } from '../recipes/recipe.js';
import { toTrainPlan } from '../recipes/training-schema.js';
import { runTraining, type TrainingFigures } from '../training-run/run-training.js';

/** Holds the results of the steps that are complete, as `study.json` keeps them: an interrupted run resumes after them. */
interface CompletedSteps {
  readonly key: string;
  readonly compression?: RankCompressionReport;
  /** The evaluation of the compressed model. */
  readonly squeezed?: Evaluation;
  readonly finetuning?: TrainingFigures;
}

/** Runs the steps of a recipe whose results are models, each of which is saved in the output folder. */
export class RecipeSteps {
  #done: CompletedSteps;
  readonly #recipe: Recipe;
  readonly #folder: string;
  readonly #context: RunContext;

  private constructor(recipe: Recipe, folder: string, context: RunContext, done: CompletedSteps) {
    this.#recipe = recipe;
    this.#folder = folder;
    this.#context = context;
    this.#done = done;
  }

  /** Opens the output folder of a recipe; `fresh` forgets what an interrupted run of it left there. */
  static async open(
    recipe: Recipe,
    options: { readonly folder: string; readonly model: LoadedModel; readonly data: Dataset; readonly fresh: boolean },
    context: RunContext,
  ): Promise<RecipeSteps> {
    const { folder, model, data, fresh } = options;
    await makeFolder(folder);
    const paths = data.source.items.map(({ path }) => path).join();
    const key = computeCacheKey([JSON.stringify(recipe), ...(await encodeModel(model, 'safetensors')), paths]);
    const done = fresh ? { key } : await readCompletedSteps(join(folder, 'study.json'), key);
    // A training of another recipe cannot be resumed.
    if (done.compression === undefined) await rm(join(folder, 'training'), { recursive: true, force: true });
    return new RecipeSteps(recipe, folder, context, done);
  }

  /** Returns the path of a file in the output folder. */
  file(name: string): string {
    return join(this.#folder, name);
  }

  async #keep(more: Partial<CompletedSteps>): Promise<void> {
    this.#done = { ...this.#done, ...more };
    await writeFileAtomic(this.file('study.json'), `${JSON.stringify(this.#done, null, 2)}\n`);
  }

  async #save(model: LoadedModel, name: string): Promise<void> {
    await saveModel(model, this.file(name), { engine: getEngine(this.#context) });
  }

  /** Compresses the model and measures the result. */
  async compress(
    model: LoadedModel,
    data: Dataset,
  ): Promise<{ readonly model: LoadedModel; readonly report: RankCompressionReport; readonly evaluation: Evaluation }> {
    let compressed: LoadedModel | undefined;
    let report = this.#done.compression;
    if (report && existsSync(this.file('compressed.onnx'))) compressed = await openModel(this.file('compressed.onnx'));
    else {
      ({ model: compressed, report } = await compressModelWithRanks(model, this.#recipe.compress, {}, this.#context));
      await this.#save(compressed, 'compressed.onnx');
      await this.#keep({ compression: report });
    }
    let evaluation = this.#done.squeezed;
    if (!evaluation) {
      evaluation = await evaluateModel(compressed, data, {}, this.#context);
      await this.#keep({ squeezed: evaluation });
    }
    return { model: compressed, report, evaluation };
  }

  /** Fine-tunes the compressed model where the recipe has a plan for it and there are training images. */
  async finetune(
    model: LoadedModel,
    train: Dataset | undefined,
    validation: Dataset,
  ): Promise<{ readonly model: LoadedModel; readonly figures: TrainingFigures | undefined }> {
    const { finetune: plan } = this.#recipe;
    if (!plan || !train) return { model, figures: undefined };
    const kept = this.#done.finetuning;
    if (kept && existsSync(this.file('model.onnx')))
      return { model: await openModel(this.file('model.onnx')), figures: kept };
    const { model: trained, figures } = await runTraining(
      {
        model,
        data: { train, validation },
        plan: toTrainPlan(plan),
        work: { folder: this.file('training'), resume: true },
      },
      this.#context,
    );
    if (figures.interrupted)
      throw new DOMException('The run of the recipe was interrupted; run it again to resume.', 'AbortError');
    await this.#save(trained, 'model.onnx');
    await this.#keep({ finetuning: figures });
    return { model: trained, figures };
  }

  /** Writes the final model in all formats. */
  async saveFinal(model: LoadedModel): Promise<void> {
    for (const extension of ['onnx', 'safetensors', 'pt']) await this.#save(model, `model.${extension}`);
  }
}

async function readCompletedSteps(file: string, key: string): Promise<CompletedSteps> {
  try {
    const done = JSON.parse(await readFile(file, 'utf8')) as CompletedSteps;
    if (done.key === key) return done;
  } catch {
    // No run was begun here, or its record is damaged: everything is done again.
  }
  return { key };
}
