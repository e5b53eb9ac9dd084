import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { compressModelWithRanks } from '../../src/compression-run/compress-with-ranks.js';
import { findIndexByPath, getItem } from '../../src/data/image-items.js';
import { fitImage, toTensor } from '../../src/data/preprocess.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { evaluateModel } from '../../src/evaluation/evaluate-model.js';
import { explainImages } from '../../src/evaluation/explain-images.js';
import { buildRandomInput } from '../../src/evaluation/measure-speed.js';
import { readNpy } from '../../src/formats/npy.js';
import { type Dataset, openDataset, requirePreprocess } from '../../src/images/open-dataset.js';
import { type OpenedModel, openModel } from '../../src/io/models/model-file.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { summarizeGraph } from '../../src/models/summary.js';
import { rankPlanSchema } from '../../src/recipes/recipe.js';
import { expectFloat32 } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';
import { requires } from '../support/requires.js';
import { hasSharedData, shared } from '../support/shared-data.js';

const reference = z.array(
  z.object({
    file: z.string(),
    predicted: z.number(),
    target: z.number(),
    map: z.string(),
    logProbabilitiesOfFirstFive: z.array(z.number()),
  }),
);
const accuracy = z.object({ images: z.number(), top1Correct: z.number(), top5Correct: z.number(), nll: z.number() });

/** The bound on the difference to PyTorch's maps; float32 sums in another order give about 1e-5. */
const MAP_TOLERANCE = 1e-3;
/** Log-probabilities are given with six digits after the point; sums of 25,088 float32 products round a little more. */
const LOG_PROBABILITY_TOLERANCE = 2e-5;
/** float32 rounding of log-probabilities down to −20 after 16 layers. */
const FLOAT32_ROUNDING = 1e-4;

const study = {
  'classifier.0': { in: [112, 224], out: [16, 32], bonds: [16, 100, 150] },
  'classifier.4': { in: [16, 32], out: [16, 32], bonds: [16, 100, 32] },
};
const fullRank = {
  'classifier.0': { in: [112, 224], out: [16, 32] },
  'classifier.4': { in: [16, 32], out: [16, 32] },
};

describe('the study’s VGG16, a real PyTorch file', requires('shared data', hasSharedData), () => {
  let model: OpenedModel;
  let validation: Dataset;
  let folder: string;
  beforeAll(async () => {
    model = await openModel(shared('tiny-imagenet-vgg-finetuned.pt'));
    validation = await openDataset({ data: shared('split-val.txt') });
    folder = await mkdtemp(join(tmpdir(), 'shibori-'));
  });
  afterAll(async () => {
    await validation?.source.close?.();
    if (folder) await rm(folder, { recursive: true });
  });

  const outputOf = async (graph: OpenedModel['graph'], batch: number) => {
    const results = await runOnce(nodeEngine(), graph, buildRandomInput(graph, batch));
    return expectFloat32(results[graph.outputs[0]?.name ?? ''], 'output').data;
  };
  const compressed = (layers: Readonly<Record<string, object>>, execution: 'factored' | 'rebuilt' = 'rebuilt') =>
    compressModelWithRanks(model, rankPlanSchema.parse({ layers, execution }), { train: ['classifier.*'] });

  it('is summarised to the digit', () => {
    const summary = summarizeGraph(model.graph, { trains: (name) => name.includes('classifier') });
    expect(summary.parameters).toBe(27_927_560);
    expect(summary.frozen).toBe(14_714_688);
    expect((summary.multAdds / 1e9).toFixed(2)).toBe('1.27');
    expect(summary.layers.find(({ name }) => name === 'vgg16.features.29')?.outputShape).toEqual([1, 512, 4, 4]);
  });

  it('gets exactly the accuracy that PyTorch measured', { timeout: 600_000 }, async () => {
    const expected = accuracy.parse(JSON.parse(readFileSync(shared('reference', 'accuracy.json'), 'utf8')));
    const found = await evaluateModel(model, validation);
    expect(found).toMatchObject({
      images: expected.images,
      top1Correct: expected.top1Correct,
      top5Correct: expected.top5Correct,
      skipped: [],
    });
    expect(Math.abs(found.nll - expected.nll)).toBeLessThan(1e-5);
  });

  it('is explained as PyTorch explains it: all reference maps, predictions and log-probabilities', async () => {
    const cases = reference.parse(JSON.parse(readFileSync(shared('reference', 'grad-cam.json'), 'utf8')));
    const entries = await Promise.all(
      cases.map(async ({ file, target }) => {
        const index = findIndexByPath(validation.source, file);
        const { path } = getItem(validation.source, index);
        return { file, target, image: await validation.decode(await validation.source.read(index), path) };
      }),
    );
    const { layer, images } = await explainImages(model, entries, { names: [] });
    expect(layer).toBe('vgg16.features.29');
    for (const [i, { map, predicted }] of images.entries()) {
      const golden = expectFloat32(readNpy(readFileSync(shared('reference', cases[i]?.map ?? ''))), 'map');
      expect(map.dims).toEqual([64, 64]);
      expect(findLargestDifference(map.data, golden.data), cases[i]?.file).toBeLessThan(MAP_TOLERANCE);
      expect(predicted).toBe(cases[i]?.predicted);
    }
    const preprocess = requirePreprocess(model.graph, model.info);
    const pixels = toTensor(
      entries.map(({ image }) => fitImage(image, preprocess)),
      preprocess,
    );
    const results = await runOnce(nodeEngine(), model.graph, { [model.graph.inputs[0]?.name ?? '']: pixels });
    const { data, dims } = expectFloat32(results[model.graph.outputs[0]?.name ?? ''], 'output');
    expect(dims).toEqual([cases.length, 200]);
    for (const [i, { file, logProbabilitiesOfFirstFive: expected }] of cases.entries()) {
      const found = data.subarray(i * 200, i * 200 + 5);
      expect(findLargestDifference(found, expected), file).toBeLessThan(LOG_PROBABILITY_TOLERANCE);
    }
  });

  it.each(['rebuilt', 'factored'] as const)(
    'keeps its outputs at full rank (%s), with the study’s counts',
    async (execution) => {
      const { model: squeezed, report } = await compressed(fullRank, execution);
      expect(report.after).toMatchObject({ parameters: 28_503_560, trainable: 13_788_872, frozen: 14_714_688 });
      expect(report.before).toMatchObject({ parameters: 27_927_560, trainable: 13_212_872, frozen: 14_714_688 });
      expect(findLargestDifference(await outputOf(squeezed.graph, 3), await outputOf(model.graph, 3))).toBeLessThan(
        FLOAT32_ROUNDING,
      );
    },
  );

  it('has the study’s counts at its bond dimensions, and both executions agree', async () => {
    const { model: rebuilt, report } = await compressed(study);
    expect(report.after).toMatchObject({ parameters: 16_689_096, trainable: 1_974_408, frozen: 14_714_688 });
    for (const { error, bound } of report.layers) expect(error).toBeLessThanOrEqual(bound);
    const { model: factored } = await compressed(study, 'factored');
    expect(findLargestDifference(await outputOf(factored.graph, 3), await outputOf(rebuilt.graph, 3))).toBeLessThan(
      FLOAT32_ROUNDING,
    );
  });

  it('also squeezes classifier.8, and takes the paired layout', async () => {
    const { model: squeezed, report } = await compressed({
      'classifier.8': { in: [16, 32], out: [10, 20] },
      'classifier.4': { layout: 'tt-matrix', in: [16, 32], out: [16, 32] },
    });
    expect(report.layers.map(({ error }) => error)).toEqual([0, 0]);
    expect(findLargestDifference(await outputOf(squeezed.graph, 3), await outputOf(model.graph, 3))).toBeLessThan(
      FLOAT32_ROUNDING,
    );
  });

  it.each(['onnx', 'safetensors', 'pt'])('comes back the same from .%s, squeezed', async (extension) => {
    const { model: squeezed } = await compressed(study);
    const file = join(folder, `squeezed.${extension}`);
    await saveModel(squeezed, file);
    const again = await openModel(file);
    expect(again.info.layers?.map(({ path, bonds }) => [path, bonds])).toEqual([
      ['vgg16.classifier.0', [16, 100, 150]],
      ['vgg16.classifier.4', [16, 100, 32]],
    ]);
    expect(findLargestDifference(await outputOf(again.graph, 2), await outputOf(squeezed.graph, 2))).toBeLessThan(
      FLOAT32_ROUNDING,
    );
  });
});
