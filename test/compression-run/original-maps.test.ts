import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { splitDatasets } from '../../src/compression-run/compression-images.js';
import { openCompressionSession } from '../../src/compression-run/compression-session.js';
import type { Engine } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { compareMaps } from '../../src/evaluation/compare-maps.js';
import { type OpenedDataset, openDataset } from '../../src/images/open-dataset.js';
import { openModel } from '../../src/io/models/model-file.js';
import { noWorkCache, openWorkCache, type WorkCache } from '../../src/io/work-cache.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { tinyShape, writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
let dataset: OpenedDataset;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-original-maps-'));
  files = await writeTinyStudy(folder);
  dataset = await openDataset({ data: files.images });
});
afterAll(async () => {
  await dataset.close();
  await rm(folder, { recursive: true, force: true });
});

/** Makes an engine that counts its runs, those of Grad-CAM graphs and all others. */
function countRuns(): { readonly engine: Engine; readonly runs: { maps: number; others: number } } {
  const inner = nodeEngine({ threads: 1 });
  const runs = { maps: 0, others: 0 };
  const engine: Engine = {
    name: inner.name,
    async load(graph) {
      const kind = graph.outputs.some(({ name }) => name === 'grad-cam/gradient') ? 'maps' : 'others';
      const session = await inner.load(graph);
      return {
        run: (feeds, into) => {
          runs[kind]++;
          return session.run(feeds, into);
        },
        dispose: () => session.dispose(),
        [Symbol.asyncDispose]: () => session.dispose(),
      };
    },
  };
  return { engine, runs };
}

/** Builds a candidate of its own weights. */
const buildCandidate = (seed: number) => ({
  graph: buildInitialVgg(tinyShape, seed),
  info: { architecture: 'vgg' as const },
});

/** Opens a session of which nothing is computed yet, and measures candidates. */
async function measureCandidates(seeds: readonly number[], cache: WorkCache) {
  const { engine, runs } = countRuns();
  const original = await openModel(files.onnx);
  const session = await openCompressionSession(
    original,
    splitDatasets(dataset, dataset, 42),
    { goal: { kind: 'params', most: { share: 0.5 } } },
    { engine, workers: 0 },
    cache,
  );
  const beforeLoss = { ...runs };
  const losses = [];
  for (const seed of seeds)
    losses.push(await session.measureLoss(`candidate ${seed}`, async () => buildCandidate(seed)));
  return { original, losses, maps: runs.maps - beforeLoss.maps, others: runs.others - beforeLoss.others };
}

describe('the original of a compression', () => {
  it('is explained and evaluated once for several candidates', async () => {
    const { maps, others } = await measureCandidates([8, 9, 10], noWorkCache);
    // 36 images are one batch: one run for each candidate, and one for the original.
    expect({ maps, others }).toEqual({ maps: 4, others: 4 });
  });

  it('is not explained again where the work folder has its maps', async () => {
    const cache = openWorkCache(join(folder, 'work'));
    const first = await measureCandidates([8], cache);
    expect([first.maps, first.others]).toEqual([2, 2]);
    const second = await measureCandidates([9, 10], cache);
    expect([second.maps, second.others]).toEqual([2, 2]);
    const again = await measureCandidates([8, 9, 10], cache);
    expect([again.maps, again.others]).toEqual([0, 0]);
    const computed = await measureCandidates([8, 9, 10], noWorkCache);
    expect(again.losses).toEqual(computed.losses);
  });

  it('has the agreement of maps that compare finds', async () => {
    const { original, losses } = await measureCandidates([8, 9], noWorkCache);
    for (const [i, seed] of [8, 9].entries()) {
      const compared = await compareMaps(original, buildCandidate(seed), dataset, [], {}, { engine: nodeEngine() });
      expect(losses[i]?.maps).toEqual(compared.figures);
      expect(losses[i]?.maps?.images).toBe(36);
    }
  });
});
