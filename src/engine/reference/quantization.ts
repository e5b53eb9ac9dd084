import { ShiboriError } from '../../errors.js';
import { scaleIndex, type quantization as specs } from '../../ops/quantization.js';
import type { DType } from '../../tensor/dtype.js';
import { roundHalfToEven } from './elementwise.js';
import { at, generate, type Kernels, numbers } from './kernel.js';

/** Smallest and largest number of the element types that are quantised to. */
const limits: Partial<Record<DType, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
};

export const quantization: Kernels<keyof typeof specs> = {
  // Y = round(X / scale) + zero point, half to even, within what the type holds.
  QuantizeLinear: ({ axis }, inputs, types) => {
    const [X, type] = [at(inputs, 0), at(types, 0)];
    const [x, scale, zero] = [numbers(X), numbers(at(inputs, 1)), inputs[2] && numbers(inputs[2])];
    const [low, high] = limits[type.dtype] ?? [];
    if (low === undefined || high === undefined) throw new ShiboriError(`It does not quantise to ${type.dtype}.`);
    const index = scaleIndex(X.dims, axis, scale.length);
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
    const X = at(inputs, 0);
    const [x, scale, zero] = [numbers(X), numbers(at(inputs, 1)), inputs[2] && numbers(inputs[2])];
    const index = scaleIndex(X.dims, axis, scale.length);
    return [
      generate(at(types, 0), (i) => {
        const k = index(i);
        return ((x[i] as number) - (zero ? (zero[k] as number) : 0)) * (scale[k] as number);
      }),
    ];
  },
};
