/** The images of a compression: those that it learns from, and those that measure what it amounted to. */

import type { CompressibleLayer } from '../compression/compressible-layers.js';
import type { RunContext } from '../context/run-context.js';
import { loadBatches } from '../data/batches.js';
import { ShiboriError, UsageError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import { openImageLoader } from '../images/image-pool.js';
import {
  type DataSourceOptions,
  type Dataset,
  requirePreprocess,
  takeImages,
  withTrainingSets,
} from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { countElements } from '../tensor/dims.js';
import { randomSplit, seeded } from '../tensor/random.js';
import { type Tensor, zeros } from '../tensor/tensor.js';

/** Share of the images that is kept for validation where no others measure. */
const VALIDATION_SHARE = 0.1;
/** Fewer images than this leave hardly one to measure with. */
const FEWEST_TO_SPLIT = 20;

/** Images to learn from, and validation images. */
export interface CompressionDatasets {
  readonly train: Dataset;
  readonly validation: Dataset;
  /** The second are a part of what the first were. */
  readonly isValidationSplitOff: boolean;
}

/**
 * Both sets; without images of its own, the validation is a tenth of the others, by PyTorch's `random_split` of the seed.
 *
 * @throws UsageError when there are too few images to hold some out.
 */
export function splitDatasets(data: Dataset, validation: Dataset | undefined, seed: number): CompressionDatasets {
  if (validation) return { train: data, validation, isValidationSplitOff: false };
  const count = data.source.items.length;
  if (count < FEWEST_TO_SPLIT) {
    throw new UsageError(
      `"${data.source.name}" has ${count} images: a tenth is too few to measure with. Give validation images with \`validationData\` or \`validationSplit\`.`,
      { option: 'validationData' },
    );
  }
  const [rest = [], held = []] = randomSplit(count, [1 - VALIDATION_SHARE, VALIDATION_SHARE], seed);
  return {
    train: takeImages(data, rest, `${data.source.name} (rest)`),
    validation: takeImages(data, held, `${data.source.name} (held out)`),
    isValidationSplitOff: true,
  };
}

/** Opens calibration and validation images, and closes them when `use` is done. */
export async function withCompressionDatasets<T>(
  data: DataSourceOptions,
  validation: DataSourceOptions | undefined,
  seed: number,
  context: RunContext,
  use: (sets: CompressionDatasets) => Promise<T>,
): Promise<T> {
  return withTrainingSets(data, validation, context, (train, held) => use(splitDatasets(train, held, seed)));
}

/**
 * Default number of calibration images, and the bytes that they may take as a model's inputs. A linear layer gets one sample
 * of an image where a convolution gets many: where there is nothing but linear layers, more images cost little.
 */
const CALIBRATION_DEFAULTS = { images: 2000, ofLinear: 5000, bytes: 256e6 } as const;
/** Below this, statistics follow the images more than the data. */
const FEW_IMAGES = 200;
/** Images computed at once while statistics are collected. */
const CALIBRATION_BATCH = 50;

/**
 * Calibration images as a model takes them, drawn from a data set by the seed, in batches of 50.
 *
 * @param layers those that are compressed.
 * @param wanted Default: 2000, for linear layers alone 5000, fewer where they would take more than 256 MB.
 */
export async function loadCalibrationImages(
  model: LoadedModel,
  dataset: Dataset,
  layers: readonly CompressibleLayer[],
  wanted: number | undefined,
  seed: number,
  context: RunContext,
): Promise<readonly Tensor[]> {
  const preprocess = requirePreprocess(model.graph, model.info);
  const channels = preprocess.color === 'gray' ? 1 : 3;
  const room = Math.max(1, Math.floor(CALIBRATION_DEFAULTS.bytes / (4 * channels * countElements(preprocess.size))));
  const all = dataset.source.items.length;
  const usual = layers.every(({ kind }) => kind === 'linear')
    ? CALIBRATION_DEFAULTS.ofLinear
    : CALIBRATION_DEFAULTS.images;
  const count = Math.min(wanted ?? Math.min(usual, room), all);
  if (wanted !== undefined && wanted > all) {
    context.onWarning?.(`${wanted} calibration images were asked for, "${dataset.source.name}" has ${all}`);
  }
  if (count < FEW_IMAGES) {
    context.onWarning?.(
      `${count} calibration images are few: statistics of less than ${FEW_IMAGES} follow the images more than the data`,
    );
  }
  const indices = Array.from(seeded(seed, all).permutation(all).subarray(0, count));
  const loader = openImageLoader(dataset, { preprocess, augmentation: undefined, seed: 0 }, context.workers);
  const chunks: Tensor<'float32'>[] = [];
  let loaded = 0;
  try {
    const onBad = ({ path, reason }: { path: string; reason: string }) =>
      context.onWarning?.(`skipped ${path}: ${reason}`);
    for await (const { images } of loadBatches(dataset.source, loader, {
      batchSize: CALIBRATION_BATCH,
      indices,
      onBad,
    })) {
      context.signal?.throwIfAborted();
      chunks.push(images);
      loaded += images.dims[0] ?? 0;
      context.onProgress?.({ phase: 'load', done: loaded, total: count });
    }
  } finally {
    await loader.close();
  }
  const fixed = findFixedBatch(model.graph);
  return fixed === undefined ? chunks : cutIntoBatches(fixed, chunks, dataset);
}

/**
 * Cuts calibration images into batches of the one size that a graph runs for; what is left over, fewer than one batch, is
 * not used, because zeros in its place would be statistics of nothing.
 */
function cutIntoBatches(size: number, chunks: readonly Tensor<'float32'>[], { source }: Dataset): Tensor<'float32'>[] {
  const [, ...dims] = chunks[0]?.dims ?? [];
  const elements = countElements(dims);
  const count = chunks.reduce((sum, chunk) => sum + (chunk.dims[0] ?? 0), 0);
  if (count < size) {
    throw new ShiboriError(
      `The model runs for batches of ${size} images alone, "${source.name}" has ${count} calibration images: expected at least ${size}.`,
      { code: 'unsupported-model' },
    );
  }
  const found = Array.from({ length: Math.floor(count / size) }, () => zeros('float32', [size, ...dims]));
  let at = 0;
  for (const chunk of chunks) {
    for (let row = 0; row < (chunk.dims[0] ?? 0); row++, at++) {
      const values = chunk.data.subarray(row * elements, (row + 1) * elements);
      found[Math.floor(at / size)]?.data.set(values, (at % size) * elements);
    }
  }
  return found;
}
