import { ShiboriError } from '../errors.js';
import type { normalization as specs } from '../ops/normalization.js';
import { countElements, normalizeAxis } from '../tensor/dims.js';
import { expectEntry, fromNumbers, generate, type Kernels, listBroadcastPositions, readNumbers } from './kernel.js';

/** Mean and 1 / √(var + epsilon) of each run of `length` elements; the variance is the biased one. */
function computeRunStatistics(x: ArrayLike<number>, length: number, epsilon: number) {
  const count = length === 0 ? 0 : x.length / length;
  const [mean, inverse] = [new Float64Array(count), new Float64Array(count)];
  for (let run = 0; run < count; run++) {
    let sum = 0;
    for (let k = 0; k < length; k++) sum += x[run * length + k] as number;
    const average = sum / length;
    let squares = 0;
    for (let k = 0; k < length; k++) squares += ((x[run * length + k] as number) - average) ** 2;
    mean[run] = average;
    inverse[run] = 1 / Math.sqrt(squares / length + epsilon);
  }
  return { mean, inverse };
}

export const normalization: Kernels<keyof typeof specs> = {
  // Y = (X - mean) / √(var + epsilon) scale + bias, a channel (axis 1) at a time. In training mode mean and var are the
  // batch's own (the biased variance, for the running one too: ONNX, unlike PyTorch, does not correct it).
  BatchNormalization: ({ epsilon, momentum, training_mode }, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => readNumbers(expectEntry(inputs, i)));
    if (!x || !scale || !bias || !mean || !variance)
      throw new ShiboriError('BatchNormalization takes five inputs.', { code: 'engine-failed' });
    const channels = X.dims[1] ?? 1;
    const inner = countElements(X.dims.slice(2));
    const getChannel = (i: number) => Math.floor(i / inner) % channels;
    const normalized = (mean: ArrayLike<number>, variance: ArrayLike<number>) =>
      generate(expectEntry(types, 0), (i) => {
        const c = getChannel(i);
        const centred = (x[i] as number) - (mean[c] as number);
        return (centred / Math.sqrt((variance[c] as number) + epsilon)) * (scale[c] as number) + (bias[c] as number);
      });
    if (!training_mode) return [normalized(mean, variance), expectEntry(inputs, 3), expectEntry(inputs, 4)];

    const count = x.length / channels;
    const batchMean = new Float64Array(channels);
    const batchVariance = new Float64Array(channels);
    for (let i = 0; i < x.length; i++)
      batchMean[getChannel(i)] = (batchMean[getChannel(i)] ?? 0) + (x[i] as number) / count;
    for (let i = 0; i < x.length; i++) {
      const c = getChannel(i);
      batchVariance[c] = (batchVariance[c] ?? 0) + ((x[i] as number) - (batchMean[c] as number)) ** 2 / count;
    }
    const running = (before: ArrayLike<number>, batch: Float64Array) =>
      batch.map((value, c) => (before[c] as number) * momentum + value * (1 - momentum));
    return [
      normalized(batchMean, batchVariance),
      fromNumbers(expectEntry(types, 1), running(mean, batchMean)),
      fromNumbers(expectEntry(types, 2), running(variance, batchVariance)),
    ];
  },
  // As BatchNormalization, with the mean and variance of each channel of each image.
  InstanceNormalization: ({ epsilon }, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const [x, scale, bias] = [readNumbers(X), readNumbers(expectEntry(inputs, 1)), readNumbers(expectEntry(inputs, 2))];
    const length = countElements(X.dims.slice(2));
    const { mean, inverse } = computeRunStatistics(x, length, epsilon);
    return [
      generate(expectEntry(types, 0), (i) => {
        const run = Math.floor(i / length);
        const c = run % (X.dims[1] ?? 1);
        const normalized = ((x[i] as number) - (mean[run] as number)) * (inverse[run] as number);
        return normalized * (scale[c] as number) + (bias[c] as number);
      }),
    ];
  },
  // Y = (X - mean) / √(var + epsilon) scale + bias over the axes from `axis` on; then mean and 1 / √(var + epsilon).
  LayerNormalization: ({ axis, epsilon }, inputs, types) => {
    const [X, scale, bias] = [expectEntry(inputs, 0), expectEntry(inputs, 1), inputs[2]];
    const length = countElements(X.dims.slice(normalizeAxis(axis, X.dims.length)));
    const [x, factors, terms] = [readNumbers(X), readNumbers(scale), bias && readNumbers(bias)];
    const [ofScale, ofBias] = [
      listBroadcastPositions(scale.dims, X.dims),
      bias && listBroadcastPositions(bias.dims, X.dims),
    ];
    const { mean, inverse } = computeRunStatistics(x, length, epsilon);
    return [
      generate(expectEntry(types, 0), (i) => {
        const run = Math.floor(i / length);
        const normalized = ((x[i] as number) - (mean[run] as number)) * (inverse[run] as number);
        const term = terms && ofBias ? (terms[ofBias[i] as number] as number) : 0;
        return normalized * (factors[ofScale[i] as number] as number) + term;
      }),
      fromNumbers(expectEntry(types, 1), mean),
      fromNumbers(expectEntry(types, 2), inverse),
    ];
  },
  // Y = X / (bias + alpha / size Σ X²)^beta, the sum over `size` channels around each.
  LRN: ({ alpha, beta, bias, size }, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const x = readNumbers(X);
    const channels = X.dims[1] ?? 1;
    const inner = countElements(X.dims.slice(2));
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    return [
      generate(expectEntry(types, 0), (i) => {
        const channel = Math.floor(i / inner) % channels;
        let squares = 0;
        for (let c = Math.max(0, channel - before); c <= Math.min(channels - 1, channel + after); c++) {
          squares += (x[i + (c - channel) * inner] as number) ** 2;
        }
        return (x[i] as number) / (bias + (alpha / size) * squares) ** beta;
      }),
    ];
  },
  Dropout: (_, inputs, types) => {
    const [ratio, training] = [inputs[1], inputs[2]].map((input) => input && readNumbers(input)[0]);
    if (training && (ratio ?? 0.5) !== 0) {
      throw new ShiboriError(
        'Dropout in training mode draws random numbers, which would differ from engine to engine. Feed the mask and multiply by it instead.',
        { code: 'engine-failed' },
      );
    }
    return [expectEntry(inputs, 0), generate(expectEntry(types, 1), () => 1)];
  },
};
