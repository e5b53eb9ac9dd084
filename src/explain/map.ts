/*
 * Grad-CAM's arithmetic for one layer (Selvaraju et al. 2016, arXiv:1610.02391, equations 1 and 2):
 *   weight(c) = mean over (i, j) of dy / dA(c, i, j)        map = ReLU(sum over c of weight(c) A(c))
 * and the finish that the field's usual reference implementation gives it: scale to 0…1, bilinear to the input's size,
 * scale again. Pure functions over row-major float32 arrays.
 */
import { ShiboriError } from '../errors.js';
import { countElements } from '../tensor/dims.js';
import { type Tensor, tensor, zeros } from '../tensor/tensor.js';

type Float32Tensor = Tensor<'float32'>;

/** Keeps a constant map from dividing 0 by 0: it becomes all zeros. */
const EPSILON = 1e-7;

function expectRank(source: Float32Tensor, rank: number, what: string): void {
  if (source.dims.length !== rank) {
    throw new ShiboriError(`${what}: expected ${rank} axes, found dimensions [${source.dims.join(', ')}].`, {
      code: 'unsupported-model',
    });
  }
}

function expectSize(height: number, width: number): void {
  if (!Number.isInteger(height) || !Number.isInteger(width) || height < 1 || width < 1) {
    throw new ShiboriError(`Resizing a map: expected a positive whole height and width, found ${height}×${width}.`, {
      code: 'unsupported-model',
    });
  }
}

/** Item `index` of the first axis, as a view on the same elements. */
function sliceItem(batch: Float32Tensor, index: number): Float32Tensor {
  const dims = batch.dims.slice(1);
  const size = countElements(dims);
  return tensor('float32', dims, batch.data.subarray(index * size, (index + 1) * size));
}

function stackMaps(maps: readonly Float32Tensor[], dims: readonly number[]): Float32Tensor {
  const result = zeros('float32', [maps.length, ...dims]);
  const size = countElements(dims);
  maps.forEach((map, i) => {
    result.data.set(map.data, i * size);
  });
  return result;
}

/**
 * The raw Grad-CAM map `[h, w]` (≥ 0, not scaled) of activations and gradients `[C, h, w]` of one image.
 *
 * @throws ShiboriError when the two do not have the same three dimensions.
 */
export function computeGradCamMap(activation: Float32Tensor, gradient: Float32Tensor): Float32Tensor {
  expectRank(activation, 3, 'Activations of one image, [C, h, w]');
  if (activation.dims.join() !== gradient.dims.join()) {
    throw new ShiboriError(
      `Grad-CAM: the gradient must have the activation's dimensions [${activation.dims.join(', ')}], ` +
        `found [${gradient.dims.join(', ')}].`,
      { code: 'unsupported-model' },
    );
  }
  const [channels = 0, height = 0, width = 0] = activation.dims;
  const area = height * width;
  const sums = new Float64Array(area);
  for (let c = 0; c < channels; c++) {
    const start = c * area;
    let weight = 0;
    for (let p = 0; p < area; p++) weight += gradient.data[start + p] as number;
    weight /= area;
    for (let p = 0; p < area; p++) sums[p] = (sums[p] as number) + weight * (activation.data[start + p] as number);
  }
  return tensor(
    'float32',
    [height, width],
    Float32Array.from(sums, (sum) => Math.max(sum, 0)),
  );
}

/** The raw maps `[N, h, w]` of a batch of activations and gradients `[N, C, h, w]`. */
export function computeGradCamMaps(activations: Float32Tensor, gradients: Float32Tensor): Float32Tensor {
  expectRank(activations, 4, 'Activations of a batch, [N, C, h, w]');
  expectRank(gradients, 4, 'Gradients of a batch, [N, C, h, w]');
  const [count = 0, , height = 0, width = 0] = activations.dims;
  if (gradients.dims[0] !== count) {
    throw new ShiboriError(`Grad-CAM: ${count} activations, but ${gradients.dims[0]} gradients.`, {
      code: 'unsupported-model',
    });
  }
  const maps = Array.from({ length: count }, (_, i) =>
    computeGradCamMap(sliceItem(activations, i), sliceItem(gradients, i)),
  );
  return stackMaps(maps, [height, width]);
}

/**
 * A map scaled to 0…1: `(x − min) / (1e-7 + max − min)`. A constant map becomes zeros.
 *
 * @throws ShiboriError when the map holds NaN or an infinity.
 */
export function scaleMinMax(map: Float32Tensor): Float32Tensor {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of map.data) {
    if (!Number.isFinite(value)) {
      throw new ShiboriError(
        `Scaling a map: it holds ${value}. The model's activations or gradients overflow for this image.`,
        { code: 'unsupported-model' },
      );
    }
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = 1 / (EPSILON + (high - low));
  return tensor(
    'float32',
    map.dims,
    map.data.map((value) => (value - low) * scale),
  );
}

/** For each output position of one axis: the two source positions it lies between, and the weight of the second. */
function computeBilinearTaps(
  from: number,
  to: number,
): { first: Int32Array; second: Int32Array; weight: Float64Array } {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const weight = new Float64Array(to);
  for (let i = 0; i < to; i++) {
    const position = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    first[i] = Math.floor(position);
    second[i] = Math.min(Math.floor(position) + 1, from - 1);
    weight[i] = position - Math.floor(position);
  }
  return { first, second, weight };
}

/**
 * A map `[h, w]` resized to `[height, width]`: bilinear with half-pixel centres and no antialiasing, as OpenCV's
 * `INTER_LINEAR` and PyTorch's `interpolate(align_corners=False)`.
 */
export function resizeBilinear(map: Float32Tensor, height: number, width: number): Float32Tensor {
  expectRank(map, 2, 'A map, [h, w]');
  expectSize(height, width);
  const [fromHeight = 0, fromWidth = 0] = map.dims;
  expectSize(fromHeight, fromWidth);
  if (fromHeight === height && fromWidth === width) return map;
  const x = computeBilinearTaps(fromWidth, width);
  const y = computeBilinearTaps(fromHeight, height);
  const result = zeros('float32', [height, width]);
  const source = map.data;
  for (let i = 0; i < height; i++) {
    const top = (y.first[i] as number) * fromWidth;
    const bottom = (y.second[i] as number) * fromWidth;
    const down = y.weight[i] as number;
    for (let j = 0; j < width; j++) {
      const left = x.first[j] as number;
      const right = x.second[j] as number;
      const across = x.weight[j] as number;
      const above = (source[top + left] as number) * (1 - across) + (source[top + right] as number) * across;
      const below = (source[bottom + left] as number) * (1 - across) + (source[bottom + right] as number) * across;
      result.data[i * width + j] = above * (1 - down) + below * down;
    }
  }
  return result;
}

/** A raw map `[h, w]` as it is shown: scaled to 0…1, resized to `[height, width]`, scaled again. Zeros stay zeros. */
export function finishMap(raw: Float32Tensor, height: number, width: number): Float32Tensor {
  return scaleMinMax(resizeBilinear(scaleMinMax(raw), height, width));
}

/** Raw maps `[N, h, w]` finished one by one (each by its own minimum and maximum) to `[N, height, width]`. */
export function finishMaps(raw: Float32Tensor, height: number, width: number): Float32Tensor {
  expectRank(raw, 3, 'Maps of a batch, [N, h, w]');
  const maps = Array.from({ length: raw.dims[0] ?? 0 }, (_, i) => finishMap(sliceItem(raw, i), height, width));
  return stackMaps(maps, [height, width]);
}
