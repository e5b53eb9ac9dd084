import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { evaluateModel } from '../../src/evaluation/evaluate-model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { type Dataset, openDataset } from '../../src/images/open-dataset.js';
import { encodeModel, type LoadedModel, openModel } from '../../src/io/models/model-file.js';
import { finetuneSchema, trainSchema } from '../../src/recipes/recipe.js';
import { isBetter } from '../../src/train/best-weights.js';
import { chooseKeptEpoch } from '../../src/training-run/training-outcome.js';
import { finetune } from '../../src/workflows/finetune.js';
import { train } from '../../src/workflows/train.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

const engine = nodeEngine({ threads: 1 });
let root: string;
let trained: LoadedModel;
let dataset: Dataset;
/** The images with wrong labels: a training on them forgets the right ones. */
let mislabelled: Dataset;

const plan = (more: object = {}) =>
  finetuneSchema.parse({ train: 'classifier.*', epochs: 2, batch: 6, learningRate: 0.03, ...more });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'shibori-keep-'));
  const files = await writeTinyStudy(root);
  const model = await openModel(files.onnx);
  dataset = await openDataset({ data: files.images });
  const { source } = dataset;
  const items = source.items.map((item) => ({ ...item, label: (item.label + 1) % 3 }));
  mislabelled = { ...dataset, source: { ...source, items } };
  const stage = plan({ train: '*', epochs: 12, learningRate: 3e-3 });
  ({ model: trained } = await finetune({ model, data: dataset, validationData: dataset, plan: stage, engine }));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const weights = ({ graph }: LoadedModel) =>
  new Map(listParameters(graph).map(({ name, tensor }) => [name, Array.from(tensor.data, Number)]));
const top1 = async (model: LoadedModel) => (await evaluateModel(model, dataset, {}, { engine })).top1;

describe('the best epoch', () => {
  it('is the one of the highest top-1, and of equal ones the one of the lowest loss', () => {
    const measured = { top1: 50, loss: 1 };
    expect(isBetter(measured, undefined)).toBe(true);
    expect(isBetter({ top1: 51, loss: 9 }, measured)).toBe(true);
    expect(isBetter({ top1: 50, loss: 0.9 }, measured)).toBe(true);
    expect(isBetter({ top1: 50, loss: 1 }, measured)).toBe(false);
    expect(isBetter({ top1: 49, loss: 0.1 }, measured)).toBe(false);
    expect(isBetter({ top1: 50, loss: Number.NaN }, measured)).toBe(false);
  });

  it('a training that lowers the accuracy gives the model back as it was, with a warning', async () => {
    const warnings: string[] = [];
    const before = await top1(trained);
    const report = await finetune({
      model: trained,
      data: mislabelled,
      validationData: dataset,
      plan: plan(),
      engine,
      onWarning: (text) => warnings.push(text),
    });
    const { model } = report;
    expect(report.before).toMatchObject({ epoch: 0, validationTop1: before });
    for (const { validationTop1 } of report.history) expect(validationTop1).toBeLessThan(before);
    expect(report.kept).toMatchObject({ epoch: 0, by: 'best', validationTop1: before });
    expect(report.top1Gain).toBe(0);
    expect(weights(model)).toEqual(weights(trained));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`training did not help: validation top-1 was ${before.toFixed(2)} % before it`);
  });

  it('--keep last gives the last epoch all the same, and warns of the loss', async () => {
    const warnings: string[] = [];
    const report = await finetune({
      model: trained,
      data: mislabelled,
      validationData: dataset,
      plan: plan({ keep: 'last' }),
      engine,
      onWarning: (text) => warnings.push(text),
    });
    const { model } = report;
    const last = report.history.at(-1)?.validationTop1;
    expect(report.kept).toMatchObject({ epoch: 2, by: 'last', validationTop1: last });
    expect(report.top1Gain).toBeLessThan(0);
    expect(await top1(model)).toBe(last);
    expect(warnings).toEqual([expect.stringMatching(/^training lowered the validation top-1 from/)]);
  });

  it('the model that is given back measures what the report says of it', async () => {
    const start = await openModel(join(root, 'net.onnx'));
    const report = await finetune({
      model: start,
      data: dataset,
      validationData: dataset,
      plan: plan({ train: '*', epochs: 6, learningRate: 3e-3 }),
      engine,
    });
    const { model } = report;
    const epochs = [report.before, ...report.history].map((epoch) => epoch?.validationTop1 ?? Number.NaN);
    expect(report.kept.validationTop1).toBe(Math.max(...epochs));
    expect(epochs[report.kept.epoch]).toBe(report.kept.validationTop1);
    expect(await top1(model)).toBe(report.kept.validationTop1);
  });

  it('interrupted at any step and resumed, a training gives the same bytes', async () => {
    const run = async (folder: string, stopAt?: number) => {
      const controller = new AbortController();
      let events = 0;
      const onProgress = () => {
        if (++events === stopAt) controller.abort();
      };
      const result = await finetune({
        model: trained,
        data: dataset,
        validationData: dataset,
        plan: plan({ epochs: 3, learningRate: 0.02 }),
        work: join(root, folder),
        resume: true,
        engine,
        onProgress,
        signal: controller.signal,
      });
      return { events, ...result };
    };
    const whole = await run('whole');
    const bytes = Buffer.concat(await encodeModel(whole.model, 'onnx'));
    // In the validation before the training, in an epoch, in the validation after it, in the last epoch.
    for (const stopAt of [1, 4, 9, whole.events - 3]) {
      const stopped = await run(`stopped-${stopAt}`, stopAt);
      expect(stopped.interrupted).toBe(true);
      const resumed = await run(`stopped-${stopAt}`);
      expect(resumed.kept).toEqual(whole.kept);
      expect(resumed.before).toEqual(whole.before);
      expect(Buffer.concat(await encodeModel(resumed.model, 'onnx')).equals(bytes)).toBe(true);
    }
    const log = (await readFile(join(root, 'stopped-4', 'metrics.jsonl'), 'utf8')).trim().split('\n');
    expect(log.filter((line) => JSON.parse(line).epoch === 0)).toHaveLength(1);
  });

  it('without validation images it is the last one', async () => {
    const report = await finetune({ model: trained, data: dataset, plan: plan(), engine });
    expect(report.before).toBeUndefined();
    expect(report.kept).toEqual({ epoch: 2, by: 'last' });
    expect(report.top1Gain).toBeUndefined();
  });

  it('epoch 0 of a later stage is the epoch that the stage before gave back', () => {
    const first = { epoch: 2, by: 'best', validationLoss: 1, validationTop1: 60 } as const;
    const stage = { epochsBefore: 3, keep: 'best', best: { epoch: 0, loss: 1, top1: 60 } } as const;
    expect(chooseKeptEpoch(stage, [], first)).toEqual(first);
    expect(chooseKeptEpoch({ ...stage, best: { epoch: 2, loss: 0.5, top1: 70 } }, [], first)).toEqual({
      epoch: 5,
      by: 'best',
      validationLoss: 0.5,
      validationTop1: 70,
    });
  });

  it('of fresh parameters there is no epoch 0; a later stage begins with the best of the one before', async () => {
    const training = trainSchema.parse({
      head: 3,
      batch: 6,
      stages: [
        { train: 'head', epochs: 3, learningRate: 1e-2 },
        { train: '*', epochs: 2, learningRate: 1e-3 },
      ],
    });
    const report = await train({
      model: trained,
      data: dataset,
      validationData: dataset,
      plan: training,
      engine,
    });
    const { model } = report;
    expect(report.before).toBeUndefined();
    const all = report.history.map(({ validationTop1 }) => validationTop1 ?? Number.NaN);
    expect(report.kept.validationTop1).toBe(Math.max(...all));
    expect(all[report.kept.epoch - 1]).toBe(report.kept.validationTop1);
    expect(await top1(model)).toBe(report.kept.validationTop1);
  });
});
