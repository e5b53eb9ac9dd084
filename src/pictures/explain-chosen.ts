import { basename, extname, join } from 'node:path';
import type { RunContext } from '../context/run-context.js';
import { ShiboriError } from '../errors.js';
import { warnIfLikeChance } from '../evaluation/chance-warning.js';
import { buildClassNames, findClassesNear, resolveClass } from '../evaluation/class-names.js';
import { type ExplainedImage, explainImages } from '../evaluation/explain-images.js';
import { noteScores } from '../evaluation/explain-notes.js';
import { listOutputNames } from '../evaluation/label-map.js';
import { writeNpy } from '../formats/npy.js';
import { type ChosenImages, listPaths, readImages } from '../images/chosen-images.js';
import { type Dataset, requirePreprocess } from '../images/open-dataset.js';
import { makeFolder, writeFileAtomic } from '../io/atomic-file.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { describePreprocess, type PreprocessPart } from '../models/preprocessing.js';
import type { ScoreChoice } from '../ops/scores/append.js';
import { findScores, type LabelKind, type OutputKind } from '../ops/scores/scores.js';
import { range } from '../tensor/dims.js';
import { defined } from '../values.js';
import { renderTriptychs } from './triptych.js';
import { buildTriptychRow } from './triptych-row.js';

/** Lists what {@link explainChosen} needs to know. */
export interface ExplainChoice {
  /** Module path, unique suffix of one, or name of a node or output. Default: the last activation on a grid. */
  readonly layer?: string;
  /** Class, by index, name or id. Default: the predicted class of each image. */
  readonly target?: string | number;
  /**
   * Which score is explained: `logits`, or the model's own `output`. Default: the logits upstream of a softmax or sigmoid,
   * the output of a log-softmax.
   */
  readonly score?: ScoreChoice;
  /** Folder for the triptychs, one PNG an image. Default: none is written. */
  readonly output?: string;
  /** Folder for the maps as float32 `.npy` `[H, W]`. Default: none is written. */
  readonly maps?: string;
  /** Most images of a folder, a list or a data set. Default: 8. */
  readonly limit?: number;
  /** Decides which images of a data set. Default: 42. */
  readonly seed?: number;
}

/** Holds the explanation of one image. */
export interface ImageExplanation extends Omit<ExplainedImage, 'image'> {
  /** The `.npy` file, where one was asked for. */
  readonly mapFile: string | undefined;
  /** The PNG triptych, where one was asked for. */
  readonly pictureFile: string | undefined;
}

/** Holds what `explain` found. */
export interface ExplainResult {
  /** Module path of the layer that was looked at. */
  readonly layer: string;
  /** The part of the data set that the images are of; `null` for files, and where it has no parts. */
  readonly part: string | null;
  /** What the model's scores are, and which of them the maps explain. */
  readonly scores: { readonly kind: OutputKind; readonly labels: LabelKind; readonly explained: OutputKind };
  /** How images became the model's input, in words, and which parts of it are guesses. */
  readonly preprocess: Readonly<Record<PreprocessPart, string>> & { readonly guessed: readonly PreprocessPart[] };
  readonly images: readonly ImageExplanation[];
}

/** A file name for a picture or map: image, class and nothing a file system would stumble over. */
function buildFileStem(file: string, target: number, taken: Set<string>): string {
  const base = `${basename(file, extname(file))}-${target}`;
  let name = base;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  taken.add(name);
  return name;
}

/** Describes the parts of the preprocessing that are guesses. */
function reportPreprocess(model: LoadedModel, context: RunContext): ExplainResult['preprocess'] {
  const words = describePreprocess(requirePreprocess(model.graph, model.info));
  const guessed = model.info.guessed ?? [];
  if (guessed.length > 0) {
    context.onNote?.(
      `The preprocessing is guessed: ${guessed.map((part) => `${part} (${words[part]})`).join(', ')}. Options change it: \`range\`, \`mean\`, \`std\`, \`color\`, \`resize\`, \`filter\`, \`inputSize\`.`,
    );
  }
  return { ...words, guessed };
}

/** Explains images that were chosen by a person, and writes what is asked for. */
export async function explainChosen(
  model: LoadedModel,
  images: ChosenImages,
  { dataset, ...options }: ExplainChoice & { readonly dataset: Dataset | undefined },
  context: RunContext,
): Promise<ExplainResult> {
  const { classes, labels } = findScores(model.graph, model.info);
  const isRegression = labels === 'none';
  const [first] = listPaths(images);
  const near = dataset || first === undefined ? undefined : findClassesNear(first, classes);
  const known = dataset?.source.classes ?? near;
  const names = isRegression
    ? range(classes).map((output) => `output ${output}`)
    : dataset
      ? listOutputNames(model, dataset.source)
      : buildClassNames(model.info.classes ?? known, classes);
  const target =
    options.target === undefined
      ? undefined
      : resolveClass(String(options.target), names, known?.length === classes ? known.map(({ id }) => id) : []);
  const entries = (await readImages(images, dataset, options, context)).map((entry) =>
    target === undefined ? entry : { ...entry, target },
  );
  if (entries.length === 0) throw new ShiboriError('There was no image to explain.', { code: 'invalid-data' });
  const { layer, score } = options;
  const explained = await explainImages(model, entries, { names, score, ...defined({ layer }) }, context);
  const preprocess = reportPreprocess(model, context);
  noteScores(explained, context);
  warnIfLikeChance(explained.predictions, model, context);
  const { output: folder } = options;
  for (const path of [folder, options.maps]) if (path) await makeFolder(path);
  const taken = new Set<string>();
  const results: ImageExplanation[] = [];
  for (const found of explained.images) {
    const { image: _, ...rest } = found;
    const name = buildFileStem(rest.file, rest.target, taken);
    const mapFile = options.maps === undefined ? undefined : join(options.maps, `${name}.npy`);
    const pictureFile = folder === undefined ? undefined : join(folder, `${name}.png`);
    if (mapFile !== undefined) await writeFileAtomic(mapFile, writeNpy(found.map));
    if (pictureFile !== undefined) {
      await writeFileAtomic(pictureFile, await renderTriptychs([buildTriptychRow(found)], { layer: explained.layer }));
    }
    results.push({ ...rest, mapFile, pictureFile });
  }
  const { kind } = explained.scores;
  return {
    layer: explained.layer,
    part: dataset?.source.part ?? null,
    scores: { kind, labels, explained: explained.explained },
    preprocess,
    images: results,
  };
}
