import { ShiboriError } from '../errors.js';
import { makeScaleIndex, quantizedRanges, type quantization as specs } from '../ops/quantization.js';
import { roundHalfToEven } from '../tensor/round.js';
import { expectEntry, generate, type Kernels, readNumbers } from './kernel.js';

export const quantization: Kernels<keyof typeof specs> = {
  // Y = round(X / scale) + zero point, half to even, within what the type holds.
  QuantizeLinear: ({ axis }, inputs, types) => {
    const [X, type] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    const [x, scale, zero] = [readNumbers(X), readNumbers(expectEntry(inputs, 1)), inputs[2] && readNumbers(inputs[2])];
    const [low, high] = quantizedRanges[type.dtype] ?? [];
    if (low === undefined || high === undefined)
      throw new ShiboriError(`It does not quantise to ${type.dtype}.`, { code: 'engine-failed' });
    const index = makeScaleIndex(X.dims, axis, scale.length);
    return [
      generate(type, (i) => {
        const k = index(i);
        const step = roundHalfToEven((x[i] as number) / (scale[k] as number)) + (zero ? (zero[k] as number) : 0);
        return Math.min(Math.max(step, low), high);
      }),
    ];
  },
  // Y = (X - zero point) scale
  DequantizeLinear: ({ axis }, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const [x, scale, zero] = [readNumbers(X), readNumbers(expectEntry(inputs, 1)), inputs[2] && readNumbers(inputs[2])];
    const index = makeScaleIndex(X.dims, axis, scale.length);
    return [
      generate(expectEntry(types, 0), (i) => {
        const k = index(i);
        return ((x[i] as number) - (zero ? (zero[k] as number) : 0)) * (scale[k] as number);
      }),
    ];
  },
};
