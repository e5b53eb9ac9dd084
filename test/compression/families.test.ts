/* Every family of classifiers is squeezed: what PyTorch's exporter writes, not what a test builds. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { compressToBudget } from '../../src/compression/compress-to-budget.js';
import { findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { openModel } from '../../src/io/models/model-file.js';
import { summarizeGraph } from '../../src/models/summary.js';
import { bindSymbolicBatch } from '../../src/passes/free-batch.js';
import { expectFloat32, type Tensor } from '../../src/tensor/tensor.js';
import { random } from './support.js';

const folder = new URL('../golden/families/', import.meta.url);
const families = readdirSync(folder).flatMap((file) => (file.endsWith('.onnx') ? [file.replace('.onnx', '')] : []));
const engine = nodeEngine({ threads: 1 });
const sizeSchema = z.object({ size: z.tuple([z.number(), z.number()]) });
const SHARE = 0.8;

async function scoresOf(graph: Graph, image: Tensor): Promise<Float32Array> {
  const results = await runOnce(engine, graph, { [graph.inputs[0]?.name ?? '']: image });
  return expectFloat32(results[graph.outputs[0]?.name ?? ''], 'scores').data;
}

describe('squeezing', () => {
  it.each(families)('%s keeps the budget, and the names of input and output', async (family) => {
    const { graph } = await openModel(new URL(`${family}.onnx`, folder).pathname);
    const { size } = sizeSchema.parse(JSON.parse(readFileSync(new URL(`${family}.json`, folder), 'utf8')));
    const images = [1, 2, 3].map((key) => random([16, 3, ...size], 5, key));
    const { refused } = findCompressibleLayers(graph);
    const whole = summarizeGraph(graph).parameters;
    const options = { curveSamples: 512, measuredImages: 16, gradientImages: 16 };
    const amount = Math.ceil(SHARE * whole);
    const { graph: squeezed, layers } = await compressToBudget(
      engine,
      graph,
      images,
      { unit: 'parameters', amount },
      { ...options, refit: { samples: 512 } },
    );
    expect(summarizeGraph(squeezed).parameters).toBeLessThanOrEqual(amount);
    expect(layers.some(({ scheme }) => scheme !== undefined)).toBe(true);
    for (const { path, reason, scheme } of layers) expect(scheme !== undefined || reason, path).toBeTruthy();
    for (const { path, reason } of refused) expect(reason, path).not.toBe('');
    expect(squeezed.inputs.map(({ name }) => name)).toEqual(graph.inputs.map(({ name }) => name));
    expect(squeezed.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
    const [image = random([1, 3, ...size], 6)] = images;
    const scores = await scoresOf(squeezed, image);
    expect(scores.every(Number.isFinite)).toBe(true);
  });

  it.each(['swin', 'convnext', 'vit'])('%s finds the linear layers on tokens', async (family) => {
    const { graph } = await openModel(new URL(`${family}.onnx`, folder).pathname);
    const { layers } = findCompressibleLayers(bindSymbolicBatch(graph).graph);
    const onTokens = layers.filter(({ kind, outputSize }) => kind === 'linear' && outputSize[0] > 1);
    expect(onTokens.length).toBeGreaterThan(3);
  });
});
