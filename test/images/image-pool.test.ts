import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBatches } from '../../src/data/batches.js';
import { type ImageOrigin, type ImageSource, takeSubset } from '../../src/data/image-items.js';
import { createDirectLoader, type ImageLoader, type ImageTransform } from '../../src/data/image-loader.js';
import { ShiboriError, UsageError } from '../../src/errors.js';
import { decodeImage } from '../../src/images/decode-image.js';
import { countDefaultWorkers, openImageLoader, openPooledLoader } from '../../src/images/image-pool.js';
import { openImageSource } from '../../src/images/image-source.js';
import { type Dataset, openDigits } from '../../src/images/open-dataset.js';
import { makeZip } from '../data/zip.js';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

const exec = promisify(execFile);
/** The compiled thread: a TypeScript source cannot be one. `npm test` builds first. */
const entry = new URL('../../dist/images/image-worker.js', import.meta.url);
const program = (name: string) => new URL(`./workers/${name}.mjs`, import.meta.url);
const files = fileURLToPath(new URL('../golden/data/files', import.meta.url));

const recipe: ImageTransform = {
  preprocess: { size: [24, 20], resize: 'shorter-side', mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25] },
  augmentation: {
    randomResizedCrop: { size: 24, scale: [0.3, 1] },
    horizontalFlip: 0.5,
    colorJitter: { saturation: 0.3, hue: 0.2 },
  },
  seed: 5,
};

let folder = '';
const datasets: Record<string, Dataset> = {};
const opened: ImageLoader[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-pool-'));
  // JPEG, PNG, WebP, TIFF and GIF files, grey and CMYK ones among them; one that is cut off, and one that is no image.
  await cp(files, join(folder, 'images', 'all'), { recursive: true });
  await mkdir(join(folder, 'images', 'bad'));
  const jpeg = readFileSync(join(files, 'baseline.jpg'));
  await writeFile(join(folder, 'images', 'bad', 'cut.jpg'), jpeg.subarray(0, 500));
  await writeFile(join(folder, 'images', 'bad', 'none.png'), 'this is no picture');
  const entries = ['baseline.jpg', 'alpha.png', 'cmyk.jpg'].map((name) => ({
    name: `set/train/${name.length}/${name}`,
    data: readFileSync(join(files, name)),
    deflate: true,
  }));
  await writeFile(
    join(folder, 'set.zip'),
    makeZip([...entries, { name: 'set/train/9/damaged.jpg', data: jpeg, crc: 1 }]),
  );
  datasets.folder = { source: await openImageSource(join(folder, 'images')), decode: decodeImage };
  datasets.zip = { source: await openImageSource(join(folder, 'set.zip')), decode: decodeImage };
  const digits = await openDigits('validation', 3, 12);
  datasets.digits = { ...digits, source: takeSubset(digits.source, [7, 1, 4, 3, 11]) };
});
afterAll(async () => {
  for (const loader of opened) await loader.close();
  for (const { source } of Object.values(datasets)) await source.close?.();
  await rm(folder, { recursive: true, force: true });
});

const datasetOf = (kind: string): Dataset => datasets[kind] ?? expect.unreachable();
const originOf = (source: ImageSource): ImageOrigin => source.origin ?? expect.unreachable();

function pool(kind: string, workers: number, thread = entry, made = recipe): ImageLoader {
  const { source } = datasetOf(kind);
  const loader = openPooledLoader(source, originOf(source), made, workers, thread);
  opened.push(loader);
  return loader;
}

describe('openPooledLoader', () => {
  for (const kind of ['folder', 'zip', 'digits']) {
    it.each([1, 2, 3])(`gives the bits of the main thread: ${kind}, %i threads`, async (workers) => {
      const { source, decode } = datasetOf(kind);
      const direct = createDirectLoader(source, decode, recipe);
      const pooled = pool(kind, workers);
      const all = source.items.map((_, index) => index);
      const asked = [
        [all, 0],
        [all.toReversed(), 3],
        [all.slice(1, 3), 1],
        [[2], 2 ** 31],
        [all, 4],
      ] as const;
      const found = await Promise.all(asked.map(([indices, view]) => pooled.load(indices, view)));
      for (const [i, [indices, view]] of asked.entries()) {
        // Bad images too: the same rows for the same reasons.
        expect(found[i]).toEqual(await direct.load(indices, view));
      }
      const views = new Set(found.map(({ images }) => images.data.subarray(0, 24 * 20).join()));
      expect(views.size).toBe(asked.length);
    });
  }

  it('names the bad images, and only those', async () => {
    const { source } = datasetOf('folder');
    const { bad } = await pool('folder', 2).load([...source.items.keys()], 0);
    expect(bad.map(({ row }) => source.items[row]?.path)).toEqual(['bad/cut.jpg', 'bad/none.png']);
    expect(bad[0]?.reason).toMatch(/"bad\/cut.jpg".*truncated/);
    const zip = await pool('zip', 1).load([0, 1, 2, 3], 0);
    expect(zip.bad).toEqual([{ row: 3, reason: expect.stringMatching(/damaged\.jpg.*checksum is wrong/) }]);
  });

  it('feeds `batches` in order, also when a later batch is ready first', async () => {
    const { source } = datasetOf('folder');
    const order = [4, 0, 3, 1, 2, 5];
    const loader = pool('folder', 1, program('counts'));
    const found = [];
    for await (const batch of loadBatches(source, loader, {
      indices: order,
      batchSize: 1,
      onBad: () => expect.unreachable(),
    })) {
      found.push([batch.indices[0], batch.images.data[0]]);
    }
    expect(found).toEqual(order.map((index) => [index, index]));
  });

  it.each([
    ['exits', /worker thread broke down: it ended with exit code 3.*`workers: 0`/],
    ['throws', /worker thread broke down: no such library/],
  ])('says that a thread broke down instead of waiting for it: one that %s', async (name, message) => {
    const loader = pool('folder', 2, program(name));
    const all = await Promise.allSettled([loader.load([0], 0), loader.load([1], 0), loader.load([2], 0)]);
    for (const result of all) {
      expect(result).toMatchObject({ status: 'rejected', reason: expect.any(ShiboriError) });
      expect(result).toMatchObject({ reason: { message: expect.stringMatching(message) } });
    }
    await expect(loader.load([0], 0)).rejects.toThrow(message);
  });

  it('says that images cannot be had at all, in the words of the main thread', async () => {
    const { source } = datasetOf('digits');
    const digits: ImageOrigin = { kind: 'digits', split: 'test', seed: 3, count: 2 };
    const few = openPooledLoader(source, digits, recipe, 1, entry);
    opened.push(few);
    const { bad } = await few.load([1, 0], 0);
    expect(bad).toEqual([{ row: 1, reason: 'Cluttered digits: there are items 0 to 1, but 7 was asked for.' }]);
    await expect(few.load([99], 0)).rejects.toThrow(UsageError);
    const archive = { ...datasetOf('zip').source, entryOf: () => undefined };
    const lost = openPooledLoader(archive, originOf(archive), recipe, 1, entry);
    opened.push(lost);
    expect((await lost.load([2], 0)).bad).toEqual([
      { row: 0, reason: expect.stringMatching(/has no place in the zip/) },
    ]);
    const gone: ImageOrigin = { kind: 'zip', path: join(folder, 'gone.zip'), root: '' };
    const failing = openPooledLoader(archive, gone, recipe, 1, entry);
    opened.push(failing);
    await expect(failing.load([0], 0)).rejects.toThrow(ShiboriError);
    await expect(failing.load([0], 0)).rejects.toThrow(/gone.zip/);
  });

  it('does not take a mistake of the program for a bad image', async () => {
    const { preprocess } = recipe;
    // Nothing that a type would let through.
    const wrong = { ...recipe, preprocess: { ...preprocess, mean: undefined } };
    const { source } = datasetOf('folder');
    const loader = openPooledLoader(source, originOf(source), JSON.parse(JSON.stringify(wrong)), 1, entry);
    opened.push(loader);
    const failure = loader.load([0], 0);
    await expect(failure).rejects.toThrow(/undefined/);
    await expect(failure).rejects.not.toThrow(ShiboriError);
    await expect(failure).rejects.toMatchObject({ name: 'TypeError', stack: expect.stringContaining('preprocess') });
  });

  it('fails what is still waited for when it is closed', async () => {
    const loader = pool('folder', 1, program('counts'));
    const waiting = expect(loader.load([0], 0)).rejects.toThrow(/their loader was closed/);
    await loader.close();
    await waiting;
    await expect(loader.load([0], 0)).rejects.toThrow(/their loader was closed/);
  });
});

describe('openImageLoader', () => {
  it('loads on the main thread what is little, and what another thread could not decode or read the same way', () => {
    const { source, decode } = datasetOf('folder');
    const { origin: _, ...nowhere } = source;
    expect(openImageLoader({ source, decode }, recipe).workers).toBe(0);
    expect(openImageLoader({ source, decode: async () => expect.unreachable() }, recipe, 2).workers).toBe(0);
    expect(openImageLoader({ source: nowhere, decode }, recipe, 2).workers).toBe(0);
    expect(() => openImageLoader({ source, decode }, recipe, -1)).toThrow(UsageError);
    expect(() => openImageLoader({ source, decode }, recipe, 1.5)).toThrow(/0 or more, found 1.5/);
  });

  it('leaves the engine a core where there are more than two', () => {
    expect([1, 2, 3, 4, 8, 64].map((cores) => countDefaultWorkers(cores))).toEqual([1, 1, 2, 3, 4, 4]);
  });
});

describe('a process with worker threads', () => {
  const run = (script: string) =>
    exec(process.execPath, ['--input-type=module', '--max-old-space-size=64', '-e', script], {
      cwd: folder,
      timeout: 30_000,
    });
  const dist = new URL('../../dist/', import.meta.url);
  const head = `
    import { openImageSource } from ${JSON.stringify(new URL('images/image-source.js', dist))};
    import { decodeImage } from ${JSON.stringify(new URL('images/decode-image.js', dist))};
    import { openImageLoader, openPooledLoader } from ${JSON.stringify(new URL('images/image-pool.js', dist))};
    import { loadBatches as batches } from ${JSON.stringify(new URL('data/batches.js', dist))};
    const source = await openImageSource('set.zip');
    const recipe = ${JSON.stringify(recipe)};
    const loader = openImageLoader({ source, decode: decodeImage }, recipe, 2);
  `;

  it('ends by itself, whether its threads are closed, in the middle of a batch, or neither', async () => {
    const started = `${head} if (loader.workers !== 2) throw new Error('no threads');`;
    const early = `${started}
      for await (const batch of batches(source, loader, { batchSize: 1, onBad() {} })) break;`;
    const none = '';
    for (const script of [`${early} await loader.close();`, early, `${started} loader.load([0], 0);`]) {
      const { stdout, stderr } = await run(script);
      expect([stdout, stderr]).toEqual([none, none]);
    }
  });

  it('waits for its threads, though nothing else keeps it alive', async () => {
    const { stdout } = await run(`${head} console.log((await loader.load([0, 1, 2], 7)).images.dims.join());`);
    expect(stdout).toBe('3,3,24,20\n');
  });

  it('hears of a thread that ran out of memory', async () => {
    const { stdout } = await run(`${head}
      const hungry = openPooledLoader(source, source.origin, recipe, 1, new URL(${JSON.stringify(program('fills-memory'))}));
      await hungry.load([0], 0).catch((error) => console.log(error.name, error.message));`);
    expect(stdout).toMatch(/^ShiboriError .*worker thread broke down: .*memory limit/);
  });

  it('evaluates to the same numbers with and without threads, and says how long it waited', async () => {
    const study = join(folder, 'study');
    await mkdir(study);
    await writeTinyStudy(study);
    const evaluate = async (workers: number) => {
      const args = ['evaluate', 'net.onnx', '--data', 'images', '--batch', '5', '--workers', `${workers}`, '--json'];
      const { code, stdout } = await shibori(args, { cwd: study });
      expect(code).toBe(0);
      const { seconds, imagesPerSecond: _, waiting, workers: used, ...rest } = JSON.parse(stdout);
      expect(used).toBe(workers);
      expect(waiting.seconds).toBeGreaterThan(0);
      expect(waiting.seconds).toBeLessThanOrEqual(seconds);
      expect(waiting.share).toBeCloseTo(waiting.seconds / seconds, 12);
      return rest;
    };
    expect(await evaluate(2)).toEqual(await evaluate(0));
  });

  it('trains to the same bits with and without threads, an unreadable image among the others', async () => {
    const study = join(folder, 'training');
    await mkdir(study);
    await writeTinyStudy(study);
    await writeFile(join(study, 'images', 'star', 'none.png'), 'this is no picture');
    const train = async (workers: number) => {
      const { code, stdout, stderr } = await shibori(
        [
          ...['finetune', 'net.onnx', '--data', 'images', '--validation-data', 'images', '--train', '*', '--augment'],
          ...['--epochs', '2', '--batch', '5', '--threads', '1', '--workers', `${workers}`],
          ...['--work', `work-${workers}`, '--output', `${workers}.onnx`, '--json'],
        ],
        { cwd: study },
      );
      expect(code).toBe(0);
      expect(stderr.match(/skipped star\/none.png/g)).toHaveLength(2);
      return { steps: JSON.parse(stdout).steps, bytes: await readFile(join(study, `${workers}.onnx`)) };
    };
    const [direct, threaded] = [await train(0), await train(3)];
    expect(threaded.steps).toBe(16);
    expect(threaded.bytes.equals(direct.bytes)).toBe(true);
  });
});
