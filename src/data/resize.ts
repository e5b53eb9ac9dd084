/*
 * Resampling as Pillow does it for 8-bit images, to the bit, because that is what the models were trained with.
 *
 * An output pixel x has its centre at c = box0 + (x + 1/2) s in the input, with s = box length / output length. It is the
 * weighted mean of the input pixels within a support of max(s, 1) times that of the filter (so shrinking blurs: that is
 * the antialiasing), with weights f((i + 1/2 - c) / max(s, 1)) normalised to 1. Weights are fixed-point with 22
 * fractional bits (32, less 8 for the pixel and 2 for overshoot). Rows are resampled first, then columns, and the
 * image between the two passes is rounded to 8 bits.
 */
import { ShiboriError } from '../errors.js';
import type { RgbImage } from './image.js';

/**
 * `bilinear`: triangle of support 1. `bicubic`: Keys' cubic with a = -1/2 of support 2. `lanczos`: windowed sinc of
 * support 3. `box`: the mean. `hamming`: between box and bilinear. `nearest`: the pixel under the centre, no mean at all.
 */
export type Filter = 'nearest' | 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

export interface ResizeOptions {
  /** Default: `bilinear`. */
  readonly filter?: Filter;
  /** The part of the image to resize: `[left, top, right, bottom]` in pixels, fractions allowed. Default: all of it. */
  readonly box?: readonly [left: number, top: number, right: number, bottom: number];
}

const PRECISION_BITS = 32 - 8 - 2;
const ONE_HALF = 1 << (PRECISION_BITS - 1);

type AveragingFilter = Exclude<Filter, 'nearest'>;

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const filters: { readonly [F in AveragingFilter]: { readonly support: number; weight(distance: number): number } } = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(x * Math.PI)) : 0),
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
  bicubic: {
    support: 2,
    weight(distance) {
      const x = Math.abs(distance);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
      return 0;
    },
  },
};

/** Of each output position: the first input position, how many there are, and their weights, `stride` apart. */
interface FilterTaps {
  readonly stride: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
}

function computeTaps(
  inputSize: number,
  from: number,
  to: number,
  outputSize: number,
  filter: AveragingFilter,
): FilterTaps {
  const { support: unitSupport, weight } = filters[filter];
  const scale = Math.fround(to - from) / outputSize;
  const stretch = Math.max(scale, 1);
  const support = unitSupport * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * stride);
  const exact = new Float64Array(stride);
  for (let x = 0; x < outputSize; x++) {
    const centre = from + (x + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const length = Math.min(inputSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let i = 0; i < length; i++) {
      const value = weight((i + start - centre + 0.5) * (1 / stretch));
      exact[i] = value;
      sum += value;
    }
    for (let i = 0; i < length; i++) {
      const value = (sum === 0 ? (exact[i] as number) : (exact[i] as number) / sum) * (1 << PRECISION_BITS);
      weights[x * stride + i] = Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
    }
    first[x] = start;
    count[x] = length;
  }
  return { stride, first, count, weights };
}

/** Of each output position, the input position under its centre. Pillow adds step by step, and so does this. */
function computeNearestPositions(from: number, to: number, outputSize: number): Int32Array {
  const scale = (to - from) / outputSize;
  const positions = new Int32Array(outputSize);
  for (let x = 0, at = from + scale * 0.5; x < outputSize; x++, at += scale) positions[x] = Math.trunc(at);
  return positions;
}

function pickNearest(image: RgbImage, columns: Int32Array, rows: Int32Array): RgbImage {
  const [width, height] = [columns.length, rows.length];
  const data = new Uint8Array(width * height * 3);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (Math.min(row, image.height - 1) * image.width + Math.min(column, image.width - 1)) * 3;
      data[to++] = image.data[from] as number;
      data[to++] = image.data[from + 1] as number;
      data[to++] = image.data[from + 2] as number;
    }
  }
  return { width, height, data };
}

function clampToByte(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : Math.min(value, 255);
}

/** Resamples `rows` rows of a picture, from row `top` on. */
function resampleRows(source: Uint8Array, width: number, top: number, rows: number, taps: FilterTaps): Uint8Array {
  const { stride, first, count, weights } = taps;
  const outputWidth = first.length;
  const output = new Uint8Array(outputWidth * rows * 3);
  let to = 0;
  for (let y = 0; y < rows; y++) {
    const row = (top + y) * width;
    for (let x = 0; x < outputWidth; x++) {
      let [r, g, b] = [ONE_HALF, ONE_HALF, ONE_HALF];
      let from = (row + (first[x] as number)) * 3;
      const lastTap = x * stride + (count[x] as number);
      for (let tap = x * stride; tap < lastTap; tap++, from += 3) {
        const weight = weights[tap] as number;
        r = (r + Math.imul(source[from] as number, weight)) | 0;
        g = (g + Math.imul(source[from + 1] as number, weight)) | 0;
        b = (b + Math.imul(source[from + 2] as number, weight)) | 0;
      }
      output[to++] = clampToByte(r);
      output[to++] = clampToByte(g);
      output[to++] = clampToByte(b);
    }
  }
  return output;
}

/** Resamples the columns of a picture whose first row is what the taps count as row `top`. */
function resampleColumns(source: Uint8Array, width: number, top: number, taps: FilterTaps): Uint8Array {
  const { stride, first, count, weights } = taps;
  const height = first.length;
  const line = width * 3;
  const output = new Uint8Array(line * height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const start = ((first[y] as number) - top) * line;
    const lastTap = y * stride + (count[y] as number);
    for (let x = 0; x < line; x++) {
      let sum = ONE_HALF;
      let from = start + x;
      for (let tap = y * stride; tap < lastTap; tap++, from += line) {
        sum = (sum + Math.imul(source[from] as number, weights[tap] as number)) | 0;
      }
      output[to++] = clampToByte(sum);
    }
  }
  return output;
}

function checkSizes(
  image: RgbImage,
  width: number,
  height: number,
  box: readonly [number, number, number, number],
): void {
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0)) {
    throw new ShiboriError(`Cannot resize an image to ${width}×${height} pixels: both must be whole and positive.`, {
      code: 'invalid-data',
    });
  }
  const [left, top, right, bottom] = box;
  if (!(left >= 0 && top >= 0 && right <= image.width && bottom <= image.height && left < right && top < bottom)) {
    throw new ShiboriError(
      `Cannot resize the box [${box.join(', ')}] of an image of ${image.width}×${image.height} pixels: it must lie inside and not be empty.`,
      { code: 'invalid-data' },
    );
  }
}

/**
 * The image, or a box of it, at another size: bit-exact with Pillow's `Image.resize(size, filter, box)`.
 *
 * Returns the image itself when nothing changes. Throws when a size is not positive or the box reaches outside.
 */
export function resizeImage(image: RgbImage, width: number, height: number, options: ResizeOptions = {}): RgbImage {
  const { filter = 'bilinear', box = [0, 0, image.width, image.height] } = options;
  checkSizes(image, width, height, box);
  // Pillow keeps the box in single precision.
  const [left, top, right, bottom] = [
    Math.fround(box[0]),
    Math.fround(box[1]),
    Math.fround(box[2]),
    Math.fround(box[3]),
  ];
  const changesRows = width !== image.width || left !== 0 || right !== width;
  const changesColumns = height !== image.height || top !== 0 || bottom !== height;
  if (!changesRows && !changesColumns) return image;
  if (filter === 'nearest') {
    return pickNearest(
      image,
      computeNearestPositions(left, right, width),
      computeNearestPositions(top, bottom, height),
    );
  }
  const columnTaps = computeTaps(image.height, top, bottom, height, filter);
  const lastRow = height - 1;
  const firstNeeded = columnTaps.first[0] as number;
  const rowsNeeded = (columnTaps.first[lastRow] as number) + (columnTaps.count[lastRow] as number) - firstNeeded;
  let data = image.data;
  let dataTop = 0;
  if (changesRows) {
    data = resampleRows(
      data,
      image.width,
      firstNeeded,
      rowsNeeded,
      computeTaps(image.width, left, right, width, filter),
    );
    dataTop = firstNeeded;
  }
  // Without a second pass the rows needed are all of them, so the data is complete as it is.
  if (changesColumns) data = resampleColumns(data, width, dataTop, columnTaps);
  return { width, height, data };
}

/** The image with its shorter side at `size` pixels and the other in proportion, as `torchvision.transforms.Resize(size)`. */
export function resizeShorterSide(image: RgbImage, size: number, filter: Filter = 'bilinear'): RgbImage {
  const { width, height } = image;
  const longer = Math.trunc((size * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? resizeImage(image, size, longer, { filter }) : resizeImage(image, longer, size, { filter });
}
