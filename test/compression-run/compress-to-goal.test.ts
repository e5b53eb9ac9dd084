import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compressToGoal } from '../../src/compression-run/compress-to-goal.js';
import type { CompressionPlan } from '../../src/compression-run/compression-plan.js';
import { openModel } from '../../src/io/models/model-file.js';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-squeeze-'));
  files = await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const squeezed = (plan: Omit<CompressionPlan, 'allowSlower'>, name: string) =>
  compressToGoal(
    files.onnx,
    { ...plan, allowSlower: true },
    { data: files.images, inputSize: [8, 8], output: join(folder, name), work: join(folder, 'work') },
    { threads: 1, workers: 0 },
  );

describe('squeeze', () => {
  it('keeps the budget and states what the file has', async () => {
    const { size, layers, data, output } = await squeezed({ goal: { kind: 'params', most: { share: 0.6 } } }, 'a.onnx');
    expect(size.ratio.parameters).toBeLessThanOrEqual(0.6);
    expect(layers.some(({ scheme }) => scheme !== undefined)).toBe(true);
    expect(data).toMatchObject({ heldOut: true });
    const { fileBytes } = await openModel(output);
    expect(size.after.onnxBytes).toBe(fileBytes);
  });

  it('tries several ways of sharing the budget when asked to, and tells what each came to', async () => {
    const notes: string[] = [];
    const goal = { kind: 'params', most: { share: 0.6 } } as const;
    const { size } = await compressToGoal(
      files.onnx,
      { goal, rounds: 3, allowSlower: true },
      {
        data: files.images,
        inputSize: [8, 8],
        output: join(folder, 'rounds.onnx'),
        work: join(folder, 'rounds-work'),
      },
      { threads: 1, workers: 0, onNote: (text) => notes.push(text) },
    );
    expect(size.ratio.parameters).toBeLessThanOrEqual(0.6);
    expect(notes).toContainEqual(expect.stringMatching(/^round 1: mean KL \S+ nats$/));
  });

  it('writes nothing for what cannot be reached, and says what can', async () => {
    const goal = { kind: 'params', most: { amount: 10 } } as const;
    await expect(squeezed({ goal }, 'none.onnx')).rejects.toThrow(/cannot be reached, the smallest is \d+ parameters/);
    expect(existsSync(join(folder, 'none.onnx'))).toBe(false);
  });

  it('refuses layers that there are not, and files that cannot hold the result', async () => {
    const goal = { kind: 'params', most: { share: 0.6 } } as const;
    await expect(squeezed({ goal, layers: ['clasifier.0'] }, 'b.onnx')).rejects.toThrow('Did you mean');
    await expect(squeezed({ goal }, 'b.pt')).rejects.toThrow('only an ONNX file');
  });
});

it('compress refuses a goal beside ranks of one’s own', async () => {
  const { code, stderr } = await shibori(['compress', files.onnx, '--params', '10%', '--plan', files.plan]);
  expect(code).toBe(2);
  expect(stderr).toContain('--params and --plan');
});
