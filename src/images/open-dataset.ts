/// <reference lib="esnext.disposable" preserve="true" />
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { RunContext } from '../context/run-context.js';
import { type Box, createClutteredDigits } from '../data/cluttered-digits.js';
import type { Purpose } from '../data/data-parts.js';
import type { ImageDecoder } from '../data/decode.js';
import { type ImageSource, isLabelled, takeSubset } from '../data/image-items.js';
import { IMAGENET_MEAN, IMAGENET_STD, type Preprocess } from '../data/preprocess.js';
import { sampleByClass } from '../data/sample.js';
import { ShiboriError, UsageError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph } from '../graph/model.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { getCacheFolder } from '../io/named-downloads.js';
import type { ModelInfo } from '../models/metadata.js';
import { findScores } from '../ops/scores/scores.js';
import { defined } from '../values.js';
import { decodeImage } from './decode-image.js';
import { decodeDigit } from './image-origin.js';
import { openImageSource } from './image-source.js';
import { readMnist } from './mnist.js';

/** Data sets that are known by name. */
export const builtInDatasets: readonly string[] = ['tiny-imagenet', 'cluttered-digits'];

/** Names the purpose of the images of a workflow. */
export interface DataOptions {
  /** A folder of class folders or of images without labels, a .zip of one, a split file, `tiny-imagenet`, `cluttered-digits`. */
  readonly data: string;
  /** A file that lists the images to use, in their order. */
  readonly split?: string;
  /** PyTorch's `random_split` of all images, and which part of it. */
  readonly randomSplit?: { readonly fractions: readonly number[]; readonly seed: number; readonly part: number };
  /** The part of the data set, the name of a folder such as `val`. Default: by what the images are for. */
  readonly part?: string;
  /** Use so many images only, drawn by the seed: the same share of every class, in the order of the data set. */
  readonly limit?: number;
  /** Decides the images that `limit` draws. Default: 42. */
  readonly seed?: number;
}

/** Images, and how to decode them. */
export interface Dataset {
  readonly source: ImageSource;
  readonly decode: ImageDecoder;
  /** Where the labelled object is, in pixels of the image; known for built-in data only. */
  box?(index: number): Box;
  /** Where only some of the images were drawn: of how many, and by which seed. */
  readonly sample?: { readonly of: number; readonly seed: number };
}

/** Holds a data set that was opened and is to be closed: archives stay open until then. */
export interface OpenedDataset extends Dataset {
  /** Gives files and threads back. */
  close(): Promise<void>;
  /** Closes it, as `close` does. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Names images: a folder, a file or a built-in name, or a data set that is open already. */
export type DataSource = string | Dataset;

/** Lists the options of a task on images that may be open already. All but `data` apply to images that are not. */
export interface DataSourceOptions extends Omit<DataOptions, 'data'> {
  readonly data: DataSource;
}

/** Lists the options of images that validate what is learnt from others. */
export interface ValidationOptions {
  /** Validation images. Default: the part `val`, else `test`, of the data set, where it has one. */
  readonly validationData?: DataSource;
  /** A file that lists the validation images, in `validationData` or else in `data`. */
  readonly validationSplit?: string;
}

/** Tells options that name a source from those that hold an opened data set. */
const namesData = (options: DataSourceOptions): options is DataOptions => typeof options.data === 'string';

/**
 * Reads the options of validation images; `undefined` where none of them is given.
 *
 * @throws UsageError for a split file of an opened data set.
 */
export function resolveValidation(
  options: ValidationOptions & { readonly data: DataSource },
): DataSourceOptions | undefined {
  const { validationData, validationSplit } = options;
  if (validationSplit === undefined) return validationData === undefined ? undefined : { data: validationData };
  const data = validationData ?? options.data;
  if (typeof data === 'string') return { data, split: validationSplit };
  throw new UsageError(
    '`validationSplit` lists images of a folder, an archive or a built-in name; an opened data set has its images already. Open the validation images with `openDataset` and give them as `validationData`.',
    { option: 'validationSplit' },
  );
}

/** Sizes of the parts of the built-in digits. */
const DIGITS = { train: 8000, validation: 1000 } as const;

/** The seed of everything that no option gives one for. */
export const DEFAULT_SEED = 42;

function addClose(dataset: Dataset): OpenedDataset {
  const close = async () => dataset.source.close?.();
  return { ...dataset, close, [Symbol.asyncDispose]: close };
}

/** Opens the built-in `cluttered-digits`: real handwritten digits on a cluttered canvas. */
export async function openDigits(
  part: 'train' | 'validation',
  seed = 1,
  count: number = DIGITS[part],
): Promise<OpenedDataset> {
  const split = part === 'train' ? 'train' : 'test';
  const digits = createClutteredDigits({ digits: await readMnist(split), seed, split, count });
  const source: ImageSource = {
    name: `cluttered-digits (${part})`,
    items: Array.from({ length: count }, (_, i) => ({
      path: `${part}/${digits.getLabel(i)}/${i}`,
      label: digits.getLabel(i),
    })),
    classes: digits.classNames.map((name) => ({ id: name, name })),
    read: async (index) => digits.drawImage(index).data,
    origin: { kind: 'digits', split, seed, count },
    part,
  };
  return addClose({ source, decode: decodeDigit, box: (index) => digits.getBox(index) });
}

/** Takes images of a data set by their positions, in this order. */
export function takeImages(dataset: Dataset, indices: readonly number[], name = dataset.source.name): Dataset {
  const { box } = dataset;
  return {
    ...dataset,
    source: takeSubset(dataset.source, indices, name),
    ...(box ? { box: (index: number) => box(indices[index] ?? -1) } : {}),
  };
}

/** Draws so many positions of a data set, stratified by class; all of them where there are no more. */
export function sampleImages({ source }: Dataset, count: number, seed = DEFAULT_SEED): number[] {
  return sampleByClass(
    source.items.map(({ label }) => label),
    count,
    seed,
  );
}

/** Opens what an option `data` names, all of its images. */
async function openAllImages(options: DataOptions, purpose: Purpose): Promise<Dataset> {
  const { data, split, part } = options;
  if (data === 'cluttered-digits') {
    const wanted = part ?? (purpose === 'train' ? 'train' : 'validation');
    if (wanted === 'train' || wanted === 'validation') return openDigits(wanted);
    throw new UsageError(`\`part: '${wanted}'\`: cluttered-digits has the parts "train" and "validation".`, {
      option: 'part',
    });
  }
  let spec = data;
  let { randomSplit } = options;
  const isDefaultSplit = data === 'tiny-imagenet' && split === undefined && part === undefined && !randomSplit;
  if (data === 'tiny-imagenet') {
    spec = join(getCacheFolder(), 'tiny-imagenet-200.zip');
    if (!existsSync(spec)) {
      throw new ShiboriError(
        "Tiny ImageNet is not here yet. Get it with `fetchData('tiny-imagenet')` (248 MB), then try again.",
        { code: 'file-not-found', file: spec, option: 'data' },
      );
    }
    // The split of the reference VGG16: 95 % for training, 5 % for validation.
    if (isDefaultSplit) randomSplit = { fractions: [0.95, 0.05], seed: 42, part: purpose === 'train' ? 0 : 1 };
  } else if (!existsSync(spec)) {
    throw new UsageError(
      `There is no data at "${spec}". Expected a folder of class folders or of images, a .zip of one, a split file, or a built-in name (tiny-imagenet, cluttered-digits).`,
    );
  }
  const source = await openImageSource(spec, {
    purpose,
    ...defined({ part, split, randomSplit }),
  });
  if (isDefaultSplit) return { source: { ...source, notes: [] }, decode: decodeImage };
  const isWholePart =
    source.part !== undefined && !randomSplit && split === undefined && (source.parts?.length ?? 0) > 1;
  return { source: isWholePart ? { ...source, name: `${source.name} (${source.part})` } : source, decode: decodeImage };
}

/**
 * Opens the images of a workflow.
 *
 * @param purpose chooses among the parts of a data set where no option says which. Default: `measure`.
 * @throws ShiboriError when there are none, UsageError for an unknown name or part.
 */
export async function openDataset(options: DataOptions, purpose: Purpose = 'measure'): Promise<OpenedDataset> {
  const whole = await openAllImages(options, purpose);
  const { limit, seed = DEFAULT_SEED } = options;
  const count = whole.source.items.length;
  if (limit === undefined || limit >= count) return addClose(whole);
  return addClose({ ...takeImages(whole, sampleImages(whole, limit, seed)), sample: { of: count, seed } });
}

/** Reports what was chosen when a data set was opened. */
function reportChoices({ source, sample }: Dataset, context: RunContext): void {
  for (const note of source.notes ?? []) context.onNote?.(note);
  if (!sample) return;
  const strata = isLabelled(source) ? ', the same share of every class' : '';
  context.onNote?.(
    `"${source.name}": ${source.items.length} of ${sample.of} images are used${strata} (seed ${sample.seed}).`,
  );
}

/**
 * Opens images, reports what was chosen, and closes them when `use` is done or fails. A data set that is open already is
 * used as it is and stays open.
 */
export async function withDataset<T>(
  options: DataSourceOptions,
  purpose: Purpose,
  context: RunContext,
  use: (dataset: Dataset) => Promise<T>,
): Promise<T> {
  const { data } = options;
  if (typeof data !== 'string') return use(data);
  const dataset = await openDataset({ ...options, data }, purpose);
  try {
    reportChoices(dataset, context);
    return await use(dataset);
  } finally {
    await dataset.close();
  }
}

/**
 * Finds the images that validate what is learnt from others of the same data set: its part `val`, else `test`.
 *
 * @param train what was opened for training by these options.
 * @returns `undefined` where options choose the images themselves, or where there is no such part.
 */
export function findValidationPart(options: DataOptions, { source }: Dataset): DataOptions | undefined {
  if (options.split !== undefined || options.randomSplit || builtInDatasets.includes(options.data)) return undefined;
  const parts = (source.parts ?? []).filter(({ name, labelled }) => labelled && name !== source.part);
  const found = parts.find(({ kind }) => kind === 'val') ?? parts.find(({ kind }) => kind === 'test');
  return found && { ...options, part: found.name };
}

/** Opens the images of a training and those that validate it; by default the data set's own part for that. */
export async function withTrainingSets<T>(
  options: DataSourceOptions,
  validation: DataSourceOptions | undefined,
  context: RunContext,
  use: (train: Dataset, validation: Dataset | undefined) => Promise<T>,
): Promise<T> {
  return withDataset(options, 'train', context, async (train) => {
    const own = validation || !namesData(options) ? undefined : findValidationPart(options, train);
    const wanted = validation ?? own;
    if (!wanted) return use(train, undefined);
    if (own) context.onNote?.(`"${train.source.name}": its part "${own.part}" is used for validation.`);
    return withDataset(wanted, 'validate', context, (dataset) => use(train, dataset));
  });
}

/** Refuses images without labels where they are needed; `what` says for what. */
export function requireLabels({ source }: Dataset, what: string): void {
  if (isLabelled(source)) return;
  throw new UsageError(
    `"${source.name}"${source.part === undefined ? '' : ` (part "${source.part}")`} has ${source.items.length} images without labels: ${what}. Expected a folder for each class with its images inside.`,
  );
}

/**
 * How images become a model's input: what was found when its file was opened; for a graph from elsewhere, the input's
 * size, images resized in proportion and cropped, normalised by the ImageNet means and deviations.
 *
 * @throws UsageError for a model that takes no images, or images of an unknown size.
 */
export function requirePreprocess(graph: Graph, info: ModelInfo): Preprocess {
  const dims = graph.inputs[0]?.type?.dims;
  const [, channels, height, width] = dims ?? [];
  const input = `The model's input "${graph.inputs[0]?.name}" is ${formatDims(dims)}`;
  if (dims?.length !== 4) throw new UsageError(`${input}: expected images [N, 3, H, W] or [N, 1, H, W].`);
  if (channels !== 3 && channels !== 1) {
    throw new UsageError(
      `${input}, images of ${channels} channels; image files are read as 3 channels (RGB) or 1 (gray). \`summarize\` works, and so does \`compress\` without \`data\`. If another axis holds the channels, give \`imageLayout\`.`,
    );
  }
  if (info.preprocess) return info.preprocess;
  if (typeof height !== 'number' || typeof width !== 'number') {
    throw new UsageError(`The model takes images of any size. Say which with \`inputSize: [224, 224]\`.`, {
      option: 'inputSize',
    });
  }
  const size = [height, width] as const;
  if (channels === 1) return { size, resize: 'shorter-side', color: 'gray', mean: [0], std: [1] };
  return { size, resize: 'shorter-side', mean: IMAGENET_MEAN, std: IMAGENET_STD };
}

/** Counts the classes of a model. Throws UsageError for a regression, which has none. */
export function countClasses({ graph, info }: LoadedModel): number {
  const { classes, labels } = findScores(graph, info);
  if (labels !== 'none') return classes;
  throw new UsageError(
    "The model was opened as a regression (`task: 'regression'`), which has no classes: its accuracy and its predictions cannot be measured. `explain`, `summarize`, `exportModel` and `compress` without `data` work; give `task: 'classification'` for the rest.",
    { option: 'task' },
  );
}

/** Checks that a data set's labels fit a model before hours are spent on it. */
export function checkLabels(model: LoadedModel, source: ImageSource): void {
  const classes = countClasses(model);
  if (source.classes.length > classes) {
    throw new UsageError(
      `The data set "${source.name}" has ${source.classes.length} classes, the model tells ${classes} apart. Is this the data it was trained on?`,
    );
  }
}
