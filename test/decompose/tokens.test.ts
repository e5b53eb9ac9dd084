/* Every linear layer of transformers that PyTorch exports, as a tensor train of full rank: the network stays what it was. */
import { describe, expect, it } from 'vitest';
import { findCompressibleLayers } from '../../src/compression/compressible-layers.js';
import { decomposeLinear, type LinearTrain, replaceLinears } from '../../src/decompose/decompose-linear.js';
import { suggestModes } from '../../src/decompose/factorization.js';
import { withExecution } from '../../src/decompose/index.js';
import { findTtDescriptors, type TtLayer } from '../../src/decompose/tt-layer.js';
import { runOnce } from '../../src/engine/engine.js';
import { engineProducts } from '../../src/engine/matrix-products.js';
import { nodeEngine } from '../../src/engine/node.js';
import { findDefaultLayer } from '../../src/explain/layers.js';
import type { Graph } from '../../src/graph/model.js';
import { openModel } from '../../src/io/models/model-file.js';
import { expectFloat32 } from '../../src/tensor/tensor.js';
import { random } from '../compression/support.js';
import { findLargestDifference } from '../support/differences.js';

const engine = nodeEngine({ threads: 1 });
const folder = new URL('../golden/families/', import.meta.url);
/** Of the largest score: up to a dozen layers of float32 products in another order. */
const SAME = 1e-4;

async function difference(before: Graph, after: Graph): Promise<number> {
  let worst = 0;
  for (const batch of [1, 5]) {
    const dims = (before.inputs[0]?.type?.dims ?? []).map((dim) => (typeof dim === 'number' ? dim : batch));
    const feeds = { [before.inputs[0]?.name ?? '']: random(dims, 3, batch) };
    const [a, b] = await Promise.all(
      [before, after].map(async (graph) => {
        const results = await runOnce(engine, graph, feeds);
        return expectFloat32(results[graph.outputs[0]?.name ?? ''], 'scores');
      }),
    );
    expect(b?.dims).toEqual(a?.dims);
    const most = a?.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) ?? Number.NaN;
    worst = Math.max(worst, findLargestDifference(a?.data ?? [], b?.data ?? []) / most);
  }
  return worst;
}

describe.each(['vit', 'vit-hybrid', 'vit-dropping', 'swin'])('%s', (family) => {
  const load = async () => (await openModel(new URL(`${family}.onnx`, folder).pathname)).graph;

  it('names the projections into and out of attention', async () => {
    const paths = findCompressibleLayers(await load()).layers.map(({ path }) => path);
    expect(new Set(paths).size).toBe(paths.length);
    const projections = paths.filter((path) => /\.(in_proj|out_proj|qkv|proj)$/.test(path));
    expect(projections.length).toBeGreaterThanOrEqual(4);
  });

  it('computes the same at batch 1 and 5 with every linear layer a tensor train, however these run', async () => {
    const graph = await load();
    const linear = findCompressibleLayers(graph).layers.filter(
      ({ kind, outputs }) => kind === 'linear' && outputs % 2 === 0,
    );
    const products = engineProducts(engine);
    const trains: LinearTrain[] = [];
    for (const { path, inputs, outputs } of linear) {
      const request = { layout: 'tt', inModes: suggestModes(inputs, 2), outModes: suggestModes(outputs, 2) } as const;
      trains.push(await decomposeLinear(graph, path, request, products));
    }
    await products.dispose();
    expect(trains.length).toBeGreaterThanOrEqual(8);
    const factored = replaceLinears(graph, trains, () => 'factored');
    expect(findTtDescriptors(factored).map(({ path }) => path)).toEqual(linear.map(({ path }) => path));
    const all = trains.map(({ descriptor }): TtLayer => ({ ...descriptor, execution: 'rebuilt' }));
    const rebuilt = withExecution(factored, all);
    const trained = withExecution(
      factored,
      all.map((layer): TtLayer => ({ ...layer, execution: 'factored' })),
      {
        batch: 8,
        trained: true,
      },
    );
    for (const after of [factored, rebuilt, trained]) {
      expect(await difference(graph, after)).toBeLessThan(SAME);
      expect(findDefaultLayer(after).path).toBe(findDefaultLayer(graph).path);
      expect(findDefaultLayer(after).grid).toEqual(findDefaultLayer(graph).grid);
    }
  });
});
