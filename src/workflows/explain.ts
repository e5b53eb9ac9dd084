import { basename, extname, join } from 'node:path';
import { type RunContext, reportNotes } from '../context/run-context.js';
import { ShiboriError } from '../errors.js';
import { warnIfLikeChance } from '../evaluation/chance-warning.js';
import { buildClassNames, findClassesNear, resolveClass } from '../evaluation/class-names.js';
import { buildTriptychRow, type ExplainedImage, explainImages } from '../evaluation/explain-images.js';
import { noteScores } from '../evaluation/explain-notes.js';
import { listOutputNames } from '../evaluation/label-map.js';
import { writeNpy } from '../formats/npy.js';
import { readImages } from '../images/chosen-images.js';
import { type DataOptions, type Dataset, requirePreprocess, withDataset } from '../images/open-dataset.js';
import { makeFolder, writeFileAtomic } from '../io/atomic-file.js';
import { type LoadedModel, type OpenOptions, openModel } from '../io/models/model-file.js';
import { describePreprocess, type PreprocessPart } from '../models/preprocessing.js';
import type { ScoreChoice } from '../ops/scores/append.js';
import { findScores, type LabelKind, type OutputKind } from '../ops/scores/scores.js';
import { renderTriptychs } from '../pictures/triptych.js';
import { range } from '../tensor/dims.js';
import { defined } from '../values.js';

/** Options of `explain`. */
export interface ExplainOptions extends OpenOptions, Partial<DataOptions> {
  /** Module path, unique suffix of one, or name of a node or output. Default: the last activation on a grid. */
  readonly layer?: string;
  /** Class index or name. Default: the predicted class of each image. */
  readonly target?: string;
  /**
   * Which score is explained: `logits`, or the model's own `output`. Default: the logits in front of a softmax or sigmoid,
   * the output of a log-softmax.
   */
  readonly score?: ScoreChoice;
  /** Folder for the triptychs, one PNG an image. Default: `shibori-out/explain`. `null` writes none. */
  readonly output?: string | null;
  /** Folder for the maps as float32 `.npy` `[H, W]`. Default: not written. */
  readonly maps?: string;
}

/** What `explain` tells of one image. */
export interface ExplainResult extends Omit<ExplainedImage, 'map' | 'image'> {
  /** The `.npy` file, where maps were asked for. */
  readonly map: string | null;
  /** The PNG triptych. */
  readonly picture: string | null;
}

/** What `explain` found. */
export interface ExplainedFiles {
  readonly layer: string;
  /** The part of the data set that the images are of; `null` for files, and where it has no parts. */
  readonly part: string | null;
  /** What the model's scores are, and which of them the maps explain. */
  readonly scores: { readonly kind: OutputKind; readonly labels: LabelKind; readonly explained: OutputKind };
  /** How images became the model's input, in words, and which parts of it are guesses. */
  readonly preprocess: Readonly<Record<PreprocessPart, string>> & { readonly guessed: readonly PreprocessPart[] };
  readonly images: readonly ExplainResult[];
}

/** A file name for a picture or map: image, class and nothing a file system would stumble over. */
function buildFileStem(file: string, target: number, taken: Set<string>): string {
  const base = `${basename(file, extname(file))}-${target}`;
  let name = base;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  taken.add(name);
  return name;
}

/** Says which parts of the preprocessing nobody stated. */
function reportPreprocess(model: LoadedModel, context: RunContext): ExplainedFiles['preprocess'] {
  const words = describePreprocess(requirePreprocess(model.graph, model.info));
  const guessed = model.info.guessed ?? [];
  if (guessed.length > 0) {
    context.onNote?.(
      `The preprocessing is guessed: ${guessed.map((part) => `${part} (${words[part]})`).join(', ')}. Options change it: \`range\`, \`mean\`, \`std\`, \`color\`, \`resize\`, \`filter\`, \`inputSize\`.`,
    );
  }
  return { ...words, guessed };
}

/**
 * Shows why a model predicts: Grad-CAM maps of images, as triptychs *image | map | overlay* and as numbers.
 *
 * @param images image files, folders of images, or text files that list images; with `data`, paths or indices inside the
 *   data set (none: eight images spread over its classes). Of folders, lists and data sets at most `limit` images, 8 by default.
 * @throws UsageError for an unknown layer or class, ShiboriError for files that cannot be read.
 */
export async function explain(
  file: string,
  images: readonly string[],
  options: ExplainOptions = {},
  context: RunContext = {},
): Promise<ExplainedFiles> {
  const { data } = options;
  if (data === undefined) return explainFiles(file, images, undefined, options, context);
  return withDataset({ ...options, data }, 'measure', context, (dataset) =>
    explainFiles(file, images, dataset, options, context),
  );
}

async function explainFiles(
  file: string,
  images: readonly string[],
  dataset: Dataset | undefined,
  options: ExplainOptions,
  context: RunContext,
): Promise<ExplainedFiles> {
  const model = await openModel(file, options);
  reportNotes(model, context);
  const { classes, labels } = findScores(model.graph, model.info);
  const isRegression = labels === 'none';
  const near = dataset || images[0] === undefined ? undefined : findClassesNear(images[0], classes);
  const known = dataset?.source.classes ?? near;
  const names = isRegression
    ? range(classes).map((output) => `output ${output}`)
    : dataset
      ? listOutputNames(model, dataset.source)
      : buildClassNames(model.info.classes ?? known, classes);
  const target =
    options.target === undefined
      ? undefined
      : resolveClass(options.target, names, known?.length === classes ? known.map(({ id }) => id) : []);
  const entries = (await readImages(images, dataset, options, context)).map((entry) =>
    target === undefined ? entry : { ...entry, target },
  );
  if (entries.length === 0) throw new ShiboriError('There was no image to explain.', { code: 'invalid-data' });
  const { layer, score } = options;
  const explained = await explainImages(model, entries, { names, score, ...defined({ layer }) }, context);
  const preprocess = reportPreprocess(model, context);
  noteScores(explained, context);
  warnIfLikeChance(explained.predictions, model, context);
  const folder = options.output === undefined ? join('shibori-out', 'explain') : options.output;
  for (const path of [folder, options.maps]) if (path) await makeFolder(path);
  const taken = new Set<string>();
  const results: ExplainResult[] = [];
  for (const found of explained.images) {
    const { map, image: _, ...rest } = found;
    const name = buildFileStem(rest.file, rest.target, taken);
    const mapFile = options.maps === undefined ? null : join(options.maps, `${name}.npy`);
    const picture = folder === null ? null : join(folder, `${name}.png`);
    if (mapFile !== null) await writeFileAtomic(mapFile, writeNpy(map));
    if (picture !== null) {
      await writeFileAtomic(picture, await renderTriptychs([buildTriptychRow(found)], { layer: explained.layer }));
    }
    results.push({ ...rest, map: mapFile, picture });
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
