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
  pixelsOf,
  runInOrt,
  runJson,
  runText,
} from './support.js';

/** Two maps of one network may differ by the rounding of one float32 rescaling to 0…1. */
const SAME_MAP = 5e-7;
/** Probabilities against ONNX Runtime's own, in float32. */
const SAME_PROBABILITY = 1e-5;

const image = caseFile('scores', 'i.png');
const file = (name: string) => caseFile('scores', `${name}.onnx`);
const explain = (name: string, ...args: string[]) => explainedMap(file(name), image, [...PIXELS, ...args]);

describe('scores', requires('cases', hasCases), () => {
  for (const ending of ['softmax', 'sigmoid']) {
    for (const target of ['0', '1', '2', '3', '4']) {
      it(`${ending}.onnx: the logits are explained, class ${target} has the map of logits.onnx`, async () => {
        const logits = await explain('logits', '--class', target);
        const behind = await explain(ending, '--class', target);
        expect(findLargestDifference(behind.map, logits.map)).toBeLessThanOrEqual(SAME_MAP);
      });
    }
    it(`${ending}.onnx: a note says that the logits are explained`, async () => {
      const { stderr } = await runText(['explain', file(ending), image, ...PIXELS, '--no-picture']);
      expect(stderr).toMatch(/logits/i);
    });
  }

  it('sigmoid.onnx: the probability is the sigmoid’s own', async () => {
    const probabilities = await runInOrt(file('sigmoid'), await pixelsOf(image));
    for (const target of [0, 1]) {
      const { result } = await explain('sigmoid', '--class', String(target));
      const shown = numberAt(result.json, 'images', 0, 'targetProbability');
      expect(Math.abs(shown - (probabilities[target] ?? Number.NaN))).toBeLessThanOrEqual(SAME_PROBABILITY);
    }
  });

  it('logit.onnx: [N, 1] is two classes, class 1 by sigmoid(y)', async () => {
    const [y = Number.NaN] = await runInOrt(file('logit'), await pixelsOf(image));
    const p = 1 / (1 + Math.exp(-y));
    for (const [target, expected] of [p, 1 - p].reverse().map((value, index) => [index, value] as const)) {
      const { result } = await explain('logit', '--class', String(target));
      expect(Math.abs(numberAt(result.json, 'images', 0, 'targetProbability') - expected)).toBeLessThanOrEqual(
        SAME_PROBABILITY,
      );
      expect(numberAt(result.json, 'images', 0, 'predicted')).toBe(p > 0.5 ? 1 : 0);
    }
  });

  it('logit.onnx: class 0 is explained by −y, class 1 by +y: the maps differ', async () => {
    const [zero, one] = [await explain('logit', '--class', '0'), await explain('logit', '--class', '1')];
    expect(findLargestDifference(zero.map, one.map)).toBeGreaterThan(0.1);
  });

  it('logit.onnx: class 2 is refused', async () => {
    const result = await runText(['explain', file('logit'), image, ...PIXELS, '--class', '2']);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/0 (to|or|and) 1/);
  });

  it('logit.onnx: summary counts two classes', async () => {
    const { json } = await runJson(['summary', file('logit')]);
    expect(numberAt(json, 'classes', 'count')).toBe(2);
  });

  it('emb_logits.onnx: the logits are the scores, which a note says; --output chooses', async () => {
    const text = await runText(['summary', file('emb_logits')]);
    expect(text.stdout + text.stderr).toMatch(/"logits"/);
    expect(numberAt((await runJson(['summary', file('emb_logits')])).json, 'classes', 'count')).toBe(5);
    expect(numberAt((await runJson(['summary', file('emb_logits'), '--output', 'emb'])).json, 'classes', 'count')).toBe(
      6,
    );
  });

  it('emb_logits.onnx: an output that does not exist is refused with the nearest', async () => {
    const { code, stderr } = await runText(['summary', file('emb_logits'), '--output', 'logit']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Did you mean "logits"/);
  });

  it('emb_logits.onnx: evaluate measures the five classes', async () => {
    const { code, json, stderr } = await runJson([
      'evaluate',
      file('emb_logits'),
      '--data',
      caseFile('val'),
      ...PIXELS,
    ]);
    expect(code, stderr).toBe(0);
    expect(numberAt(json, 'images')).toBe(40);
  });

  it('neg.onnx, neg2.onnx: the agreement of constant maps is not defined, and is counted apart', async () => {
    const { code, json, stdout, stderr } = await runJson([
      'compare',
      file('neg'),
      file('neg2'),
      '--data',
      caseFile('val'),
      ...PIXELS,
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).not.toMatch(/NaN/);
    expect(at(json, 'maps', 'pearson')).not.toMatchObject({ mean: 1 });
    expect(numberAt(json, 'maps', 'undefined')).toBe(40);
  });

  it('neg.onnx: explain flags a map of zeros', async () => {
    const { stdout, stderr } = await runText(['explain', file('neg'), image, ...PIXELS, '--no-picture']);
    expect(stdout + stderr).toMatch(/zero|empty/i);
  });
});
