/*
 * The two 16-bit floating-point formats, as raw bits in `Uint16Array`.
 *
 * float16 is IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. bfloat16 is the upper half of a
 * float32. Both are exact in float32; the way back rounds to nearest, ties to even (IEEE 754-2019, 4.3.1).
 */
import { type Tensor, tensor } from './tensor.js';

/** float32 bits of 2^-14, the smallest normal float16. */
const SMALLEST_NORMAL = 0x38800000;
/** float32 bits of 65520, half-way between the largest float16 and the next power of two: from here on, infinity. */
const OVERFLOW = 0x477ff000;
const INFINITY = 0x7f800000;

/** float32 bits of every float16: decoding is then one look-up, several times as fast as bit arithmetic. */
let decoded: Float32Array | undefined;

function buildDecodeTable(): Float32Array {
  const table = new Float32Array(0x10000);
  const bits = new Uint32Array(table.buffer);
  for (let half = 0; half < 0x10000; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) {
      table[half] = fraction * 2 ** -24;
      bits[half] = (bits[half] as number) | sign;
    } else {
      bits[half] = sign | ((exponent === 0x1f ? 0xff : exponent + 112) << 23) | (fraction << 13);
    }
  }
  return table;
}

/** The values of float16 bits, exactly. */
export function float16ToFloat32(halves: Uint16Array): Float32Array {
  decoded ??= buildDecodeTable();
  const table = decoded;
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = table[halves[i] as number] as number;
  return values;
}

/** The values of bfloat16 bits, exactly. */
export function bfloat16ToFloat32(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

/** float16 bits of float32 values, rounded to nearest even; from 65520 on infinity, NaN stays NaN. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  const sum = new Float32Array(1);
  const sumBits = new Uint32Array(sum.buffer);
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i] as number;
    const magnitude = word & 0x7fffffff;
    let half: number;
    if (magnitude >= OVERFLOW) {
      half = magnitude > INFINITY ? 0x7e00 : 0x7c00;
    } else if (magnitude >= SMALLEST_NORMAL) {
      // Adding just under half a unit, and the last kept bit, carries exactly where nearest-even rounds up.
      half = (magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    } else {
      // Near 0.5 a float32 unit is 2^-24, that of subnormal float16: the addition itself rounds.
      sum[0] = Math.abs(values[i] as number) + 0.5;
      half = (sumBits[0] as number) - 0x3f000000;
    }
    halves[i] = ((word >>> 16) & 0x8000) | half;
  }
  return halves;
}

/** bfloat16 bits of float32 values, rounded to nearest even; NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i] as number;
    const isNotANumber = (word & 0x7fffffff) > INFINITY;
    halves[i] = isNotANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/**
 * The tensor as float32: itself when it is that already, otherwise each element rounded to nearest (64-bit integers by
 * way of `Number`, booleans as 0 and 1).
 */
export function toFloat32(source: Tensor): Tensor<'float32'> {
  switch (source.dtype) {
    case 'float32':
      return source;
    case 'float16':
      return tensor('float32', source.dims, float16ToFloat32(source.data));
    case 'bfloat16':
      return tensor('float32', source.dims, bfloat16ToFloat32(source.data));
    case 'int64':
    case 'uint64':
      return tensor('float32', source.dims, Float32Array.from<bigint>(source.data, Number));
    default:
      return tensor('float32', source.dims, Float32Array.from(source.data));
  }
}
