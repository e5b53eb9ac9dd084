import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { gradient } from '../../src/autodiff/gradient.js';
import { type Engine, runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { gradCam } from '../../src/explain/grad-cam.js';
import { findDefaultLayer, findSpatialLayers } from '../../src/explain/layers.js';
import { finishMaps } from '../../src/explain/map.js';
import { readNpy } from '../../src/formats/npy.js';
import type { Graph } from '../../src/graph/model.js';
import { type OpenedModel, openModel } from '../../src/io/models/model-file.js';
import { rewrite, startRewrite } from '../../src/passes/rewrite.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';

const goldenSchema = z.object({
  opset: z.number(),
  /** `[height, width]` of the images. */
  size: z.tuple([z.number(), z.number()]),
  /** Whether PyTorch's network takes `[N, H, W, C]`, and the golden gradient is laid out so. */
  channelsLast: z.boolean(),
  scores: z.array(z.number()),
  /** The class whose scores, summed over both images, are differentiated. */
  target: z.number(),
  /** Every 23rd element of the input's gradient, and the norm of all. */
  gradient: z.array(z.number()),
  gradientNorm: z.number(),
  /** Raw maps `[N, h, w]`; the first layer is the default. */
  layers: z.array(
    z.object({
      path: z.string(),
      targets: z.array(z.number()),
      dims: z.tuple([z.number(), z.number()]),
      maps: z.array(z.number()),
    }),
  ),
});
type Golden = z.infer<typeof goldenSchema>;

const folder = new URL('../golden/families/', import.meta.url);
const families = readdirSync(folder).flatMap((file) => (file.endsWith('.onnx') ? [file.replace('.onnx', '')] : []));
const STRIDE = 23;
const CLASSES = 7;

/**
 * Goldens are computed in float64 with float32 weights; the engines round every value to float32 (6e-8) in up to about
 * 60 layers on the way forward and as many back. Relative to the largest element; found are up to 2e-6.
 */
const OUTPUT_TOLERANCE = 1e-5;
const GRADIENT_TOLERANCE = 1e-5;
/** Of maps from 0 to 1: the same rounding, stretched by the two scalings to 0…1. Found are up to 5e-6. */
const MAP_TOLERANCE = 2e-5;

const read = (name: string): Golden =>
  goldenSchema.parse(JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')));
const open = (name: string): Promise<OpenedModel> => openModel(new URL(`${name}.onnx`, folder).pathname);

/** The two images `[2, 3, H, W]`: the upper left corner of images.npy, as make.py scales them. */
function images([height, width]: readonly [number, number]): Tensor<'float32'> {
  const { data, dims } = readNpy(readFileSync(new URL('images.npy', folder)));
  const [, , rows = 0, columns = 0] = dims;
  const values: number[] = [];
  for (let plane = 0; plane < 2 * 3; plane++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) values.push((Number(data[(plane * rows + y) * columns + x]) - 128) / 64);
  return float32(values, [2, 3, height, width]);
}

/** Largest difference relative to the largest expected element. */
function difference(found: ArrayLike<number>, expected: readonly number[]): number {
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-6);
  return findLargestDifference(found, expected) / largest;
}

async function scoresOf(engine: Engine, graph: Graph, input: Tensor<'float32'>): Promise<Float32Array> {
  const results = await runOnce(engine, graph, { [graph.inputs[0]?.name ?? '']: input });
  return expectFloat32(results[graph.outputs[0]?.name ?? ''], 'scores').data;
}

/** A graph of two images whose output is the sum of their scores for a class. */
function scoreGraph(graph: Graph, target: number): Graph {
  const [input] = graph.inputs;
  const dims = [2, ...(input?.type?.dims.slice(1) ?? [])];
  const { builder: b, mapValue: of } = startRewrite(graph, { inputDims: { [input?.name ?? '']: dims } });
  const [scores] = graph.outputs.map(of);
  const chosen = b.op('Gather', [scores, b.ints([target])], { axis: 1 });
  b.output(b.op('ReduceSum', [chosen], { keepdims: 0 }));
  return b.build('score');
}

/** `[2, 3, H, W]` as `[2, H, W, 3]`. */
function channelsLast(data: Float32Array, [height, width]: readonly [number, number]): Float32Array {
  const plane = height * width;
  return data.map((_, i) => {
    const [n, place, channel] = [Math.floor(i / (3 * plane)), Math.floor(i / 3) % plane, i % 3];
    return data[(n * 3 + channel) * plane + place] ?? Number.NaN;
  });
}

describe.each(families)('%s, as PyTorch computes it', (name) => {
  const golden = read(name);
  const input = images(golden.size);

  it('opens; only the batch is open', async () => {
    const { graph } = await open(name);
    expect(graph.inputs.map(({ type }) => type?.dims)).toEqual([['N', 3, ...golden.size]]);
    // Further outputs of the file are kept behind the scores.
    expect(graph.outputs[0]?.type?.dims).toEqual(['N', CLASSES]);
    const unknown = graph.nodes.flatMap(({ outputs }) =>
      outputs.filter((output) =>
        output?.type?.dims.some((dim) => !(typeof dim === 'number' || /^(\d+\*)?N$/.test(dim))),
      ),
    );
    expect(unknown.map((value) => `${value?.name} [${value?.type?.dims}]`)).toEqual([]);
  });

  it('scores, on ONNX Runtime and on the reference engine', async () => {
    const { graph } = await open(name);
    expect(difference(await scoresOf(nodeEngine(), graph, input), golden.scores)).toBeLessThan(OUTPUT_TOLERANCE);
    expect(difference(await scoresOf(referenceEngine(), graph, input), golden.scores)).toBeLessThan(OUTPUT_TOLERANCE);
  });

  it('the gradient of a score with respect to the images', async () => {
    const graph = scoreGraph((await open(name)).graph, golden.target);
    const { graph: withGradient, gradients } = gradient(graph, { wrt: graph.inputs });
    const results = await runOnce(nodeEngine(), withGradient, { [graph.inputs[0]?.name ?? '']: input });
    const found = expectFloat32(results[gradients[0]?.name ?? ''], 'gradient');
    expect(found.dims).toEqual(input.dims);
    const data = golden.channelsLast ? channelsLast(found.data, golden.size) : found.data;
    expect(
      difference(
        data.filter((_, i) => i % STRIDE === 0),
        golden.gradient,
      ),
    ).toBeLessThan(GRADIENT_TOLERANCE);
    expect(Math.hypot(...data) / golden.gradientNorm - 1).toBeCloseTo(0, 4);
  });

  it.each(
    golden.layers.map((layer, i) => [layer.path, i === 0 ? 'the default layer' : 'another layer', layer] as const),
  )('Grad-CAM of %s, %s', async (path, which, { targets, dims, maps }) => {
    const { graph } = await open(name);
    const byDefault = which === 'the default layer';
    // The reference explains what the model gives, also where that is a softmax.
    const explainer = await gradCam(nodeEngine(), graph, { score: 'output', ...(byDefault ? {} : { layer: path }) });
    if (byDefault) expect(explainer.layer === path || explainer.layer.endsWith(`.${path}`), explainer.layer).toBe(true);
    const explained = await explainer.explain(input, byDefault ? [] : targets);
    await explainer.dispose();
    expect(explained.map(({ target }) => target)).toEqual(targets);
    const expected = finishMaps(float32(maps, [2, ...dims]), ...golden.size);
    const found = explained.flatMap(({ map }) => [...map.data]);
    expect(difference(found, [...expected.data])).toBeLessThan(MAP_TOLERANCE);
  });

  it('has one default among its layers, on the grid that PyTorch has; without names of nodes, too', async () => {
    const { graph } = await open(name);
    const [chosen, ...others] = findSpatialLayers(graph).filter(({ isDefault }) => isDefault);
    expect(others).toEqual([]);
    expect([chosen?.grid.height, chosen?.grid.width]).toEqual(golden.layers[0]?.dims);
    const unnamed = rewrite({ ...graph, nodes: graph.nodes.map((node) => ({ ...node, name: '' })) });
    expect(findDefaultLayer(unnamed).path).toBe(chosen?.output.name);
  });
});
