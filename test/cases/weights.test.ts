import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findLargestDifference } from '../support/differences.js';
import { requires } from '../support/requires.js';
import {
  at,
  caseFile,
  hasCases,
  numberAt,
  PIXELS,
  runInOrt,
  runJson,
  runText,
  scratch,
  seededImages,
} from './support.js';

/** Float32 networks of a few layers, computed in another order. */
const SAME_OUTPUT = 1e-4;

const file = (name: string) => caseFile('weights', `${name}.onnx`);
const DATA = ['--data', caseFile('train'), '--validation-data', caseFile('val'), ...PIXELS, '--allow-slower'];

/** Compresses a file to a goal and gives what was reported and written. */
async function compress(name: string, ...goal: string[]) {
  const folder = scratch();
  const output = join(folder, 'small.onnx');
  const result = await runJson(['compress', file(name), ...DATA, ...goal, '-o', output], folder);
  return { ...result, output };
}

/** Parameters of the network of const.onnx, cast.onnx, transp.onnx and resh.onnx, counted by hand. */
const CONVOLUTIONS = 16 * 3 * 9 + 3 * 16 * 16 * 9;
const LINEAR = 5 * 16 + 5;

describe('weights', requires('cases', hasCases), () => {
  for (const name of ['const', 'cast', 'transp', 'resh']) {
    it(`${name}.onnx: weights are found where they stand`, async () => {
      const { json } = await runJson(['summary', file(name)]);
      // The bias of 16 numbers is stored once and read by four convolutions: one of each, or one shared.
      const biases = numberAt(json, 'parameters') - CONVOLUTIONS - LINEAR;
      expect([16, 64]).toContain(biases);
    });

    it(`${name}.onnx: is compressed to 40 % of its parameters, and the file runs`, async () => {
      const { code, json, stderr, output } = await compress(name, '--params', '40%');
      expect(code, stderr).toBe(0);
      const ratio = numberAt(json, 'size', 'after', 'parameters') / numberAt(json, 'size', 'before', 'parameters');
      expect(ratio).toBeLessThanOrEqual(0.4);
      expect(ratio).toBeGreaterThan(0.1);
      for (const batch of [1, 5]) {
        const scores = await runInOrt(output, seededImages(batch, [3, 16, 16]));
        expect(scores).toHaveLength(batch * 5);
        expect(scores.every(Number.isFinite)).toBe(true);
      }
    });

    it(`${name}.onnx: exported again, it computes what it did`, async () => {
      const folder = scratch();
      const output = join(folder, 'again.onnx');
      expect((await runText(['export', file(name), output], folder)).code).toBe(0);
      const images = seededImages(5, [3, 16, 16]);
      expect(
        findLargestDifference(await runInOrt(output, images), await runInOrt(file(name), images)),
      ).toBeLessThanOrEqual(SAME_OUTPUT);
    });
  }

  it('shared_q.onnx: one int8 tensor read with two scales gives two weights', async () => {
    const folder = scratch();
    const output = join(folder, 'floats.onnx');
    const exported = await runText(['export', file('shared_q'), output], folder);
    expect(exported.code, exported.stderr).toBe(0);
    const images = seededImages(2, [3, 8, 8]);
    const expected = await runInOrt(file('shared_q'), images);
    expect(findLargestDifference(await runInOrt(output, images), expected)).toBeLessThanOrEqual(SAME_OUTPUT);
  });

  for (const name of ['pruned8', 'lr8']) {
    it(`${name}.onnx: a layer whose loss is exactly 0 takes the smaller option`, async () => {
      const { code, json, stderr } = await compress(name, '--params', '40%');
      expect(code, stderr).toBe(0);
      expect(numberAt(json, 'size', 'ratio', 'parameters')).toBeLessThanOrEqual(0.4);
    });
  }

  it('bias.onnx: convolutions that share a bias are layers of their own', async () => {
    const { code, json, stderr } = await compress('bias', '--params', '60%');
    expect(code, stderr).toBe(0);
    expect(numberAt(json, 'size', 'ratio', 'parameters')).toBeLessThanOrEqual(0.6);
  });

  it('dup.onnx: two nodes of one name are two layers, each of which can be named', async () => {
    const { json } = await runJson(['explain', file('dup'), '--layer', 'list']);
    if (!Array.isArray(json)) throw new Error('No list of layers.');
    const names = json.map((layer) => String(at(layer, 'name')));
    expect(new Set(names).size).toBe(names.length);
    const convolutions = names.filter((name) => name.startsWith('conv'));
    expect(convolutions).toHaveLength(2);
    for (const name of names) {
      const { code, stderr } = await runText(
        ['explain', file('dup'), caseFile('scores', 'i.png'), '--layer', name, '--no-picture', ...PIXELS],
        scratch(),
      );
      expect(code, `${name}: ${stderr}`).toBe(0);
    }
  });

  for (const verb of ['summary', 'compress'] as const) {
    const args = (name: string) =>
      verb === 'summary' ? ['summary', file(name)] : ['compress', file(name), ...DATA, '--params', '40%'];
    it(`nan.onnx: ${verb} refuses it and names the weight`, async () => {
      const { code, stderr } = await runText(args('nan'), scratch());
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/c2\.weight/);
      expect(stderr).toMatch(/NaN/);
      expect(stderr).not.toMatch(/changed what it computes/);
    });

    it(`one.onnx: ${verb} refuses a bias of the wrong length and names it, with both lengths`, async () => {
      const { code, stderr } = await runText(args('one'), scratch());
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/B1/);
      expect(stderr).toMatch(/\b1\b/);
      expect(stderr).toMatch(/\b4\b/);
    });
  }

  it('big16.onnx: a goal of bytes is a share of the float16 file as it came', async () => {
    const { size } = statSync(file('big16'));
    const { code, json, stderr, output } = await compress('big16', '--size', '90%');
    expect(code, stderr).toBe(0);
    expect(numberAt(json, 'size', 'before', 'onnxBytes')).toBe(size);
    expect(existsSync(output)).toBe(true);
    expect(statSync(output).size).toBeLessThanOrEqual(0.9 * size);
    expect(numberAt(json, 'outputBytes')).toBe(statSync(output).size);
  });
});
