import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { referenceEngine } from '../../src/engine/reference.js';
import { computeCacheKey, evictFeatures, openFeatureCache } from '../../src/io/feature-cache.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32 } from '../../src/tensor/tensor.js';
import { createMemoryStore, type FeatureStore } from '../../src/train/features-in-memory.js';
import { createCachedFeatures } from '../../src/train/training-features.js';
import { bundle } from '../support/bundle.js';
import { runAndKill } from './killed.js';

const root = mkdtempSync(join(tmpdir(), 'shibori-features-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const fresh = () => join(root, `store-${folders++}`);

function readOne(store: FeatureStore, view: number, index: number, elements: number): number[] {
  const target = new Float32Array(elements);
  store.read(view, [index], target);
  return [...target];
}

describe.each([
  ['memoryStore', () => createMemoryStore(5, 3)],
  ['diskStore', () => openFeatureCache(fresh(), 5, 3)],
] as const)('%s', (_, open) => {
  it('gives back the records in any order, and knows what it has', () => {
    const store = open();
    store.write(0, [4, 1], Float32Array.of(1, 2, 3, 4, 5, 6));
    store.write(2, [1], Float32Array.of(7, 8, 9));
    expect([0, 1, 2, 3, 4].map((index) => store.has(0, index))).toEqual([false, true, false, false, true]);
    expect(store.has(1, 1)).toBe(false);
    const target = new Float32Array(6);
    store.read(0, [1, 4], target);
    expect([...target]).toEqual([4, 5, 6, 1, 2, 3]);
    expect(readOne(store, 2, 1, 3)).toEqual([7, 8, 9]);
    store.close();
  });
});

describe('memoryStore', () => {
  it('says how much memory would be needed', () => {
    expect(() => createMemoryStore(2 ** 30, 2 ** 20).write(0, [0], new Float32Array(1))).toThrow(
      /4503599\.6 GB a view/,
    );
  });
});

describe('diskStore', () => {
  it('is there for the next process, without what was not marked whole', () => {
    const folder = fresh();
    const first = openFeatureCache(folder, 4, 2);
    first.write(0, [0, 2], Float32Array.of(1, 2, 3, 4));
    first.close();
    const second = openFeatureCache(folder, 4, 2);
    expect([0, 1, 2, 3].map((index) => second.has(0, index))).toEqual([true, false, true, false]);
    expect(readOne(second, 0, 2, 2)).toEqual([3, 4]);
    second.close();
  });

  it('takes nothing from a store of other dimensions, and leaves other files alone', () => {
    const folder = fresh();
    const first = openFeatureCache(folder, 4, 2);
    first.write(0, [0], Float32Array.of(1, 2));
    first.close();
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    const second = openFeatureCache(folder, 4, 3);
    expect(second.has(0, 0)).toBe(false);
    second.close();
    expect(readdirSync(folder)).toContain('notes.txt');
  });

  it('says so when its file was cut short', () => {
    const folder = fresh();
    const store = openFeatureCache(folder, 4, 2);
    store.write(0, [3], Float32Array.of(1, 2));
    truncateSync(join(folder, 'view-0.f32'), 12);
    expect(() => readOne(store, 0, 3, 2)).toThrow(/cut short.*Delete the folder/);
    store.close();
  });

  it('says so when the folder cannot be made', () => {
    writeFileSync(join(root, 'file'), '');
    expect(() => openFeatureCache(join(root, 'file', 'store'), 1, 1)).toThrow(
      /Caching features in .*a part of the path is a file/,
    );
  });

  describe('in a process that is killed', () => {
    let program = '';
    beforeAll(async () => {
      program = await bundle(join(import.meta.dirname, 'endless-features.ts'), root);
    });

    it.each([0, 5, 20, 60])('marks only whole records, %i ms after the first', async (delayMs) => {
      const folder = fresh();
      const [count, elements] = [64, 5000];
      await runAndKill(program, [folder, String(count), String(elements)], delayMs);
      const store = openFeatureCache(folder, count, elements);
      let marked = 0;
      for (let view = 0; existsSync(join(folder, `view-${view}.f32`)); view++) {
        for (let index = 0; index < count; index++) {
          if (!store.has(view, index)) continue;
          marked++;
          expect(readOne(store, view, index, elements).every((value) => value === 1 + view * 1000 + index)).toBe(true);
        }
      }
      expect(marked).toBeGreaterThan(0);
      store.close();
    });
  });
});

describe('cachedFeatures', () => {
  /** input [N, 2] times 10. */
  function prefix() {
    const b = new GraphBuilder();
    b.output(b.op('Mul', [b.input('input', 'float32', ['N', 2]), b.initializer('frozen', float32([10]))]));
    return b.build('prefix');
  }

  const COUNT = 150;
  function data(asked: number[]) {
    return {
      count: COUNT,
      labels: new Int32Array(COUNT),
      async images(indices: readonly number[], view: number) {
        asked.push(...indices);
        return float32(
          indices.flatMap((index) => [index, view]),
          [indices.length, 2],
        );
      },
    };
  }

  it('goes on where it was stopped, in the same chunks', async () => {
    const folder = fresh();
    const first: number[] = [];
    const abort = new AbortController();
    const started = createCachedFeatures(
      referenceEngine(),
      data(first),
      prefix(),
      openFeatureCache(folder, COUNT, 2),
      1,
    );
    const told: number[] = [];
    const stop = (done: number) => {
      told.push(done);
      abort.abort();
    };
    expect(await started.fill(3, stop, abort.signal)).toBe(false);
    expect(told).toEqual([64]);
    await started.dispose();
    const second: number[] = [];
    const resumed = createCachedFeatures(
      referenceEngine(),
      data(second),
      prefix(),
      openFeatureCache(folder, COUNT, 2),
      1,
    );
    expect(await resumed.fill(3, (done) => told.push(done))).toBe(true);
    expect(told).toEqual([64, 128, 150]);
    expect(second).toEqual(Array.from({ length: COUNT - 64 }, (_, i) => 64 + i));
    expect([...(await resumed.batch([0, 149, 70], 3)).data]).toEqual([0, 30, 1490, 30, 700, 30]);
    // Nothing is missing now.
    expect(await resumed.fill(3, () => expect.unreachable())).toBe(true);
    await resumed.dispose();
  });
});

describe('featureKey', () => {
  it('tells parts apart', () => {
    expect(computeCacheKey(['ab', 'c'])).not.toBe(computeCacheKey(['a', 'bc']));
    expect(computeCacheKey(['a', Uint8Array.of(1)])).toBe(computeCacheKey(['a', Uint8Array.of(1)]));
  });
});

describe('makeRoom', () => {
  it('deletes what was used longest ago, never what is kept, and no files', () => {
    const folder = fresh();
    mkdirSync(folder);
    writeFileSync(join(folder, 'README'), 'not a store');
    for (const [i, name] of ['old', 'kept', 'newer', 'newest'].entries()) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'view-0.f32'), new Uint8Array(100_000));
      utimesSync(join(folder, name), new Date(2020, i), new Date(2020, i));
    }
    // On disk a file takes whole blocks, so a little more than its size.
    evictFeatures(folder, new Set(['kept']), 100_000, 350_000);
    expect(readdirSync(folder).sort()).toEqual(['README', 'kept', 'newer', 'newest']);
    evictFeatures(folder, new Set(['kept']), 100_000, 250_000);
    expect(readdirSync(folder).sort()).toEqual(['README', 'kept', 'newest']);
    evictFeatures(join(folder, 'absent'), new Set(['kept']), 1, 1);
  });
});
