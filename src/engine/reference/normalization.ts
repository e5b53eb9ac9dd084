import { ShiboriError } from '../../errors.js';
import type { normalization as specs } from '../../ops/normalization.js';
import { sizeOf } from '../../tensor/dims.js';
import { at, fromNumbers, generate, type Kernels, numbers } from './kernel.js';

export const normalization: Kernels<keyof typeof specs> = {
  // Y = (X - mean) / √(var + epsilon) scale + bias, a channel (axis 1) at a time. In training mode mean and var are the
  // batch's own (the biased variance, for the running one too: ONNX, unlike PyTorch, does not correct it).
  BatchNormalization: ({ epsilon, momentum, training_mode }, inputs, types) => {
    const X = at(inputs, 0);
    const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => numbers(at(inputs, i)));
    if (!x || !scale || !bias || !mean || !variance) throw new ShiboriError('BatchNormalization takes five inputs.');
    const channels = X.dims[1] ?? 1;
    const inner = sizeOf(X.dims.slice(2));
    const channelOf = (i: number) => Math.floor(i / inner) % channels;
    const normalized = (mean: ArrayLike<number>, variance: ArrayLike<number>) =>
      generate(at(types, 0), (i) => {
        const c = channelOf(i);
        const centred = (x[i] as number) - (mean[c] as number);
        return (centred / Math.sqrt((variance[c] as number) + epsilon)) * (scale[c] as number) + (bias[c] as number);
      });
    if (!training_mode) return [normalized(mean, variance), at(inputs, 3), at(inputs, 4)];

    const count = x.length / channels;
    const batchMean = new Float64Array(channels);
    const batchVariance = new Float64Array(channels);
    for (let i = 0; i < x.length; i++)
      batchMean[channelOf(i)] = (batchMean[channelOf(i)] ?? 0) + (x[i] as number) / count;
    for (let i = 0; i < x.length; i++) {
      const c = channelOf(i);
      batchVariance[c] = (batchVariance[c] ?? 0) + ((x[i] as number) - (batchMean[c] as number)) ** 2 / count;
    }
    const running = (before: ArrayLike<number>, batch: Float64Array) =>
      batch.map((value, c) => (before[c] as number) * momentum + value * (1 - momentum));
    return [
      normalized(batchMean, batchVariance),
      fromNumbers(at(types, 1), running(mean, batchMean)),
      fromNumbers(at(types, 2), running(variance, batchVariance)),
    ];
  },
  Dropout: (_, inputs, types) => {
    const [ratio, training] = [inputs[1], inputs[2]].map((input) => input && numbers(input)[0]);
    if (training && (ratio ?? 0.5) !== 0) {
      throw new ShiboriError(
        'Dropout in training mode draws random numbers, which would differ from engine to engine. Feed the mask and multiply by it instead.',
      );
    }
    return [at(inputs, 0), generate(at(types, 1), () => 1)];
  },
};
