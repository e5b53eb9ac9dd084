import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from '../../src/images/open-dataset.js';
import { openModel } from '../../src/io/models/model-file.js';
import { summarizeGraph } from '../../src/models/summary.js';
import { type CompressToGoalOptions, compress } from '../../src/workflows/compress.js';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-compress-'));
  files = await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (options: Omit<CompressToGoalOptions, 'model' | 'data'>, name: string) =>
  compress({
    model: files.onnx,
    data: files.images,
    inputSize: [8, 8],
    output: join(folder, name),
    work: join(folder, 'work'),
    allowSlower: true,
    threads: 1,
    workers: 0,
    ...options,
  });

describe('compress to a goal', () => {
  it('keeps the budget and states what the file has', async () => {
    const { size, layers, data, output = '' } = await run({ goal: { parameters: 0.6 } }, 'a.onnx');
    expect(size.ratio.parameters).toBeLessThanOrEqual(0.6);
    expect(layers.some(({ scheme }) => scheme !== undefined)).toBe(true);
    expect(data).toMatchObject({ heldOut: true });
    const { fileBytes } = await openModel(output);
    expect(size.after.onnxBytes).toBe(fileBytes);
  });

  it('tries several ways of sharing the budget when asked to, and reports the loss of each', async () => {
    const notes: string[] = [];
    const { size } = await run(
      {
        goal: { parameters: 0.6 },
        rounds: 3,
        work: join(folder, 'rounds-work'),
        onNote: (text) => notes.push(text),
      },
      'rounds.onnx',
    );
    expect(size.ratio.parameters).toBeLessThanOrEqual(0.6);
    expect(notes).toContainEqual(expect.stringMatching(/^round 1: mean KL \S+ nats$/));
  });

  it('writes nothing for a goal that cannot be reached, and states the nearest one', async () => {
    await expect(run({ goal: { parameters: 10 } }, 'none.onnx')).rejects.toThrow(
      /cannot be reached, the smallest is \d+ parameters/,
    );
    expect(existsSync(join(folder, 'none.onnx'))).toBe(false);
  });

  it('refuses layers that do not exist, and files that cannot hold the result', async () => {
    const goal = { parameters: 0.6 };
    await expect(run({ goal, layers: ['clasifier.0'] }, 'b.onnx')).rejects.toThrow('Did you mean');
    await expect(run({ goal }, 'b.pt')).rejects.toThrow('only an ONNX file');
  });

  it('takes an opened model and an opened data set, and writes nothing unless asked to', async () => {
    const options = { goal: { parameters: 0.6 }, allowSlower: true, threads: 1, workers: 0 } as const;
    const model = await openModel(files.onnx, { inputSize: [8, 8] });
    await using data = await openDataset({ data: files.images }, 'train');
    const before = readdirSync(folder).sort();
    const result = await compress({ ...options, model, data });
    expect(result).not.toHaveProperty('output');
    expect(result).not.toHaveProperty('page');
    expect(readdirSync(folder).sort()).toEqual(before);
    // The same model as from files.
    const { size, layers } = await run({ goal: { parameters: 0.6 } }, 'same.onnx');
    expect(result.size).toEqual(size);
    expect(result.layers.map(({ ranks }) => ranks)).toEqual(layers.map(({ ranks }) => ranks));
    expect(summarizeGraph(result.model.graph).parameters).toBe(size.after.parameters);
  });

  it.each([
    [{}, 'found none'],
    [{ parameters: 0.5, error: 0.1 }, 'found parameters, error'],
    [{ parameters: 1.5 }, '`parameters: 1.5`'],
    [{ parameters: 0 }, '`parameters: 0`'],
    [{ error: 1 }, '`error: 1`'],
    [{ accuracyDrop: -1 }, '`accuracyDrop: -1`'],
  ])('refuses the goal %j', async (goal, message) => {
    await expect(run({ goal: goal as { parameters: number } }, 'c.onnx')).rejects.toThrow(message);
  });
});

describe('compress with given ranks', () => {
  const options = () => ({ model: files.onnx, inputSize: [8, 8], threads: 1 }) as const;

  it('takes ranks in code or in a plan', async () => {
    const planned = await compress({ ...options(), plan: files.plan });
    expect(planned.layers.map(({ name }) => name)).toEqual(['net.classifier.0']);
    expect(planned.after.parameters).toBeLessThan(planned.before.parameters);
    const ranks = Object.fromEntries(
      planned.layers.map(({ name, layout, inModes, outModes, ranks: bonds }) => [
        name,
        { layout, in: inModes, out: outModes, ranks: bonds },
      ]),
    );
    const { after } = await compress({ ...options(), ranks });
    expect(after).toEqual(planned.after);
  });

  it('refuses ranks that are no ranks, and ranks next to a goal', async () => {
    await expect(compress({ ...options(), ranks: { nothing: { in: [2], out: [2] } } })).rejects.toThrow('nothing');
    await expect(compress({ ...options(), ranks: { x: { in: [2.5], out: [1] } } })).rejects.toThrow('`ranks`: x.in.0');
    const both = { ...options(), goal: { parameters: 0.5 }, plan: files.plan };
    await expect(compress(both)).rejects.toThrow('either finds the ranks');
  });
});

it('the command refuses a goal next to given ranks', async () => {
  const { code, stderr } = await shibori(['compress', files.onnx, '--params', '10%', '--plan', files.plan]);
  expect(code).toBe(2);
  expect(stderr).toContain('--params and --plan');
});
