import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../src/context/run-context.js';
import { type CompressToGoalOptions, compress } from '../../src/workflows/compress.js';
import { sweep } from '../../src/workflows/sweep.js';
import { shibori } from '../support/shibori.js';
import { writeImages, writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-goes-on-'));
  files = await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Options of a compression in a work folder of its own. */
const optionsOf = (name: string) => ({
  model: files.onnx,
  data: files.images,
  goal: { parameters: 0.6 },
  finetuneEpochs: 1,
  control: true,
  allowSlower: true,
  inputSize: [8, 8] as const,
  output: join(folder, `${name}.onnx`),
  work: join(folder, `${name}-work`),
  report: join(folder, `${name}-work`),
  threads: 1,
  workers: 0,
});

/** Compresses in a work folder, and lists the phases. */
async function run(
  name: string,
  options: Partial<CompressToGoalOptions> = {},
  signal?: AbortSignal,
  onPhase?: (event: ProgressEvent) => void,
  fresh = false,
) {
  const events: string[] = [];
  const result = await compress({
    ...optionsOf(name),
    ...options,
    fresh,
    onProgress: (event) => {
      events.push(`${event.phase} ${event.fields?.layer ?? ''}`.trim());
      onPhase?.(event);
    },
    ...(signal ? { signal } : {}),
  });
  return { result, events };
}

describe('a compression that was stopped', () => {
  it('resumes, and ends with the same file', async () => {
    const whole = await run('whole');
    const { before, after, ratio } = whole.result.size;
    const sizes = await readFile(join(folder, 'whole-work', 'figures', 'sizes.csv'), 'utf8');
    expect(sizes.split(/\r?\n/)[1]).toBe(
      `parameters,${before.parameters},${after.parameters},${100 * ratio.parameters}`,
    );
    const controller = new AbortController();
    const stopped = run('parts', {}, controller.signal, ({ phase, done }) => {
      // After the first layer was analysed.
      if (phase === 'curves' && done === 1) controller.abort();
    });
    await expect(stopped).rejects.toThrow('aborted');
    expect(existsSync(join(folder, 'parts.onnx'))).toBe(false);
    expect(readdirSync(join(folder, 'parts-work')).some((name) => name.startsWith('layer-'))).toBe(true);
    const { events } = await run('parts');
    expect(whole.events).toContain('curves net.features.0');
    expect(events).not.toContain('curves net.features.0');
    expect(await readFile(join(folder, 'parts.onnx'))).toEqual(await readFile(join(folder, 'whole.onnx')));
    const again = await run('parts');
    expect(again.events.some((stage) => /curves|refit|epoch|evaluate/.test(stage))).toBe(false);
  });

  it('computes damaged files again', async () => {
    await run('damaged');
    const work = join(folder, 'damaged-work');
    for (const name of readdirSync(work).filter((each) => each.startsWith('layer-') || each.startsWith('squeezed-'))) {
      await writeFile(join(work, name), 'no longer what it was');
    }
    const before = await readFile(join(folder, 'damaged.onnx'));
    const { events } = await run('damaged');
    expect(events).toContain('curves net.features.0');
    expect(await readFile(join(folder, 'damaged.onnx'))).toEqual(before);
  });

  it('starts over when asked to, and leaves the files of others', async () => {
    await run('over');
    const work = join(folder, 'over-work');
    await writeFile(join(work, 'notes.txt'), 'mine');
    const { events } = await run('over', {}, undefined, undefined, true);
    expect(events).toContain('curves net.features.0');
    expect(await readFile(join(work, 'notes.txt'), 'utf8')).toBe('mine');
  });

  it('begins a search at the size that was asked for before, without compressing to it again', async () => {
    const { result: before } = await run('search');
    const refitted = (events: readonly string[]) => events.filter((stage) => stage === 'refit net.features.0').length;
    const { result, events } = await run('search', { goal: { accuracyDrop: 99 } });
    const [first, ...others] = result.trials;
    expect(first?.share).toBeCloseTo(before.size.ratio.parameters, 10);
    expect(first?.top1Drop).toBe(before.accuracy?.top1Drop);
    expect(refitted(events)).toBeLessThanOrEqual(others.length);
  });

  it('measures control and given ranks again on other images', async () => {
    await writeImages(join(folder, 'others'), 4);
    const measured = async (validation: string, name: string) => {
      const { control, byHand } = await compress({
        ...optionsOf(name),
        baselinePlan: files.plan,
        validationData: validation,
        work: join(folder, 'others-work'),
      });
      return [control?.accuracy?.images, byHand?.accuracy?.images];
    };
    expect(await measured(files.images, 'first')).toEqual([36, 36]);
    expect(await measured(join(folder, 'others'), 'second')).toEqual([12, 12]);
  });

  it('states the control, and draws a page', async () => {
    const { result } = await run('control', { baselinePlan: files.plan });
    expect(result.control?.accuracy?.images).toBe(result.accuracy?.after.images);
    expect(result.byHand?.size.ratio.parameters).toBe(716 / 955);
    const page = await readFile(result.page ?? '', 'utf8');
    expect(page).toContain('control: dense, trained alike');
    expect(page).toContain('by hand');
    expect(page.match(/<svg/g)?.length).toBeGreaterThan(2);
  });
});

describe('sweep', () => {
  const swept = (parameters: readonly number[], onProgress?: (event: ProgressEvent) => void) =>
    sweep({
      model: files.onnx,
      data: files.images,
      limits: { parameters },
      baselinePlan: files.plan,
      inputSize: [8, 8],
      output: join(folder, 'curve'),
      report: join(folder, 'curve'),
      work: join(folder, 'curve-work'),
      jobs: 1,
      threads: 1,
      workers: 0,
      ...(onProgress ? { onProgress } : {}),
    });

  it('makes a model of each size, and resumes with those that exist', async () => {
    const { points, page } = await swept([0.001, 0.5, 0.7]);
    expect(points[0]?.smallest).toBe(123);
    expect(points[0]?.reached).toBeUndefined();
    for (const [i, share] of [0.5, 0.7].entries()) {
      const { reached } = points[i + 1] ?? {};
      expect(reached?.size.ratio.parameters).toBeLessThanOrEqual(share);
      expect(existsSync(reached?.file ?? '')).toBe(true);
    }
    expect(await readFile(page ?? '', 'utf8')).toContain('by hand');
    // The CSV file holds plain numbers, and nothing for what could not be reached.
    const csv = await readFile(join(folder, 'curve', 'figures', 'points.csv'), 'utf8');
    const [, ...lines] = csv.trim().split(/\r?\n/);
    const cells = lines.map((line) => line.split(',').slice(1));
    expect(cells[0]?.join('')).toBe('');
    for (const i of [1, 2]) {
      const { size, accuracy, agreement, divergence } = points[i]?.reached ?? {};
      expect(Number(cells[i]?.[0])).toBe(size?.after.parameters);
      expect([cells[i]?.[5], cells[i]?.[7], cells[i]?.[8]].map(Number)).toEqual([
        accuracy?.top1,
        agreement,
        divergence,
      ]);
      expect(cells[i]?.map(Number).every(Number.isFinite)).toBe(true);
    }
    const stages = new Set<string>();
    const again = await swept([0.5, 0.7, 0.8], ({ phase }) => stages.add(phase));
    expect(again.points.slice(0, 2)).toEqual(points.slice(1));
    expect(stages.has('curves')).toBe(false);
  });

  it('makes points side by side to the same figures, as a process', async () => {
    const { points } = await swept([0.5, 0.7]);
    const { code, stdout, stderr } = await shibori([
      'sweep',
      files.onnx,
      '--data',
      files.images,
      '--input',
      '3,8,8',
      '--params',
      '50%,70%',
      '--jobs',
      '2',
      '--threads',
      '2',
      '-o',
      join(folder, 'side'),
      '--work',
      join(folder, 'side-work'),
      '--json',
    ]);
    expect(code, stderr).toBe(0);
    const found = JSON.parse(stdout);
    expect(found.jobs).toBe(2);
    expect(found.points.map((point: (typeof points)[number]) => point.reached?.accuracy)).toEqual(
      points.map(({ reached }) => reached?.accuracy),
    );
  });

  it('refuses sizes of two kinds, and no jobs', async () => {
    const two = await shibori(['sweep', files.onnx, '--data', files.images, '--params', '10%', '--macs', '10%']);
    expect([two.code, two.stderr]).toEqual([2, expect.stringContaining('one kind')]);
    const none = await shibori(['sweep', files.onnx, '--data', files.images, '--params', '10%', '--jobs', '0']);
    expect(none.code).toBe(2);
  });
});
