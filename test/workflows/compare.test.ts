import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatComparison } from '../../src/cli/comparison-text.js';
import { nodeEngine } from '../../src/engine/node.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import type { Comparison } from '../../src/report/comparison.js';
import { defined } from '../../src/values.js';
import { compare } from '../../src/workflows/compare.js';
import { evaluate } from '../../src/workflows/evaluate.js';
import { tinyShape, writeImages } from '../support/tiny-recipe.js';

const root = mkdtempSync(join(tmpdir(), 'shibori-compare-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (...parts: string[]) => join(root, ...parts);
const engine = nodeEngine({ threads: 1 });

/** Runs something with a context that keeps its warnings. */
async function listen<T>(use: (context: { engine: typeof engine; onWarning(text: string): void }) => Promise<T>) {
  const warnings: string[] = [];
  const result = await use({ engine, onWarning: (text) => void warnings.push(text) });
  return { result, warnings };
}

beforeAll(async () => {
  for (const [name, seed] of [
    ['first', 7],
    ['second', 8],
  ] as const) {
    await saveModel({ graph: buildInitialVgg(tinyShape, seed), info: { architecture: 'vgg' } }, at(`${name}.onnx`), {
      engine,
    });
  }
  await writeImages(at('labelled'), 36);
  // Classes that are none of the model's, fewer than it has.
  for (const [from, to] of [
    ['square', 'koi'],
    ['star', 'tench'],
  ] as const) {
    cpSync(at('labelled', from), at('others', to), { recursive: true });
  }
  mkdirSync(at('loose'));
  for (const name of ['circle', 'star'])
    for (let i = 0; i < 6; i++) cpSync(at('labelled', name, `${i}.png`), at('loose', `${name}${i}.png`));
});

const compared = (data: string, output: string | undefined, more = {}) =>
  listen((context) =>
    compare({
      before: at('first.onnx'),
      after: at('second.onnx'),
      data: at(data),
      ...defined({ output }),
      mapImages: 24,
      ...more,
      ...context,
    }),
  );

describe('compare on classes that are not those of the model', () => {
  let found: Awaited<ReturnType<typeof compared>>;
  beforeAll(async () => {
    found = await compared('others', at('report-others'));
  });

  it('warns as evaluate does, and keeps the warning with its results', async () => {
    const evaluated = await listen((context) => evaluate({ model: at('first.onnx'), data: at('others'), ...context }));
    expect(evaluated.warnings.join()).toMatch(/2 classes, the model 3/);
    expect(found.warnings).toEqual(expect.arrayContaining(evaluated.warnings));
    expect(found.result.warnings).toEqual(found.warnings);
    expect(readFileSync(at('report-others', 'report.html'), 'utf8')).toContain('<p class="warning"');
  });

  it('counts the predictions that changed in the verdict, and does not call the accuracy unchanged', () => {
    const { verdict, predictions, flips } = found.result;
    expect(flips).toHaveLength(62);
    expect(predictions.same + flips.length).toBe(72);
    expect(verdict).toContain(`${flips.length} of 72 predictions changed`);
    expect(verdict).toContain('not meaningful on these images');
    expect(verdict).not.toContain('unchanged');
  });
});

describe('compare on labelled images', () => {
  const folder = at('report');
  let result: Comparison;
  let warnings: readonly string[];
  beforeAll(async () => {
    ({ result, warnings } = await compared('labelled', folder));
  });

  it('doubts an accuracy at the level of chance, as evaluate does', async () => {
    const evaluated = await listen((context) =>
      evaluate({ model: at('first.onnx'), data: at('labelled'), ...context }),
    );
    expect(evaluated.warnings).toHaveLength(1);
    expect(evaluated.warnings[0]).toMatch(/no better than guessing among 3 classes|predicted as class/);
    expect(warnings).toEqual(expect.arrayContaining(evaluated.warnings));
    expect(result.accuracy?.doubt).toMatch(/no better than guessing among 3 classes|predicted as class/);
  });

  it('orders changed predictions by what they lost of the probability', () => {
    const losses = result.flips.map(({ probability }) => probability.before - probability.after);
    expect(losses.length).toBeGreaterThan(2);
    expect(losses).toEqual(losses.toSorted((a, b) => b - a));
    for (const { probability, before, after } of result.flips) {
      expect(before).not.toBe(after);
      // The predicted one of three classes has a third at least.
      expect(probability.before).toBeGreaterThanOrEqual(1 / 3);
      expect(probability.before).toBeLessThanOrEqual(1);
    }
  });

  it('names the image whose maps agree least: in JSON, verdict, page and text', () => {
    const { lowest, pearson } = result.maps;
    expect(lowest?.correlation).toBe(pearson?.min);
    const rows = readFileSync(join(folder, 'figures', 'map-correlations.csv'), 'utf8')
      .trim()
      .split('\r\n')
      .slice(1);
    const correlations = rows.map((row) => row.split(',')).filter(([, , r]) => r !== '');
    const [file] = correlations.toSorted((a, b) => Number(a[2]) - Number(b[2]))[0] ?? [];
    expect(lowest?.file).toBe(file);
    for (const text of [result.verdict, readFileSync(join(folder, 'report.html'), 'utf8'), formatComparison(result)])
      expect(text).toContain(lowest?.file);
    expect(JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'))).toEqual(result);
  });

  it('draws pictures of several classes, with true labels, and both classes of a changed prediction', () => {
    const [, ...pictures] = readFileSync(join(folder, 'report.html'), 'utf8').split('<figure class="picture">');
    expect(pictures).toHaveLength(8);
    const labels = pictures.map((picture) => /true label: <strong>(\w+)</.exec(picture)?.[1]);
    expect(new Set(labels)).toEqual(new Set(['circle', 'square', 'star']));
    const changed = pictures.filter((picture) => picture.includes('Prediction changed.'));
    expect(changed.length).toBeGreaterThanOrEqual(4);
    for (const picture of pictures) {
      const isChanged = changed.includes(picture);
      expect(picture.match(/<img/g)).toHaveLength(isChanged ? 5 : 3);
      // Each model's own prediction is in bold.
      expect(picture.match(/<span><strong>/g)).toHaveLength(2);
    }
  });

  it('says where its figures come from', async () => {
    const again = await compare({
      before: at('first.onnx'),
      after: at('second.onnx'),
      data: at('labelled'),
      limit: 9,
      seed: 3,
      engine,
      command: 'shibori compare first.onnx second.onnx',
    });
    const sha256 = (name: string) =>
      createHash('sha256')
        .update(readFileSync(at(name)))
        .digest('hex');
    expect(again.provenance).toMatchObject({
      command: 'shibori compare first.onnx second.onnx',
      versions: { shibori: '0.1.0', onnxruntime: expect.stringMatching(/^1\./), node: process.version },
      models: [
        { name: 'first.onnx', files: [{ name: 'first.onnx', sha256: sha256('first.onnx') }] },
        { name: 'second.onnx', files: [{ name: 'second.onnx', sha256: sha256('second.onnx') }] },
      ],
      data: [{ name: 'labelled', images: 9, part: 'drawn from 108 by seed 3' }],
    });
    expect(again.provenance.models[0]?.preprocess).toMatch(/8×8/);
    expect(Number.isNaN(Date.parse(again.provenance.date))).toBe(false);
  });
});

describe('compare on images without labels', () => {
  it('compares predictions and maps, and measures no accuracy', async () => {
    const { result } = await compared('loose', at('report-loose'));
    expect(result.accuracy).toBeUndefined();
    expect(result.predictions).toMatchObject({ images: 12, same: 12 - result.flips.length });
    expect(result.predictions.changed).toBeUndefined();
    expect(result.verdict).toContain('The images have no labels: the accuracy was not measured.');
    const html = readFileSync(at('report-loose', 'report.html'), 'utf8');
    expect(html).not.toContain('true label: ');
    expect(readdirSync(at('report-loose', 'figures'))).toContain('map-correlations.svg');
    expect(formatComparison(result)).not.toContain('top-1');
  });
});

describe('compare of models that take images of different sizes', () => {
  it('is refused before anything is measured, with both sizes', async () => {
    const graph = buildInitialVgg({ ...tinyShape, inputSize: 16 }, 7);
    await saveModel({ graph, info: { architecture: 'vgg' } }, at('larger.onnx'), { engine });
    const comparison = compare({
      before: at('first.onnx'),
      after: at('larger.onnx'),
      data: at('labelled'),
      engine,
    });
    await expect(comparison).rejects.toThrow(
      /images of 8×8 pixels \(height × width\), the second of 16×16: their maps cannot be compared/,
    );
  });
});
