import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/formats/safetensors/write.js';
import { openCheckpointFile } from '../../src/io/training-checkpoint-file.js';
import { float32, int64 } from '../../src/tensor/tensor.js';
import type { TrainingState } from '../../src/train/training-state.js';
import { bundle } from '../support/bundle.js';
import { runAndKill } from './killed.js';

const root = mkdtempSync(join(tmpdir(), 'shibori-checkpoint-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const state = (): TrainingState => ({
  progress: {
    fingerprint: 'of this test',
    step: 12,
    epoch: 1,
    stepOfEpoch: 3,
    // Decimal digits must bring back every bit of a double.
    lossSum: 0.1 + 0.2,
    correct: 5,
    images: 48,
    seconds: 1.25,
    history: [{ epoch: 1, trainLoss: 1 / 3, trainTop1: 50, learningRate: 1e-4, seconds: 2 }],
    best: { epoch: 1, loss: 2 / 3 },
  },
  tensors: new Map([
    ['fc.weight', Float32Array.of(1.1, -0, 3e-42)],
    ['adam/m/fc.weight', Float32Array.of(4, 5, 6)],
    ['best/fc.weight', Float32Array.of(7, 8, 9)],
  ]),
});

describe('fileCheckpoint', () => {
  it('brings back every bit', async () => {
    const checkpoint = openCheckpointFile(join(root, 'deep', 'a.safetensors'));
    expect(await checkpoint.load()).toBeUndefined();
    await checkpoint.save(state());
    const loaded = await checkpoint.load();
    expect(loaded?.progress).toEqual(state().progress);
    expect(new Map([...(loaded?.tensors ?? [])])).toEqual(state().tensors);
    expect(Object.is(loaded?.tensors.get('fc.weight')?.[1], -0)).toBe(true);
    await checkpoint.save({ ...state(), progress: { ...state().progress, step: 13 } });
    expect((await checkpoint.load())?.progress.step).toBe(13);
    expect(readdirSync(join(root, 'deep'))).toEqual(['a.safetensors']);
  });

  it.each([
    ['cut short', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 4), /cut short/],
    ['emptied', () => new Uint8Array(), /damaged\.safetensors/],
    ['a picture', () => Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13), /not a safetensors file/],
    ['some weights', () => writeSafetensors(new Map([['w', float32([1])]])), /holds no training progress/],
    [
      'of other progress',
      () => writeSafetensors(new Map([['w', float32([1])]]), { training: '{"step": -1}' }),
      /holds no training progress.*without `resume`/,
    ],
    [
      'of other numbers',
      () => writeSafetensors(new Map([['w', int64([1])]]), { training: JSON.stringify(state().progress) }),
      /entry "w": expected a float32 tensor, found int64/,
    ],
  ])('refuses a file that is %s', async (_, damage, message) => {
    const file = join(root, 'damaged.safetensors');
    await openCheckpointFile(file).save(state());
    writeFileSync(file, damage(readFileSync(file)));
    await expect(openCheckpointFile(file).load()).rejects.toThrow(message);
  });

  describe('in a process that is killed', () => {
    let program = '';
    beforeAll(async () => {
      program = await bundle(join(import.meta.dirname, 'endless-checkpoints.ts'), root);
    });

    it.each([0, 3, 8, 17, 31, 50])('leaves one whole checkpoint, %i ms after the first', async (delayMs) => {
      const file = join(root, `killed-${delayMs}.safetensors`);
      await runAndKill(program, [file], delayMs);
      const loaded = await openCheckpointFile(file).load();
      const step = loaded?.progress.step ?? 0;
      expect(step).toBeGreaterThan(0);
      expect(loaded?.tensors.get('weight')?.every((value) => value === step)).toBe(true);
      expect(loaded?.tensors.get('adam/m/weight')?.every((value) => value === -step)).toBe(true);
    });
  });
});
