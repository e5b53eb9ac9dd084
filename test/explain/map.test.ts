import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JET } from '../../src/explain/colormap.js';
import {
  computeGradCamMap,
  computeGradCamMaps,
  finishMap,
  finishMaps,
  resizeBilinear,
  scaleMinMax,
} from '../../src/explain/map.js';
import { colorizeMap, overlayMap } from '../../src/explain/overlay.js';
import { float32, tensor, zeros } from '../../src/tensor/tensor.js';

interface Golden {
  activation: number[];
  gradient: number[];
  dims: number[];
  size: [number, number];
  raw: number[];
  finished: number[];
  down: number[];
  downSize: [number, number];
  image: number[];
  overlay: number[];
  jet: number[];
}
const golden: Golden = JSON.parse(readFileSync(new URL('../golden/explain/maps.json', import.meta.url), 'utf8'));

/** The goldens carry 7 digits of float32 arithmetic; values are at most 1. */
const FLOAT32_NOISE = 1e-6;

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0)), `element ${i}`).toBeLessThanOrEqual(tolerance);
  }
}

const activation = float32(golden.activation, golden.dims);
const gradient = float32(golden.gradient, golden.dims);
const [height, width] = golden.size;

describe('Grad-CAM maps', () => {
  it('equal the reference, raw and finished', () => {
    const raw = computeGradCamMap(activation, gradient);
    expect(raw.dims).toEqual([4, 3]);
    expectClose(raw.data, golden.raw, 1e-8);
    expectClose(finishMap(raw, height, width).data, golden.finished, FLOAT32_NOISE);
  });

  it('shrink as OpenCV shrinks, without antialiasing', () => {
    const finished = float32(golden.finished, golden.size);
    expectClose(resizeBilinear(finished, ...golden.downSize).data, golden.down, FLOAT32_NOISE);
  });

  it('are the same one by one and in a batch', () => {
    const other = gradient.data.map((value) => -value);
    const activations = tensor('float32', [2, ...golden.dims], Float32Array.of(...activation.data, ...activation.data));
    const gradients = tensor('float32', [2, ...golden.dims], Float32Array.of(...gradient.data, ...other));
    const finished = finishMaps(computeGradCamMaps(activations, gradients), 8, 9);
    expect(finished.dims).toEqual([2, 8, 9]);
    const first = finishMap(computeGradCamMap(activation, gradient), 8, 9);
    const second = finishMap(computeGradCamMap(activation, float32(other, golden.dims)), 8, 9);
    expect([...finished.data]).toEqual([...first.data, ...second.data]);
  });

  it('stay zero when nothing speaks for the class', () => {
    expect(finishMap(zeros('float32', [4, 4]), 16, 16).data.every((value) => value === 0)).toBe(true);
    const against = float32(new Float32Array(60).fill(-1), golden.dims);
    expect(computeGradCamMap(activation, against).data.every((value) => value === 0)).toBe(true);
  });

  it('lie in 0…1 whatever comes in', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }).chain((w) =>
          fc
            .array(
              fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e30), max: Math.fround(1e30) }),
              {
                minLength: w,
                maxLength: w * 4,
              },
            )
            .map((values) =>
              float32(values.slice(0, w * Math.floor(values.length / w)), [Math.floor(values.length / w), w]),
            ),
        ),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        (map, h, w) => {
          const finished = finishMap(map, h, w);
          expect(finished.dims).toEqual([h, w]);
          expect(finished.data.every((value) => value >= 0 && value <= 1)).toBe(true);
        },
      ),
    );
  });

  it('refuse NaN, wrong shapes and empty sizes', () => {
    expect(() => scaleMinMax(float32([0, Number.NaN]))).toThrow(/holds NaN/);
    expect(() =>
      finishMap(computeGradCamMap(activation, float32(new Array(60).fill(Number.NaN), golden.dims)), 8, 8),
    ).toThrow(/holds NaN/);
    expect(() => computeGradCamMap(activation, float32(golden.gradient, [5, 3, 4]))).toThrow(
      /\[5, 4, 3\].*found \[5, 3, 4\]/,
    );
    expect(() => resizeBilinear(float32([1, 2, 3, 4], [2, 2]), 0, 4)).toThrow(/positive whole/);
  });
});

describe('colours', () => {
  it("are OpenCV's jet, but for one blue level", () => {
    const different = [...JET].flatMap((level, at) =>
      level === golden.jet[at] ? [] : [[Math.floor(at / 3), at % 3, level]],
    );
    expect(different).toEqual([[159, 2, 2]]);
    expect([...JET.subarray(0, 3)]).toEqual([0, 0, 128]);
    expect([...JET.subarray(765)]).toEqual([128, 0, 0]);
  });

  it('laid over an image equal show_cam_on_image', () => {
    const image = { width, height, data: Uint8Array.from(golden.image) };
    const overlay = overlayMap(image, float32(golden.finished, golden.size));
    // One level: the reference truncates float32 values that fall a hair below a whole number.
    expectClose(overlay.data, golden.overlay, 1);
    expect(Math.max(...overlay.data)).toBe(255);
  });

  it('clamp, and refuse a map of another size', () => {
    expect([...colorizeMap(float32([-1, 2], [1, 2])).data]).toEqual([0, 0, 128, 128, 0, 0]);
    expect(() => overlayMap({ width: 3, height: 1, data: new Uint8Array(9) }, float32([0, 1], [1, 2]))).toThrow(
      /3×1, the map 2×1/,
    );
  });

  it('survive a black image under an empty map', () => {
    const overlay = overlayMap({ width: 1, height: 1, data: new Uint8Array(3) }, float32([0], [1, 1]));
    expect([...overlay.data]).toEqual([0, 0, 255]);
  });
});
