import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { listParameters } from '../../src/graph/parameters.js';
import { openModel } from '../../src/io/models/model-file.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { type StorageType, storeWeights } from '../../src/passes/store-weights.js';
import { expectFloat32 } from '../../src/tensor/tensor.js';
import { random } from '../compression/support.js';
import { findLargestDifference } from '../support/differences.js';

const families = join(import.meta.dirname, '../golden/families');
const engine = nodeEngine({ threads: 1 });

/**
 * Largest error of the scores, as a share of the largest score. A weight in float16 is off by at most 2⁻¹² of itself on
 * average; one in int8 by up to 1/254 of its channel's largest. Such errors of some twenty layers add up as random
 * numbers do, to a few times that.
 */
const ERRORS = { float16: 2e-3, int8: 5e-2 } as const;
/** Widening is exact: what is left is float32 sums in another order, where the runtime fuses other nodes. */
const REOPENED = 1e-5;
/** Bytes of an element. */
const WIDTHS = { float16: 2, int8: 1 } as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-store-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(['float16', 'int8'] as const)('weights stored as %s', (type: Exclude<StorageType, 'float32'>) => {
  it.each(['resnet-basic', 'convnext', 'vit'])('%s: small, near, and the same when opened again', async (name) => {
    const model = await openModel(join(families, `${name}.onnx`));
    const dims = model.graph.inputs[0]?.type?.dims.map((dim) => (typeof dim === 'number' ? dim : 4)) ?? [];
    const images = random(dims, 5);
    const scoresOf = async (graph: typeof model.graph) => {
      const results = await runOnce(engine, graph, { [graph.inputs[0]?.name ?? '']: images });
      return expectFloat32(results[graph.outputs[0]?.name ?? ''], 'scores').data;
    };
    const { graph } = storeWeights(model.graph, type);
    const float = await saveModel(model, join(folder, 'float.onnx'));
    const small = await saveModel({ ...model, graph }, join(folder, `${name}-${type}.onnx`));
    const again = await openModel(small.file);
    const [before, stored, reopened] = [
      await scoresOf(model.graph),
      await scoresOf(graph),
      await scoresOf(again.graph),
    ];
    const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const difference = (a: Float32Array, b: Float32Array) => findLargestDifference(a, b) / largest;
    expect(difference(before, stored)).toBeLessThan(ERRORS[type]);
    expect(difference(before, stored)).toBeGreaterThan(0);
    expect(difference(stored, reopened)).toBeLessThan(REOPENED);
    const saved = [...graph.initializers.values()]
      .filter(({ dtype }) => dtype === type)
      .reduce((sum, { data }) => sum + (4 - WIDTHS[type]) * data.length, 0);
    const total = listParameters(model.graph).reduce((sum, { tensor }) => sum + 4 * tensor.data.length, 0);
    // Nearly every weight of these is in a convolution or a product; what is below 256 elements stays.
    expect(saved).toBeGreaterThan(0.7 * (1 - WIDTHS[type] / 4) * total);
    expect(small.sizeBytes).toBeLessThan(float.sizeBytes);
    const names = (each: typeof model.graph) =>
      listParameters(each)
        .map((parameter) => parameter.name)
        .sort();
    expect(names(again.graph)).toEqual(names(model.graph));
    for (const { tensor } of listParameters(again.graph)) expect(tensor.dtype).toBe('float32');
  });
});

it('float32 leaves a graph as it is', async () => {
  const { graph } = await openModel(join(families, 'vit.onnx'));
  expect(storeWeights(graph, 'float32').graph).toBe(graph);
});
