import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findLargestDifference } from '../support/differences.js';
import { requires } from '../support/requires.js';
import {
  at,
  caseFile,
  explainedMap,
  hasCases,
  numberAt,
  PIXELS,
  runInOrt,
  runJson,
  runText,
  scratch,
  seededImages,
} from './support.js';

/** Two maps of one network may differ by the rounding of one float32 rescaling to 0…1. */
const SAME_MAP = 5e-7;
/** Float32 networks of a few layers, computed in another order. */
const SAME_OUTPUT = 1e-4;

const file = (name: string) => caseFile('inputs', `${name}.onnx`);

describe('inputs', requires('cases', hasCases), () => {
  it('deg.onnx: the convolution reads the input itself, so its 11 channels come first', async () => {
    const { code, json, stderr } = await runJson(['summary', file('deg')]);
    expect(code, stderr).toBe(0);
    expect(at(json, 'inputShape')).toEqual([1, 11, 60, 1]);
    expect(at(json, 'origin', 'layout')).toBe('nchw');
    expect((await runText(['summary', file('deg')])).stdout).not.toMatch(/NHWC/);
  });

  for (const name of ['B', 'C']) {
    it(`${name}.onnx: compress runs a batch that cannot be freed in pieces, or names what fixes it`, async () => {
      const folder = scratch();
      const output = join(folder, 'small.onnx');
      const { code, stdout, stderr } = await runJson(
        [
          ...['compress', file(name), '--data', caseFile('train'), '--validation-data', caseFile('val'), ...PIXELS],
          ...['--params', '60%', '--allow-slower', '-o', output],
        ],
        folder,
      );
      expect(stderr).not.toMatch(/\n\s+at .*\.js/);
      if (code === 0) expect(await runInOrt(output, seededImages(1, [3, 16, 16]))).toHaveLength(5);
      else expect(stdout + stderr).toMatch(/Reshape|Squeeze|batch|axes/);
    });

    it(`${name}.onnx: finetune runs it in pieces, or names what fixes the batch`, async () => {
      const folder = scratch();
      const output = join(folder, 'tuned.onnx');
      const { code, stderr } = await runText(
        [
          ...['finetune', file(name), '--data', caseFile('train'), '--validation-data', caseFile('val'), ...PIXELS],
          ...['--epochs', '1', '-o', output],
        ],
        folder,
      );
      expect(stderr).not.toMatch(/\n\s+at .*\.js/);
      if (code === 0) expect(await runInOrt(output, seededImages(1, [3, 16, 16]))).toHaveLength(5);
      else expect(stderr).toMatch(/Reshape|Squeeze|batch|axes/);
    });

    it(`${name}.onnx: evaluate and compare run it image by image`, async () => {
      const folder = scratch();
      const data = ['--data', caseFile('val'), ...PIXELS];
      const evaluated = await runJson(['evaluate', file(name), ...data], folder);
      expect(evaluated.code, evaluated.stderr).toBe(0);
      expect(numberAt(evaluated.json, 'images')).toBe(40);
      const compared = await runJson(['compare', file(name), file(name), ...data], folder);
      expect(compared.code, compared.stderr).toBe(0);
      expect(numberAt(compared.json, 'predictions', 'agreement')).toBe(100);
    });
  }

  it('std.onnx: mean and deviation given as options mean pixels in 0…1, as for its NCHW twin', async () => {
    const image = caseFile('inputs', 'img.png');
    const options = ['--mean', '.5,.5,.5', '--std', '.5,.5,.5', '--class', '1'];
    const twin = await explainedMap(file('nchw'), image, options);
    const nhwc = await explainedMap(file('std'), image, options);
    expect(findLargestDifference(nhwc.map, twin.map)).toBeLessThanOrEqual(SAME_MAP);
    const probability = (result: typeof twin) => numberAt(result.result.json, 'images', 0, 'targetProbability');
    expect(Math.abs(probability(nhwc) - probability(twin))).toBeLessThanOrEqual(SAME_OUTPUT);
  });
});
