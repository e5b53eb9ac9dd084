import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ProgressEvent } from '../../src/context/run-context.js';
import { nodeEngine } from '../../src/engine/node.js';
import { UsageError } from '../../src/errors.js';
import { type Dataset, openDataset } from '../../src/images/open-dataset.js';
import type { LoadedModel } from '../../src/io/models/model-file.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { finetuneSchema } from '../../src/recipes/recipe.js';
import { FeatureCache, openTrainingData } from '../../src/training-run/training-data-loader.js';
import { createProgressReporter } from '../../src/training-run/training-log.js';
import { finetune } from '../../src/workflows/finetune.js';
import { decodeEvents } from '../formats/decode-events.js';
import { SIDE, tinyShape, writeImages } from '../support/tiny-recipe.js';

const IMAGES = 36;
const engine = nodeEngine({ threads: 1 });
const model: LoadedModel = { graph: buildInitialVgg(tinyShape, 7), info: { architecture: 'vgg' } };
const preprocess = { size: [SIDE, SIDE], resize: 'none', mean: [0, 0, 0], std: [1, 1, 1] } as const;

let root = '';
let dataset: Dataset;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'shibori-finetune-verb-'));
  await writeImages(join(root, 'images'), IMAGES / 3);
  dataset = await openDataset({ data: join(root, 'images') });
});
afterAll(() => rm(root, { recursive: true, force: true }));
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

let folders = 0;
const fresh = () => join(root, `work-${folders++}`);
const plan = (more: object = {}) =>
  finetuneSchema.parse({ train: 'classifier.*', epochs: 2, batch: 6, learningRate: 1e-3, ...more });

async function logOf(folder: string) {
  const lines = (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  const files = (await readdir(folder)).filter((name) => name.includes('tfevents')).sort();
  const events = await Promise.all(files.map(async (name) => decodeEvents(await readFile(join(folder, name)))));
  return { lines: lines.map((line): Record<string, number> => JSON.parse(line)), events };
}

describe('finetuneModel', () => {
  it('writes the same numbers as JSON lines and as TensorBoard events', async () => {
    const folder = fresh();
    const report = await finetune({
      model,
      data: dataset,
      validationData: dataset,
      plan: plan({ epochs: 4 }),
      work: folder,
      engine,
    });
    const { lines, events } = await logOf(folder);
    // Six steps an epoch; a record every twenty, one for each epoch, and one for the model before the training.
    expect(lines.map(({ step }) => step)).toEqual([0, 6, 12, 18, 20, 24]);
    expect(lines[0]).toEqual({
      step: 0,
      epoch: 0,
      'epoch/validationLoss': report.before?.validationLoss,
      'epoch/validationTop1': report.before?.validationTop1,
    });
    expect(lines[4]).toEqual({
      step: 20,
      'train/loss': expect.any(Number),
      'train/top1': expect.any(Number),
      'train/learningRate': 1e-3,
    });
    const [first] = report.history;
    expect(lines[1]).toEqual({
      step: 6,
      epoch: 1,
      'epoch/trainLoss': first?.trainLoss,
      'epoch/trainTop1': first?.trainTop1,
      'epoch/validationLoss': first?.validationLoss,
      'epoch/validationTop1': first?.validationTop1,
    });
    const [[version, start, ...scalars] = []] = events;
    expect(version?.fileVersion).toBe('brain.Event:2');
    expect(start).toMatchObject({ step: 1, session: 1 });
    expect(scalars.map(({ step, scalars: found = [] }) => ({ step, ...Object.fromEntries(found) }))).toEqual(
      lines.map((line) => Object.fromEntries(Object.entries(line).map(([key, value]) => [key, Math.fround(value)]))),
    );
    const trained = 64 * 12 + 12 + 2 * 12 + 12 * 3 + 3;
    expect(report).toMatchObject({ trained, steps: 24, interrupted: false, skipped: [] });
  });

  it('goes on with the log where the checkpoint is, without a torn or an unreached line', async () => {
    const folder = fresh();
    await finetune({ model, data: dataset, plan: plan(), work: folder, engine });
    const file = join(folder, 'metrics.jsonl');
    await writeFile(file, `${await readFile(file, 'utf8')}{"step":13,"epoch":3}\n{"step":14,"tra`);
    await finetune({ model, data: dataset, plan: plan({ epochs: 3 }), work: folder, resume: true, engine });
    const { lines, events } = await logOf(folder);
    expect(lines.map(({ step, epoch }) => [step, epoch])).toEqual([
      [6, 1],
      [12, 2],
      [18, 3],
    ]);
    expect(events).toHaveLength(2);
    expect(events[1]?.[1]).toMatchObject({ step: 13, session: 1 });
  });

  it('leaves log and checkpoint of another training as they are when it refuses to go on with them', async () => {
    const folder = fresh();
    await finetune({ model, data: dataset, plan: plan(), work: folder, engine });
    const before = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name))));
    const other = finetune({ model, data: dataset, plan: plan({ batch: 9 }), work: folder, resume: true, engine });
    await expect(other).rejects.toThrow(/belongs to another training/);
    expect(await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name))))).toEqual(before);
  });

  it('goes on with other patience, but not with patience that it had not', async () => {
    const folder = fresh();
    const run = (patience: number | undefined, resume: boolean) =>
      finetune({
        model,
        data: dataset,
        validationData: dataset,
        plan: plan(patience === undefined ? {} : { patience }),
        work: folder,
        resume,
        engine,
      });
    await run(5, false);
    expect((await run(1, true)).history).toHaveLength(2);
    await run(undefined, false);
    await expect(run(1, true)).rejects.toThrow(/belongs to another training/);
  });

  it('starts anew without resume, and keeps the old checkpoint until there is a new one', async () => {
    const folder = fresh();
    const checkpoint = join(folder, 'checkpoint.safetensors');
    await finetune({ model, data: dataset, plan: plan(), work: folder, engine });
    const old = await readFile(checkpoint);
    let seen: Buffer | undefined;
    const onProgress = ({ phase, done }: ProgressEvent) => {
      if (phase === 'epoch 1/1' && done === 6) void readFile(checkpoint).then((bytes) => (seen = bytes));
    };
    const report = await finetune({
      model,
      data: dataset,
      plan: plan({ epochs: 1 }),
      work: folder,
      engine,
      onProgress,
    });
    expect(report.history).toHaveLength(1);
    expect(seen?.equals(old)).toBe(true);
    expect((await readFile(checkpoint)).equals(old)).toBe(false);
    expect((await logOf(folder)).lines.map(({ epoch }) => epoch)).toEqual([1]);
  });

  it.each([
    ['clasifier.*', /No parameter of the model fits "clasifier\.\*"\. Did you mean "classifier\.\*"/],
    ['classifier.3.*', /Did you mean "classifier\.0\.\*"/],
    ['net.classifier.0.wieght', /Did you mean "net\.classifier\.0\.weight"/],
    ['*.running_mean', /No parameter of the model fits/],
  ])('names the pattern %s, which fits no parameter, and the nearest that does', async (pattern, message) => {
    const training = finetune({ model, data: dataset, plan: plan({ train: ['classifier.4.*', pattern] }), engine });
    await expect(training).rejects.toThrow(message);
    await expect(training).rejects.toThrow(UsageError);
  });

  it('names each unreadable image once, in training and validation, and learns from the rest', async () => {
    const images = join(root, 'damaged');
    await writeImages(images, 4);
    await writeFile(join(images, 'square', '2.png'), 'this is no picture');
    const damaged = await openDataset({ data: images });
    const warnings: string[] = [];
    const report = await finetune({
      model,
      data: damaged,
      validationData: damaged,
      plan: plan({ augment: { horizontalFlip: 0.5 }, epochs: 3, train: '*' }),
      engine,
      onWarning: (text) => warnings.push(text),
    });
    // Once for each of the two data sets.
    expect(report.skipped).toEqual(['square/2.png', 'square/2.png']);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/^skipped square\/2\.png: .+/);
    // In percent of eleven images.
    const correct = ((report.history[0]?.validationTop1 ?? 0) * 11) / 100;
    expect(correct).toBeCloseTo(Math.round(correct), 9);
  });

  it('stops at a learning rate that is absurd, with the step and the way out', async () => {
    const folder = fresh();
    const training = finetune({
      model,
      data: dataset,
      plan: plan({ learningRate: 1e38, epochs: 20 }),
      work: folder,
      engine,
    });
    await expect(training).rejects.toThrow(/Training stopped at step \d+ \(epoch \d+\): .*Try a lower learning rate/);
  });

  it('says that a data set does not fit the model, be it that of the validation', async () => {
    const images = join(root, 'more-classes');
    await writeImages(images, 2);
    for (const name of ['hexagon', 'octagon']) await mkdir(join(images, name));
    await writeFile(join(images, 'hexagon', '0.png'), await readFile(join(images, 'star', '0.png')));
    await writeFile(join(images, 'octagon', '0.png'), await readFile(join(images, 'star', '0.png')));
    const validation = await openDataset({ data: images });
    await expect(finetune({ model, data: dataset, validationData: validation, plan: plan(), engine })).rejects.toThrow(
      /has 5 classes, the model tells 3 apart/,
    );
  });
});

describe('finetune', () => {
  it('says when a checkpoint that was asked for is not there, and when one that was not is replaced', async () => {
    const file = join(root, 'net.onnx');
    await saveModel(model, file);
    const warnings: string[] = [];
    const run = (resume: boolean) =>
      finetune({
        model: file,
        plan: plan(),
        data: join(root, 'images'),
        work: join(root, 'warned'),
        output: join(root, 'tuned.onnx'),
        resume,
        engine,
        onWarning: (text) => warnings.push(text),
      });
    await run(true);
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/^there is no checkpoint in .*warned: .* again$/)]);
    await run(true);
    expect(warnings.splice(0)).toEqual([]);
    await run(false);
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/warned will be replaced; `resume` continues it$/)]);
  });
});

describe('trainingData', () => {
  it('gives the same pixels for a view every time, and others for another', async () => {
    const augmentation = { randomResizedCrop: { size: SIDE, scale: [0.5, 1] as const }, horizontalFlip: 0.5 };
    const open = () => openTrainingData(dataset, { preprocess, augmentation, seed: 3 }, () => {});
    const one = await open().images([4, 5], 1);
    expect((await open().images([5, 4], 1)).data.subarray(0, 3 * SIDE ** 2)).toEqual(one.data.subarray(3 * SIDE ** 2));
    expect((await open().images([4, 5], 2)).data).not.toEqual(one.data);
  });
});

describe('FeatureCache', () => {
  const recipe = { preprocess, augmentation: undefined, seed: 1 };
  /** More than is quicker to compute again. */
  const ELEMENTS = 1_000_000;
  const prefixOf = (weight: number) => {
    const b = new GraphBuilder();
    b.output(b.op('Mul', [b.input('input', 'float32', ['N', 3, SIDE, SIDE]), b.scalar(weight)]));
    return b.build('prefix');
  };
  let home = '';
  beforeEach(() => {
    home = fresh();
    vi.stubEnv('SHIBORI_HOME', home);
  });
  const stores = async () => readdir(join(home, 'features')).catch(() => []);

  it('keeps what is worth it on disk: found again for the same images, prefix and views, for others not', async () => {
    const open = async (data: Dataset, more: object = {}, weight = 2, elements = ELEMENTS) => {
      const storeFor = await new FeatureCache().prepareStore(data, { ...recipe, ...more }, 1);
      storeFor(elements, prefixOf(weight)).close();
    };
    await open(dataset, {}, 2, 10);
    expect(await stores()).toHaveLength(0);
    await open(dataset);
    await open(dataset);
    expect(await stores()).toHaveLength(1);
    await open(dataset, { seed: 2 });
    await open(dataset, {}, 3);
    expect(await stores()).toHaveLength(3);
    // Other pictures under the same names.
    const { source } = dataset;
    await open({ ...dataset, source: { ...source, read: () => source.read(0) } });
    expect(await stores()).toHaveLength(4);
  });

  it('never makes room for one store of a training by deleting its other one', async () => {
    const cache = new FeatureCache();
    const huge = 8e9 / IMAGES;
    const train = await cache.prepareStore(dataset, recipe, 1);
    const validation = await cache.prepareStore(dataset, { ...recipe, seed: 99 }, 1);
    train(huge, prefixOf(5)).close();
    expect(await stores()).toHaveLength(1);
    validation(huge, prefixOf(5)).close();
    expect(await stores()).toHaveLength(2);
  });
});

describe('reportProgress', () => {
  it('shows loss, accuracy and images a second of what was done since the stage began', () => {
    const told: ProgressEvent[] = [];
    const report = createProgressReporter(2, 2, (event) => told.push(event));
    let now = 1000;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    report({ phase: 'features', epoch: 1, done: 640, total: 1000 });
    now += 1000;
    report({ phase: 'features', epoch: 1, done: 740, total: 1000 });
    // A training that was resumed in the middle of an epoch.
    report({ phase: 'train', epoch: 1, done: 500, total: 1000, loss: 1.23456, top1: 12.345, step: 9 });
    now += 2000;
    report({ phase: 'train', epoch: 1, done: 900, total: 1000, loss: 1, top1: 50, step: 10 });
    now += 100;
    report({ phase: 'validate', epoch: 1, done: 256, total: 300 });
    expect(told).toEqual([
      { phase: 'frozen prefix, view 2', done: 640, total: 1000, fields: {} },
      { phase: 'frozen prefix, view 2', done: 740, total: 1000, fields: { 'images/s': 100 } },
      { phase: 'epoch 2/2', done: 500, total: 1000, fields: { loss: '1.2346', top1: '12.35 %' } },
      { phase: 'epoch 2/2', done: 900, total: 1000, fields: { loss: '1.0000', top1: '50.00 %', 'images/s': 200 } },
      { phase: 'validate', done: 256, total: 300, fields: {} },
    ]);
  });
});
