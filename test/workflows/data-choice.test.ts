import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { type DataOptions, openDataset, withDataset, withTrainingSets } from '../../src/images/open-dataset.js';
import { openModel } from '../../src/io/models/model-file.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { finetuneSchema } from '../../src/recipes/recipe.js';
import { compare } from '../../src/workflows/compare.js';
import { compress } from '../../src/workflows/compress.js';
import { evaluate } from '../../src/workflows/evaluate.js';
import { explain } from '../../src/workflows/explain.js';
import { finetune } from '../../src/workflows/finetune.js';
import { makeZip } from '../data/zip.js';
import { requires } from '../support/requires.js';
import { tinyShape, writeImages, writeTinyStudy } from '../support/tiny-recipe.js';

const root = mkdtempSync(join(tmpdir(), 'shibori-choice-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (...parts: string[]) => join(root, ...parts);
const engine = nodeEngine({ threads: 1 });

/** An archive of a folder's files. */
function zipOf(folder: string, name: string): void {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const entries = files.map((entry) => {
    const path = join(entry.parentPath, entry.name);
    return { name: path.slice(root.length + 1), data: readFileSync(path) };
  });
  writeFileSync(at(name), makeZip(entries));
}

beforeAll(async () => {
  await writeTinyStudy(root, 8);
  await writeImages(at('photos', 'train'), 10);
  await writeImages(at('photos', 'val'), 5);
  await writeImages(at('photos', 'test'), 4);
  zipOf(at('photos'), 'photos.zip');
  mkdirSync(at('loose'));
  for (let i = 0; i < 4; i++) writeFileSync(at('loose', `${i}.png`), readFileSync(at('images', 'star', `${i}.png`)));
});

/** A context that keeps its notes. */
function listening() {
  const notes: string[] = [];
  return { notes, context: { engine, onNote: (text: string) => void notes.push(text) } };
}

describe('A data set with parts', () => {
  it.each(['photos', 'photos.zip'])('is measured on test, with a note and in the result: %s', async (name) => {
    const { notes, context } = listening();
    const result = await evaluate({ model: at('net.onnx'), data: at(name), ...context });
    expect(result).toMatchObject({ images: 12, part: 'test' });
    expect(notes.join()).toContain('has the parts "test", "train", "val": "test" is used (`part` takes another)');
  });

  it('is measured on the part of an option', async () => {
    const result = await evaluate({ model: at('net.onnx'), data: at('photos'), part: 'val', engine });
    expect(result).toMatchObject({ images: 15, part: 'val' });
    await expect(evaluate({ model: at('net.onnx'), data: at('photos'), part: 'vall' })).rejects.toThrow(
      /no such part\. Did you mean "val"\? It has "test", "train", "val"/,
    );
  });

  it('is explained and compared on test', async () => {
    const explained = await explain({ model: at('net.onnx'), images: [], data: at('photos'), engine });
    expect(explained.part).toBe('test');
    // Eight images, spread over the three classes.
    const classes = explained.images.map(({ file }) => file.split('/')[1]);
    expect(classes.filter((name) => name === 'circle').length).toBeGreaterThanOrEqual(2);
    expect(new Set(classes).size).toBe(3);
    const compared = await compare({
      before: at('net.onnx'),
      after: at('net.onnx'),
      data: at('photos'),
      engine,
    });
    expect(compared).toMatchObject({ part: 'test', data: 'photos (test)' });
  });

  it('is learnt from on train, and validated on val: training and compression', async () => {
    const { notes, context } = listening();
    const plan = finetuneSchema.parse({ train: '*', epochs: 1, learningRate: 1e-4 });
    const files = { data: at('photos'), work: at('work-train'), output: at('trained.onnx') };
    const trained = await finetune({ model: at('net.onnx'), plan, ...files, ...context });
    expect(trained.parts).toEqual({ train: 'train', validation: 'val' });
    expect(trained.history[0]?.validationTop1).toBeDefined();
    expect(notes.join()).toContain('its part "val" is used for validation');
    const compressed = await compress({
      model: at('net.onnx'),
      data: at('photos'),
      goal: { parameters: 0.6 },
      allowSlower: true,
      work: at('work-compress'),
      output: at('compressed.onnx'),
      engine,
    });
    expect(compressed.data).toMatchObject({ trainPart: 'train', validationPart: 'val', heldOut: false });
    expect(compressed.accuracy?.after.images).toBe(15);
  });

  it('gives its own images to a split file, whichever part they are in', async () => {
    writeFileSync(at('list.txt'), 'val/star/1.png\nval/circle/0.png\n');
    await withDataset({ data: at('photos'), split: at('list.txt') }, 'measure', {}, async ({ source }) => {
      expect(source.items.map(({ label }) => label)).toEqual([2, 0]);
      expect(source.part).toBe('val');
    });
  });
});

describe('A limit', () => {
  it('draws the same share of every class, the same images for every model, and is reported', async () => {
    const options: DataOptions = { data: at('photos'), part: 'train', limit: 9 };
    const { notes, context } = listening();
    const pathsOf = (more: Partial<DataOptions> = {}) =>
      withDataset({ ...options, ...more }, 'measure', context, async ({ source }) => source.items);
    const items = await pathsOf();
    expect([0, 1, 2].map((label) => items.filter((item) => item.label === label).length)).toEqual([3, 3, 3]);
    expect(await pathsOf()).toEqual(items);
    expect(await pathsOf({ seed: 7 })).not.toEqual(items);
    expect(notes[0]).toBe('"photos (train)": 9 of 30 images are used, the same share of every class (seed 42).');
    const result = await evaluate({ model: at('net.onnx'), ...options, engine });
    expect(result).toMatchObject({ images: 9, sample: { of: 30, seed: 42 } });
  });

  it('draws from the images of a split file, in its order', async () => {
    const all = ['star', 'circle', 'square'].flatMap((name) => [0, 1, 2, 3].map((i) => `train/${name}/${i}.png`));
    writeFileSync(at('order.txt'), all.join('\n'));
    const options = { data: at('photos'), split: at('order.txt'), limit: 6 };
    await withDataset(options, 'measure', {}, async ({ source }) => {
      const paths = source.items.map(({ path }) => path);
      expect(paths).toEqual(all.filter((path) => paths.includes(path)));
      expect(paths.filter((path) => path.includes('star'))).toHaveLength(2);
    });
  });

  it('of a training holds for the part that validates it, too', async () => {
    await withTrainingSets({ data: at('photos'), limit: 6 }, undefined, {}, async (train, validation) => {
      expect([train, validation].map((dataset) => dataset?.source.items.length)).toEqual([6, 6]);
    });
  });
});

describe('Images without labels', () => {
  it('are opened, and have no accuracy to measure', async () => {
    const dataset = await openDataset({ data: at('loose') });
    expect(dataset.source.items.map(({ label }) => label)).toEqual([-1, -1, -1, -1]);
    await expect(evaluate({ model: at('net.onnx'), data: at('loose'), engine })).rejects.toThrow(
      /"loose" has 4 images without labels: there is no accuracy to measure.*Expected a folder for each class/,
    );
  });

  describe('in numbers to calibrate with', () => {
    const many = () => {
      mkdirSync(at('many'), { recursive: true });
      for (const name of ['circle', 'square', 'star']) {
        for (let i = 0; i < 8; i++) {
          writeFileSync(at('many', `${name}-${i}.png`), readFileSync(at('images', name, `${i}.png`)));
        }
      }
      return at('many');
    };
    const half = { parameters: 0.5 };
    const optionsOf = (name: string) => ({
      ...filesOf(name),
      model: at('net.onnx'),
      report: at(`work-${name}`),
      allowSlower: true,
      engine,
    });
    const filesOf = (name: string) => ({ data: many(), work: at(`work-${name}`), output: at(`${name}.onnx`) });

    it('compress a model by a goal of size: no accuracy, but how many predictions stay', async () => {
      const result = await compress({ ...optionsOf('loose'), goal: half });
      expect(result.accuracy).toBeUndefined();
      expect(result.data).toMatchObject({ heldOut: true, validationImages: 2, calibrationImages: 22 });
      expect([0, 50, 100]).toContain(result.agreement);
      expect(result.divergence).toBeGreaterThan(0);
      expect(readFileSync(result.page ?? '', 'utf8')).toContain('have no labels');
      // The same, as it was kept.
      const again = await compress({ ...optionsOf('loose'), goal: half });
      expect([again.agreement, again.divergence]).toEqual([result.agreement, result.divergence]);
    });

    it('compress a model by the error of its outputs, and measure accuracy on images that have labels', async () => {
      await using validationData = await openDataset({ data: at('photos'), part: 'val' });
      const result = await compress({ ...optionsOf('error'), goal: { error: 0.5 }, validationData });
      expect(result.accuracy?.after.images).toBe(15);
      expect(result.error).toBeLessThanOrEqual(0.5);
    });

    it('are no measure of an accuracy that may be lost', async () => {
      await expect(compress({ ...optionsOf('drop'), goal: { accuracyDrop: 1 } })).rejects.toThrow(
        /images without labels: `accuracyDrop` counts correct predictions\. Give another goal/,
      );
    });

    it('train a model to do as a teacher does, and no other', async () => {
      const { notes, context } = listening();
      const alone = finetuneSchema.parse({ train: '*' });
      await expect(finetune({ model: at('net.onnx'), plan: alone, ...filesOf('alone'), ...context })).rejects.toThrow(
        /24 images without labels: a training needs them, or a model to learn from \(`teacher`\)/,
      );
      const plan = finetuneSchema.parse({
        train: '*',
        epochs: 2,
        learningRate: 1e-5,
        dropout: false,
        batchNorm: 'frozen',
        distill: { labels: 0 },
      });
      const files = { ...filesOf('taught'), teacher: at('net.onnx') };
      const taught = await finetune({ model: at('net.onnx'), plan, ...files, ...context });
      expect(notes.join()).toContain('"many" has no labels: the predictions of the teacher stand in for them');
      // The student is the teacher to begin with.
      expect(taught.history[0]?.trainTop1).toBe(100);
    });
  });

  it('are explained', async () => {
    const { images } = await explain({ model: at('net.onnx'), images: [], data: at('loose'), engine });
    expect(images).toHaveLength(4);
  });
});

describe('Data sets', () => {
  const openFiles = () => readdirSync('/proc/self/fd').length;
  const canCount = process.platform === 'linux';

  it('are closed by every verb, also when it fails: no file stays open', requires('Linux', canCount), async () => {
    // Five classes for the images of three: measured, and four classes fewer: refused.
    await saveModel(
      { graph: buildInitialVgg({ ...tinyShape, classes: 2 }, 7), info: { architecture: 'vgg' } },
      at('two.onnx'),
    );
    const data = { data: at('photos.zip') };
    await openModel(at('net.onnx'));
    const before = openFiles();
    await evaluate({ model: at('net.onnx'), ...data, engine });
    await compare({ before: at('net.onnx'), after: at('net.onnx'), ...data, engine });
    await explain({ model: at('net.onnx'), images: [], ...data, engine });
    expect(openFiles()).toBe(before);
    await expect(evaluate({ model: at('two.onnx'), ...data, engine })).rejects.toThrow(/3 classes/);
    await expect(compare({ before: at('two.onnx'), after: at('two.onnx'), ...data, engine })).rejects.toThrow();
    await expect(explain({ model: at('net.onnx'), images: ['nothing.png'], ...data, engine })).rejects.toThrow();
    const plan = finetuneSchema.parse({ train: 'nothing.*' });
    await expect(finetune({ model: at('net.onnx'), plan, ...data, work: at('work-none'), engine })).rejects.toThrow();
    const goal = { parameters: 2 };
    const given = { ...data, model: at('net.onnx'), work: at('w'), output: at('o.onnx'), engine };
    await expect(compress({ ...given, goal })).rejects.toThrow();
    expect(openFiles()).toBe(before);
  });
});
