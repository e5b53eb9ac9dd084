import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { runInPieces } from '../../src/engine/pieces.js';
import { chooseTimedBatches } from '../../src/evaluation/measure-speed.js';
import { readNpy } from '../../src/formats/npy.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { findFixedBatch } from '../../src/graph/batch.js';
import type { Graph } from '../../src/graph/model.js';
import { openModel } from '../../src/io/models/model-file.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { finetuneSchema } from '../../src/recipes/recipe.js';
import { seeded } from '../../src/tensor/random.js';
import { float32 } from '../../src/tensor/tensor.js';
import { compare } from '../../src/workflows/compare.js';
import { compress } from '../../src/workflows/compress.js';
import { evaluate } from '../../src/workflows/evaluate.js';
import { explain } from '../../src/workflows/explain.js';
import { finetune } from '../../src/workflows/finetune.js';
import { SIDE, writeImages } from '../support/tiny-recipe.js';

const root = mkdtempSync(join(tmpdir(), 'shibori-fixed-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (name: string) => join(root, name);
const engine = nodeEngine({ threads: 1 });
const preprocess = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
const CHANNELS = 6;
const CLASSES = 3;

const noise = (dims: readonly number[], key: number, scale = 0.4) => {
  const random = seeded(11, key);
  return float32(
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.uniform(-scale, scale)),
    dims,
  );
};

/**
 * A classifier, its batch free or fixed; where it is fixed, channels are scaled by rows of all images at once, so that no
 * Reshape can be freed.
 */
function classifier(batch: number | 'N'): Graph {
  const b = new GraphBuilder();
  const x = b.input('image', 'float32', [batch, 3, SIDE, SIDE]);
  const kernel = b.initializer('conv.weight', noise([CHANNELS, 3, 3, 3], 1));
  const features = b.op(
    'Relu',
    [b.op('Conv', [x, kernel], { pads: [1, 1, 1, 1] }, { name: 'conv' })],
    {},
    { name: 'relu' },
  );
  const scales = Array.from({ length: CHANNELS }, (_, c) => 0.5 + c / 4);
  const size = SIDE * SIDE;
  const scaled =
    batch === 'N'
      ? b.op('Mul', [features, b.initializer('constant/scales', float32(scales, [1, CHANNELS, 1, 1]))])
      : b.op('Mul', [
          b.op('Reshape', [features, b.ints([batch * CHANNELS, size])], {}, { name: 'rows' }),
          b.initializer(
            'constant/scales',
            float32(Array.from({ length: batch }, () => scales).flat(), [batch * CHANNELS, 1]),
          ),
        ]);
  const flat = b.op('Reshape', [scaled, b.ints([batch === 'N' ? 0 : batch, CHANNELS * size])]);
  b.output(
    b.op(
      'Gemm',
      [flat, b.initializer('fc.weight', noise([CLASSES, CHANNELS * size], 2, 0.1))],
      { transB: 1 },
      { name: 'fc' },
    ),
  );
  return b.build('classifier');
}

beforeAll(async () => {
  for (const batch of [1, 4, 'N'] as const) {
    writeFileSync(at(`${batch}.onnx`), writeOnnx({ graph: classifier(batch), opset: 18, domains: {}, metadata: {} }));
  }
  // 27 and 15 images: no multiples of four.
  await writeImages(at('train'), 9);
  await writeImages(at('val'), 5);
});

describe.each([1, 4])('A model that a node holds to a batch of %i', (batch) => {
  const file = at(`${batch}.onnx`);
  const data = { data: at('val'), preprocess };

  it('keeps its batch when it is opened, and a note names the node', async () => {
    const { graph, notes } = await openModel(file);
    expect(findFixedBatch(graph)).toBe(batch);
    expect(notes.join()).toMatch(new RegExp(`The batch is fixed to ${batch}, .*(Reshape)`));
  });

  it('is evaluated as its twin of any batch is', async () => {
    const [fixed, free] = [
      await evaluate({ model: file, ...data, engine }),
      await evaluate({ model: at('N.onnx'), ...data, engine }),
    ];
    expect([fixed.images, fixed.top1Correct]).toEqual([15, free.top1Correct]);
    // The same products, summed by other kernels.
    expect(fixed.nll).toBeCloseTo(free.nll, 5);
  });

  it('is explained as its twin is', async () => {
    const images = ['0', '3', '7', '9', '14'];
    const maps = async (name: string) => {
      const options = { ...data, maps: at(`maps-${name}`), layer: 'relu', target: '1' };
      const { images: found } = await explain({ model: at(`${name}.onnx`), images, ...options, engine });
      return found.map(({ mapFile }) => readNpy(readFileSync(mapFile ?? '')));
    };
    const [fixed, free] = [await maps(`${batch}`), await maps('N')];
    expect(fixed).toHaveLength(5);
    for (const [i, map] of fixed.entries()) {
      for (const [k, value] of map.data.entries()) expect(value).toBeCloseTo(Number(free[i]?.data[k]), 5);
    }
  });

  it('is compared with its twin, and timed at the batch that both can do', async () => {
    const result = await compare({ before: at('N.onnx'), after: file, ...data, layer: 'relu', engine });
    expect(result.accuracy?.top1Drop).toBe(0);
    expect(result.predictions.agreement).toBe(100);
    expect(result.speed.map((figures) => figures.batch)).toEqual([batch]);
    expect(result.size.after.multAdds).toBe(result.size.before.multAdds);
  });

  it('is compressed, and the file that is written runs', async () => {
    const result = await compress({
      model: file,
      data: at('train'),
      preprocess,
      validationData: at('val'),
      goal: { parameters: 0.5 },
      allowSlower: true,
      work: at(`work-${batch}`),
      output: at(`small-${batch}.onnx`),
      engine,
    });
    expect(result.size.ratio.parameters).toBeLessThanOrEqual(0.5);
    expect(result.data.calibrationImages).toBe(27 - (27 % batch));
    expect(result.speed.map((figures) => figures.batch)).toEqual([batch]);
    const again = await evaluate({ model: at(`small-${batch}.onnx`), ...data, engine });
    expect(again.images).toBe(15);
    expect(again.top1Correct).toBe(result.accuracy?.after.top1Correct);
  });

  it('is trained in full batches whose gradients add up, also to learn from a model of another batch', async () => {
    const notes: string[] = [];
    const context = { engine, onNote: (text: string) => void notes.push(text) };
    const plan = finetuneSchema.parse({ train: '*', epochs: 8, batch: 8, learningRate: 3e-3 });
    const files = { data: at('train'), preprocess, validation: { data: at('val') }, work: at(`ft-${batch}`) };
    const trained = await finetune({ model: file, plan, ...files, output: at(`ft-${batch}.onnx`), ...context });
    // 27 images: 4 steps of 8, or 3 of 8 where a batch of 4 leaves 3 images out; the last step takes what is left.
    expect(trained.steps).toBe(8 * Math.ceil((27 - (27 % batch)) / 8));
    expect(notes.join()).toContain(`runs for batches of ${batch} alone: a step adds up the gradients of ${8 / batch}`);
    expect(trained.history.at(-1)?.trainLoss ?? Number.NaN).toBeLessThan(0.7 * (trained.history[0]?.trainLoss ?? 0));
    expect((await evaluate({ model: at(`ft-${batch}.onnx`), ...data, engine })).top1).toBeGreaterThan(60);
    const student = finetuneSchema.parse({ train: '*', epochs: 1, learningRate: 1e-4, distill: { labels: 0 } });
    const taught = await finetune({
      model: at('N.onnx'),
      plan: student,
      ...files,
      teacher: file,
      output: at(`taught-${batch}.onnx`),
      work: at(`taught-${batch}`),
      engine,
    });
    expect(taught.history).toHaveLength(1);
  });
});

describe('Fixed batches', () => {
  it('are timed at the smallest number of images that both models can do in whole batches', () => {
    expect(chooseTimedBatches(classifier('N'), classifier('N'))).toEqual([1, 64]);
    expect(chooseTimedBatches(classifier(4), classifier('N'))).toEqual([4]);
    expect(chooseTimedBatches(classifier(4), classifier(6))).toEqual([12]);
  });

  it('that hold more images than there are to calibrate or train with are refused with both numbers', async () => {
    writeFileSync(at('40.onnx'), writeOnnx({ graph: classifier(40), opset: 18, domains: {}, metadata: {} }));
    const files = { data: at('train'), preprocess, validation: { data: at('val') }, work: at('work-40') };
    const plan = finetuneSchema.parse({ train: '*' });
    await expect(finetune({ model: at('40.onnx'), plan, ...files, output: at('x.onnx'), engine })).rejects.toThrow(
      /batches of 40 images alone, "train" has 27: expected at least 40/,
    );
    const images = { data: at('train'), validationData: at('val'), preprocess, engine };
    await expect(
      compress({ ...images, model: at('40.onnx'), goal: { parameters: 0.5 }, output: at('x.onnx') }),
    ).rejects.toThrow(/batches of 40 images alone, "train" has 27 calibration images/);
  });

  it('get zeros in place of missing images, whose results are left out', async () => {
    const images = float32([1, 2, 3, 4, 5], [5, 1]);
    const seen: number[][] = [];
    const doubled = await runInPieces(images, 2, async (piece) => {
      seen.push([...piece.data]);
      return float32(
        piece.data.map((value) => 2 * value),
        piece.dims,
      );
    });
    expect(seen).toEqual([
      [1, 2],
      [3, 4],
      [5, 0],
    ]);
    expect([doubled.dims, [...doubled.data]]).toEqual([
      [5, 1],
      [2, 4, 6, 8, 10],
    ]);
  });
});
