import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Box, clutteredDigits } from '../data/cluttered-digits.js';
import { type ImageSource, subset } from '../data/dataset.js';
import type { Decode } from '../data/decode.js';
import { IMAGENET_MEAN, IMAGENET_STD, type Preprocess } from '../data/preprocess.js';
import { ShiboriError, UsageError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph } from '../graph/model.js';
import type { ModelInfo } from '../models/metadata.js';
import { decodeImage } from '../node/decode-image.js';
import { cacheFolder } from '../node/fetch.js';
import { decodeDigit } from '../node/image-origin.js';
import { openImageSource } from '../node/image-source.js';
import { readMnist } from '../node/mnist.js';
import { range } from '../tensor/dims.js';

/** Data sets that are known by name. */
export const builtInData: readonly string[] = ['tiny-imagenet', 'cluttered-digits'];

/** Which images a verb works on. */
export interface DataOptions {
  /** An ImageFolder directory, a .zip of one, a split file, `tiny-imagenet` or `cluttered-digits`. */
  readonly data: string;
  /** A file that lists the images to use, in their order. */
  readonly split?: string;
  /** PyTorch's `random_split` of all images, and which part of it. */
  readonly randomSplit?: { readonly fractions: readonly number[]; readonly seed: number; readonly part: number };
  /** Use the first so many images only. */
  readonly limit?: number;
}

/** Images with labels, and how to decode them. */
export interface Dataset {
  readonly source: ImageSource;
  readonly decode: Decode;
  /** Where the labelled object is, in pixels of the image; known for built-in data only. */
  box?(index: number): Box;
}

/** Sizes of the parts of the built-in digits. */
const DIGITS = { train: 8000, validation: 1000 } as const;

/** The built-in `cluttered-digits`: real handwritten digits on a cluttered canvas. */
export async function openDigits(
  part: 'train' | 'validation',
  seed = 1,
  count: number = DIGITS[part],
): Promise<Dataset> {
  const split = part === 'train' ? 'train' : 'test';
  const digits = clutteredDigits({ digits: await readMnist(split), seed, split, count });
  const source: ImageSource = {
    name: `cluttered-digits (${part})`,
    items: Array.from({ length: count }, (_, i) => ({
      path: `${part}/${digits.label(i)}/${i}`,
      label: digits.label(i),
    })),
    classes: digits.classNames.map((name) => ({ id: name, name })),
    read: async (index) => digits.image(index).data,
    origin: { kind: 'digits', split, seed, count },
  };
  return { source, decode: decodeDigit, box: (index) => digits.box(index) };
}

/**
 * Opens the images that a verb works on.
 *
 * @param part which half of built-in data is meant where no split is given. Default: `validation`.
 * @throws ShiboriError when there are none, UsageError for an unknown name.
 */
export async function openDataset(options: DataOptions, part: 'train' | 'validation' = 'validation'): Promise<Dataset> {
  const limited = (dataset: Dataset): Dataset => {
    const { limit } = options;
    if (limit === undefined || limit >= dataset.source.items.length) return dataset;
    return { ...dataset, source: subset(dataset.source, range(limit)) };
  };
  if (options.data === 'cluttered-digits') return limited(await openDigits(part));
  let spec = options.data;
  let { randomSplit } = options;
  if (spec === 'tiny-imagenet') {
    spec = join(cacheFolder(), 'tiny-imagenet-200.zip');
    if (!existsSync(spec)) {
      throw new ShiboriError(
        'Tiny ImageNet is not here yet. Get it with `shibori fetch tiny-imagenet` (248 MB), then try again.',
      );
    }
    // The study's split: 95 % for training, 5 % for validation.
    if (options.split === undefined)
      randomSplit ??= { fractions: [0.95, 0.05], seed: 42, part: part === 'train' ? 0 : 1 };
  } else if (!existsSync(spec)) {
    throw new UsageError(
      `There is no data at "${spec}". Expected an ImageFolder directory, a .zip of one, a split file, or a built-in name (tiny-imagenet, cluttered-digits).`,
    );
  }
  const source = await openImageSource(spec, {
    ...(options.split === undefined ? {} : { split: options.split }),
    ...(randomSplit === undefined ? {} : { randomSplit }),
  });
  return limited({ source, decode: decodeImage });
}

/**
 * How images become a model's input: what was found when its file was opened; for a graph from elsewhere, the input's
 * size, images resized in proportion and cropped, normalised by the ImageNet means and deviations.
 *
 * @throws UsageError for a model that takes no images, or images of an unknown size.
 */
export function preprocessOf(graph: Graph, info: ModelInfo): Preprocess {
  const dims = graph.inputs[0]?.type?.dims;
  const [, channels, height, width] = dims ?? [];
  const input = `The model's input "${graph.inputs[0]?.name}" is ${formatDims(dims)}`;
  if (dims?.length !== 4) throw new UsageError(`${input}: expected images [N, 3, H, W] or [N, 1, H, W].`);
  if (channels !== 3 && channels !== 1) {
    throw new UsageError(
      `${input}, images of ${channels} channels; image files are read as 3 channels (RGB) or 1 (gray). \`shibori summary\` works, and so does \`shibori compress\` without --data. If another axis holds the channels, give --image-layout.`,
    );
  }
  if (info.preprocess) return info.preprocess;
  if (typeof height !== 'number' || typeof width !== 'number') {
    throw new UsageError(`The model takes images of any size. Say which with --input ${channels},224,224.`);
  }
  const size = [height, width] as const;
  if (channels === 1) return { size, resize: 'shorter-side', color: 'gray', mean: [0], std: [1] };
  return { size, resize: 'shorter-side', mean: IMAGENET_MEAN, std: IMAGENET_STD };
}

/** Number of classes a model tells apart. */
export function classCount(graph: Graph): number {
  const [output] = graph.outputs;
  const classes = output?.type?.dims[1];
  if (typeof classes === 'number' && output?.type?.dims.length === 2) return classes;
  throw new ShiboriError(
    `The model is no classifier: its first output "${output?.name}" is ${formatDims(output?.type?.dims)}, not [N, classes].`,
  );
}

/** Checks that a data set's labels fit a model before hours are spent on it. */
export function checkLabels(graph: Graph, source: ImageSource): void {
  const classes = classCount(graph);
  if (source.classes.length > classes) {
    throw new UsageError(
      `The data set "${source.name}" has ${source.classes.length} classes, the model tells ${classes} apart. Is this the data it was trained on?`,
    );
  }
}
