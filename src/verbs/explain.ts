import { mkdir } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { indexOfPath, itemAt } from '../data/dataset.js';
import type { RgbImage } from '../data/image.js';
import { fitImage, toTensor } from '../data/preprocess.js';
import { ShiboriError, UsageError } from '../errors.js';
import { type Explanation, gradCam } from '../explain/grad-cam.js';
import { writeNpy } from '../formats/npy.js';
import { outputKind } from '../graph/output-kind.js';
import { logProbabilitiesOf } from '../metrics/accuracy.js';
import { addPredictions, NO_PREDICTIONS, type PredictionStats } from '../metrics/doubt.js';
import { writeFileAtomic } from '../node/atomic-file.js';
import { decodeImage } from '../node/decode-image.js';
import { type LoadedModel, type OpenOptions, openModel, readWhole } from '../node/model-file.js';
import { renderTriptychs, type TriptychRow } from '../node/triptych.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { classesNear, classNames, resolveClass } from './classes.js';
import { engineOf, tellNotes, type VerbContext } from './context.js';
import { classCount, type DataOptions, type Dataset, preprocessOf, sampleImages, withDataset } from './dataset.js';
import { warnOfDoubt } from './doubt.js';
import { outputNames } from './labels.js';

/** Images of a data set that are explained where none is named. */
const DEFAULT_IMAGES = 8;
/** Images explained at a time. */
const BATCH = 64;

/** One explained image. */
export interface ExplainedImage {
  readonly file: string;
  /** Class index with the highest score, and what it is called. */
  readonly predicted: number;
  readonly predictedName: string;
  /** Of the predicted class. */
  readonly probability: number;
  /** Class index that the map explains, its name and probability. */
  readonly target: number;
  readonly targetName: string;
  readonly targetProbability: number;
  /** `[H, W]` at the input's size. */
  readonly map: Tensor<'float32'>;
  /** The image as the model saw it, before normalisation. */
  readonly image: RgbImage;
}

/** Explains decoded images with Grad-CAM, many at a time. */
export async function explainImages(
  model: LoadedModel,
  images: readonly { readonly file: string; readonly image: RgbImage; readonly target?: number }[],
  options: { readonly layer?: string; readonly names: readonly string[] },
  context: VerbContext = {},
): Promise<{
  readonly layer: string;
  readonly images: readonly ExplainedImage[];
  readonly predictions: PredictionStats;
}> {
  const preprocess = preprocessOf(model.graph, model.info);
  const kind = outputKind(model.graph);
  const explainer = await gradCam(
    engineOf(context),
    model.graph,
    options.layer === undefined ? {} : { layer: options.layer },
  );
  for (const note of explainer.notes) context.onNote?.(note);
  const explained: ExplainedImage[] = [];
  let predictions = NO_PREDICTIONS;
  try {
    for (let start = 0; start < images.length; start += BATCH) {
      context.signal?.throwIfAborted();
      const batch = images
        .slice(start, start + BATCH)
        .map((entry) => ({ ...entry, image: fitImage(entry.image, preprocess) }));
      const tensor = toTensor(
        batch.map(({ image }) => image),
        preprocess,
      );
      const results = await explainer.explain(
        tensor,
        batch.map(({ target }) => target),
      );
      for (const [i, result] of results.entries()) {
        const entry = batch[i];
        const log = logProbabilitiesOf(float32(result.scores, [1, result.scores.length]), kind);
        predictions = addPredictions(predictions, log);
        if (entry) explained.push(describe(entry, result, log.data, options.names));
      }
      context.onProgress?.({ stage: 'explain', done: explained.length, total: images.length });
    }
  } finally {
    await explainer.dispose();
  }
  return { layer: explainer.layer, images: explained, predictions };
}

function describe(
  entry: { readonly file: string; readonly image: RgbImage },
  result: Explanation,
  log: Float32Array,
  names: readonly string[],
): ExplainedImage {
  return {
    file: entry.file,
    predicted: result.predicted,
    predictedName: names[result.predicted] ?? '',
    probability: Math.exp(log[result.predicted] ?? Number.NaN),
    target: result.target,
    targetName: names[result.target] ?? '',
    targetProbability: Math.exp(log[result.target] ?? Number.NaN),
    map: result.map,
    image: entry.image,
  };
}

/** The rows of a triptych figure for explained images. */
export function triptychRow(explained: ExplainedImage, note?: string): TriptychRow {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const why =
    explained.target === explained.predicted
      ? ''
      : ` · predicted: ${explained.predictedName} (${percent(explained.probability)})`;
  return {
    image: explained.image,
    map: explained.map,
    title: explained.targetName,
    caption: `${percent(explained.targetProbability)}${why}${note === undefined ? '' : ` · ${note}`}`,
  };
}

/** Options of `explain`. */
export interface ExplainOptions extends OpenOptions, Partial<DataOptions> {
  /** Module path, unique suffix of one, or name of a node or output. Default: the last activation on a grid. */
  readonly layer?: string;
  /** Class index or name. Default: the predicted class of each image. */
  readonly target?: string;
  /** Folder for the triptychs, one PNG an image. Default: `shibori-out/explain`. `null` writes none. */
  readonly output?: string | null;
  /** Folder for the maps as float32 `.npy` `[H, W]`. Default: not written. */
  readonly maps?: string;
}

/** What `explain` tells of one image. */
export interface ExplainResult {
  readonly file: string;
  readonly predicted: number;
  readonly predictedName: string;
  readonly probability: number;
  readonly target: number;
  readonly targetName: string;
  readonly targetProbability: number;
  /** The `.npy` file, where maps were asked for. */
  readonly map: string | null;
  /** The PNG triptych. */
  readonly picture: string | null;
}

/** What `explain` found. */
export interface Explained {
  readonly layer: string;
  /** The part of the data set that the images are of; `null` for files, and where it has no parts. */
  readonly part: string | null;
  readonly images: readonly ExplainResult[];
}

async function readImages(
  images: readonly string[],
  dataset: Dataset | undefined,
  seed: number | undefined,
): Promise<{ file: string; image: RgbImage }[]> {
  if (images.length === 0 && !dataset) throw new UsageError('Name at least one image, or a data set with --data.');
  // A bare number or a path inside of the data set names one of its images; everything else is a file.
  const indices = dataset && images.length === 0 ? sampleImages(dataset, DEFAULT_IMAGES, seed) : undefined;
  if (dataset && indices) return Promise.all(indices.map((index) => readItem(dataset, index)));
  return Promise.all(
    images.map(async (spec) => {
      if (dataset) return readItem(dataset, /^\d+$/.test(spec) ? Number(spec) : indexOfPath(dataset.source, spec));
      return { file: spec, image: await decodeImage(await readWhole(spec, 'image'), spec) };
    }),
  );
}

async function readItem(dataset: Dataset, index: number): Promise<{ file: string; image: RgbImage }> {
  const { path } = itemAt(dataset.source, index);
  return { file: path, image: await dataset.decode(await dataset.source.read(index), path) };
}

/** A file name for a picture or map: image, class and nothing a file system would stumble over. */
function stem(file: string, target: number, taken: Set<string>): string {
  const base = `${basename(file, extname(file))}-${target}`;
  let name = base;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  taken.add(name);
  return name;
}

/**
 * Shows why a model predicts: Grad-CAM maps of images, as triptychs *image | map | overlay* and as numbers.
 *
 * @param images image files; with `data`, paths or indices inside the data set (none: eight of its images, spread over the classes).
 * @throws UsageError for an unknown layer or class, ShiboriError for files that cannot be read.
 */
export async function explain(
  file: string,
  images: readonly string[],
  options: ExplainOptions = {},
  context: VerbContext = {},
): Promise<Explained> {
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
  context: VerbContext,
): Promise<Explained> {
  const model = await openModel(file, options);
  tellNotes(model, context);
  const classes = classCount(model.graph);
  const known = dataset?.source.classes ?? (images[0] === undefined ? undefined : classesNear(images[0], classes));
  const names = dataset ? outputNames(model, dataset.source) : classNames(known ?? model.info.classes, classes);
  const target =
    options.target === undefined
      ? undefined
      : resolveClass(options.target, names, known?.length === classes ? known.map(({ id }) => id) : []);
  const entries = (await readImages(images, dataset, options.seed)).map((entry) =>
    target === undefined ? entry : { ...entry, target },
  );
  const explained = await explainImages(
    model,
    entries,
    { names, ...(options.layer === undefined ? {} : { layer: options.layer }) },
    context,
  );
  warnOfDoubt(explained.predictions, model, context);
  const folder = options.output === undefined ? join('shibori-out', 'explain') : options.output;
  for (const path of [folder, options.maps]) if (path) await mkdir(path, { recursive: true });
  const taken = new Set<string>();
  const results: ExplainResult[] = [];
  for (const { map, image, ...rest } of explained.images) {
    const name = stem(rest.file, rest.target, taken);
    const mapFile = options.maps === undefined ? null : join(options.maps, `${name}.npy`);
    const picture = folder === null ? null : join(folder, `${name}.png`);
    if (mapFile !== null) await writeFileAtomic(mapFile, writeNpy(map));
    if (picture !== null) {
      const row = triptychRow({ ...rest, map, image });
      await writeFileAtomic(picture, await renderTriptychs([row], { layer: explained.layer }));
    }
    results.push({ ...rest, map: mapFile, picture });
  }
  if (results.length === 0) throw new ShiboriError('There was no image to explain.');
  return { layer: explained.layer, part: dataset?.source.part ?? null, images: results };
}
