import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../src/context/run-context.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type Dataset, openDataset, openDigits } from '../../src/images/open-dataset.js';
import { type LoadedModel, openModel } from '../../src/io/models/model-file.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { trainSchema } from '../../src/recipes/recipe.js';
import { train } from '../../src/workflows/train.js';
import { shibori } from '../support/shibori.js';
import { tinyShape, writeTinyStudy } from '../support/tiny-recipe.js';
import { numbersOf } from './golden.js';

const engine = nodeEngine({ threads: 1 });
/** A backbone of four classes; the images are of three. */
const model: LoadedModel = { graph: buildInitialVgg({ ...tinyShape, classes: 4 }, 7), info: { architecture: 'vgg' } };

let root = '';
let dataset: Dataset;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'shibori-train-'));
  await writeTinyStudy(root);
  dataset = await openDataset({ data: join(root, 'images') });
});
afterAll(() => rm(root, { recursive: true, force: true }));

let folders = 0;
const fresh = () => join(root, `work-${folders++}`);
const TWO_STAGES = {
  head: 'auto',
  batch: 6,
  optimizer: 'adamw',
  ema: 0.9,
  accumulate: 2,
  stages: [
    { train: 'head', epochs: 3, learningRate: [1e-3, 1e-2] },
    { epochs: 2, learningRate: 1e-3, schedule: 'cosine', weightDecay: { value: 0.05, vectors: false } },
  ],
};
const withoutSeconds = (history: readonly object[]) => history.map((epoch) => ({ ...epoch, seconds: 0 }));

describe('trainModel', () => {
  const run = (folder: string, more: object = {}, signal?: AbortSignal, onProgress?: (event: ProgressEvent) => void) =>
    train({
      model,
      data: dataset,
      validationData: dataset,
      plan: trainSchema.parse({ ...TWO_STAGES, ...more }),
      work: folder,
      resume: true,
      engine,
      ...(signal ? { signal } : {}),
      ...(onProgress ? { onProgress } : {}),
    });

  it('trains a fresh head alone, then everything', async () => {
    const only = await run(fresh(), { stages: TWO_STAGES.stages.slice(0, 1) });
    const before = numbersOf(model.graph);
    const trained = numbersOf(only.model.graph);
    const changed = [...before].filter(([name, values]) => String(values) !== String(trained.get(name)));
    expect(changed.map(([name]) => name).sort()).toEqual(['net.classifier.4.bias', 'net.classifier.4.weight']);
    expect(only.trained).toBe(12 * 3 + 3);
    expect(only.model.info.classes).toEqual(['circle', 'square', 'star']);
    const report = await run(fresh());
    const { model: both } = report;
    expect(report.history.map(({ stage, epoch }) => [stage, epoch])).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 4],
      [2, 5],
    ]);
    // 36 images in batches of six, two a step.
    expect(report.steps).toBe(5 * 3);
    expect(report.waiting.seconds).toBeGreaterThan(0);
    expect(report.waiting.share).toBeCloseTo(report.waiting.seconds / report.seconds, 12);
    expect(report.waiting.share).toBeLessThan(1);
    expect(numbersOf(both.graph).get('net.features.0.weight')).not.toEqual(before.get('net.features.0.weight'));
  });

  it('goes on to the same numbers wherever it was stopped, within a stage and between two', async () => {
    const folder = fresh();
    const whole = await run(folder);
    const metrics = await readFile(join(folder, 'metrics.jsonl'), 'utf8');
    const stops = [
      ['stage 1/2, epoch 2/3', 12],
      ['stage 1/2, epoch 3/3', 36],
      ['stage 1/2, validate', 36],
      ['stage 2/2, epoch 1/2', 12],
      ['stage 2/2, epoch 2/2', 36],
    ] as const;
    const stopped = fresh();
    for (const [stage, done] of stops) {
      const abort = new AbortController();
      const report = await run(stopped, {}, abort.signal, (event) => {
        if (event.phase === stage && event.done === done) abort.abort();
      });
      expect(report.interrupted, stage).toBe(true);
    }
    const resumed = await run(stopped);
    expect(numbersOf(resumed.model.graph)).toEqual(numbersOf(whole.model.graph));
    expect(withoutSeconds(resumed.history)).toEqual(withoutSeconds(whole.history));
    expect(resumed.steps).toBe(whole.steps);
    expect(await readFile(join(stopped, 'metrics.jsonl'), 'utf8')).toBe(metrics);
    // Done is done: nothing is computed again.
    const stages: string[] = [];
    await run(stopped, {}, undefined, ({ phase }) => stages.push(phase));
    expect(stages).toEqual([]);
  });

  it('forgets the checkpoints of later stages when it starts anew', async () => {
    const folder = fresh();
    await run(folder);
    expect((await readdir(folder)).filter((name) => name.endsWith('.safetensors')).sort()).toEqual([
      'checkpoint-2.safetensors',
      'checkpoint.safetensors',
    ]);
    const other = trainSchema.parse({ ...TWO_STAGES, seed: 9, stages: TWO_STAGES.stages.slice(0, 1) });
    await train({ model, data: dataset, plan: other, work: folder, engine });
    expect((await readdir(folder)).filter((name) => name.endsWith('.safetensors'))).toEqual(['checkpoint.safetensors']);
    // So that its second stage does not take the other's for its own.
    const longer = trainSchema.parse({ ...TWO_STAGES, seed: 9 });
    const report = await train({ model, data: dataset, plan: longer, work: folder, resume: true, engine });
    expect(report.history).toHaveLength(5);
  });

  it('is the same for the same seed, and another for another', async () => {
    const from = async (seed: number) => {
      const plan = trainSchema.parse({ ...TWO_STAGES, init: 'scratch', seed });
      const { model: trained } = await train({ model, data: dataset, plan, engine });
      return numbersOf(trained.graph);
    };
    const first = await from(1);
    expect(await from(1)).toEqual(first);
    expect((await from(2)).get('net.features.0.weight')).not.toEqual(first.get('net.features.0.weight'));
  });

  it('learns cluttered digits from scratch', async () => {
    const digits = { train: await openDigits('train', 1, 1200), validation: await openDigits('validation', 1, 200) };
    const graph = buildInitialVgg(
      { channels: [[8], [16], [32]], batchNorm: true, classifier: [32], classes: 10, inputSize: 32, prefix: '' },
      1,
    );
    const plan = trainSchema.parse({
      init: 'scratch',
      epochs: 3,
      batch: 32,
      learningRate: [1e-3, 8e-3],
      schedule: 'one-cycle',
      optimizer: 'adamw',
      labelSmoothing: 0.05,
      clip: 5,
    });
    const preprocess = { size: [32, 32], resize: 'stretch', mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } as const;
    const report = await train({
      model: { graph, info: { architecture: 'vgg', preprocess } },
      data: digits.train,
      validationData: digits.validation,
      plan,
      engine: nodeEngine({ threads: 2 }),
      workers: 0,
    });
    // Guessing is 10 %.
    expect(report.history.at(-1)?.validationTop1).toBeGreaterThan(40);
  }, 120_000);
});

describe('train', () => {
  it('makes a network by name, for the classes of the data', async () => {
    const plan = trainSchema.parse({ head: 'compact', train: 'head', batch: 18, learningRate: 1e-3 });
    const output = join(root, 'made.safetensors');
    const options = { data: join(root, 'images'), inputSize: [32, 32] as const, work: fresh(), output };
    const result = await train({ model: 'vgg11', plan, ...options, engine });
    expect(result.output).toBe(output);
    const { graph, info } = await openModel(output);
    expect(graph.outputs[0]?.type?.dims[1]).toBe(3);
    expect(info.classes).toEqual(['circle', 'square', 'star']);
    await expect(train({ model: 'vgg61', plan, ...options, engine })).rejects.toThrow(/No network is called "vgg61"/);
  }, 120_000);
});

describe('shibori train', () => {
  it('runs a plan, and says where a mistake in it is', async () => {
    const plan = join(root, 'train.yaml');
    await writeFile(
      plan,
      'head: auto\nbatch: 6\nstages:\n  - { train: head, epochs: 2, learningRate: 0.01 }\n  - { epochs: 1, learningRate: 0.001, optimizer: sgd }\n',
    );
    const args = ['train', 'net.onnx', '--data', 'images', '--threads', '1', '--workers', '0', '--work', 'work'];
    const done = await shibori([...args, '--plan', plan, '-o', 'trained.pt', '--json'], { cwd: root });
    expect(done.stderr).toBe('');
    expect(JSON.parse(done.stdout)).toMatchObject({ steps: 18, interrupted: false, output: 'trained.pt' });
    const again = await shibori(['evaluate', 'trained.pt', '--input', '3,8,8', '--data', 'images', '--json'], {
      cwd: root,
    });
    expect(again.code).toBe(0);

    await writeFile(plan, 'stages:\n  - train: head\n    optimiser: sgd\n');
    const wrong = await shibori([...args, '--plan', plan], { cwd: root });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/train\.yaml:3:\d+: .*Did you mean "optimizer"/);
    const unknown = await shibori([...args, '--optimizer', 'adma'], { cwd: root });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/no optimizer is called "adma"\. Did you mean "adam/);
    const both = await shibori([...args, '--plan', plan, '--epochs', '3'], { cwd: root });
    expect(both.stderr).toMatch(/leave out what it says, or the plan: epochs/);
  }, 60_000);
});
