/* Where tokens lie on the image: followed through the graph, never concluded from their number. */
import { describe, expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { gradCam } from '../../src/explain/grad-cam.js';
import { findDefaultLayer, findNamedLayer, findSpatialLayers } from '../../src/explain/layers.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { random } from '../compression/support.js';

const DIM = 4;

/** Patches of a convolution as tokens `[N, rows·columns, 4]`, then what a test makes of them, and the mean's scores. */
function network(
  [rows, columns]: readonly [number, number],
  build: (b: GraphBuilder, tokens: Value, weight: (...dims: number[]) => Value) => Value,
): Graph {
  const b = new GraphBuilder();
  let key = 0;
  const weight = (...dims: number[]): Value => b.initializer(`w${++key}`, random(dims, 3, key));
  const images = b.input('images', 'float32', ['N', 3, 2 * rows, 2 * columns]);
  const patches = b.op('Conv', [images, weight(DIM, 3, 2, 2)], { strides: [2, 2] }, { name: 'patches' });
  const flat = b.op('Reshape', [patches, b.ints([0, DIM, rows * columns])], {}, { name: 'flat' });
  const tokens = b.op('Transpose', [flat], { perm: [0, 2, 1] }, { name: 'tokens' });
  const last = build(b, tokens, weight);
  const mean = b.op('ReduceMean', [last, b.ints([1])], { keepdims: 0 }, { name: 'mean' });
  b.output(b.op('MatMul', [mean, weight(DIM, 5)], {}, { name: 'fc' }));
  return b.build('tokens');
}

const gridOf = (graph: Graph, path: string) => findSpatialLayers(graph).find((layer) => layer.path === path)?.grid;
const scaled = (b: GraphBuilder, x: Value, weight: Value, name: string) => b.op('Mul', [x, weight], {}, { name });
const indices = (count: number, at: (i: number) => number) => Array.from({ length: count }, (_, i) => at(i));

describe('the place of tokens', () => {
  it.each([
    [[4, 6], 3, 0],
    [[4, 6], 0, 1],
    [[4, 6], 1, 8],
    [[5, 3], 4, 1],
    [[3, 8], 1, 0],
  ] as const)(
    'is known for %j patches, %i tokens before and %i behind, whatever square numbers say',
    (grid, before, behind) => {
      const graph = network(grid, (b, tokens, weight) => {
        // As exporters write it: constants expanded to the batch.
        const extra = (count: number) =>
          b.op('Expand', [
            weight(1, count, DIM),
            b.op('Concat', [b.op('Slice', [b.op('Shape', [tokens]), b.ints([0]), b.ints([1])]), b.ints([1, 1])], {
              axis: 0,
            }),
          ]);
        const parts = [...(before ? [extra(before)] : []), tokens, ...(behind ? [extra(behind)] : [])];
        const all = b.op('Concat', parts, { axis: 1 }, { name: 'all' });
        return scaled(b, b.op('Add', [all, weight(1, before + grid[0] * grid[1] + behind, DIM)]), weight(DIM), 'last');
      });
      expect(gridOf(graph, 'last')).toEqual({
        layout: 'tokens',
        channels: DIM,
        height: grid[0],
        width: grid[1],
        prefix: before,
      });
      expect(findDefaultLayer(graph).path).toBe('last');
    },
  );

  it('follows a permutation of tokens', () => {
    const permutation = indices(24, (i) => (i * 5) % 24);
    const graph = network([4, 6], (b, tokens, weight) => {
      const shuffled = b.op('Gather', [tokens, b.ints(permutation)], { axis: 1 });
      return scaled(b, shuffled, weight(DIM), 'last');
    });
    const order = gridOf(graph, 'last')?.order;
    expect(order?.map((entry) => permutation[entry])).toEqual(indices(24, (i) => i));
  });

  it('follows a map that is rolled', () => {
    const graph = network([4, 6], (b, tokens, weight) => {
      const map = b.op('Reshape', [tokens, b.ints([0, 4, 6, DIM])]);
      const part = (from: number, to: number) => b.op('Slice', [map, b.ints([from]), b.ints([to]), b.ints([1])]);
      const rolled = scaled(b, b.op('Concat', [part(1, 4), part(0, 1)], { axis: 1 }), weight(DIM), 'rolled');
      return scaled(b, b.op('Reshape', [rolled, b.ints([0, 24, DIM])]), weight(DIM), 'last');
    });
    // Row 0 of the image is the last row of the rolled map.
    for (const path of ['rolled', 'last']) {
      expect(gridOf(graph, path)?.order).toEqual(indices(24, (i) => (i + 18) % 24));
    }
  });

  it('comes back where windows of a map are joined again', () => {
    const graph = network([4, 6], (b, tokens, weight) => {
      const perm = [0, 1, 3, 2, 4, 5];
      const split = b.op('Reshape', [tokens, b.ints([0, 2, 2, 3, 2, DIM])]);
      const windows = b.op('Reshape', [b.op('Transpose', [split], { perm }), b.ints([-1, 4, DIM])]);
      const mixed = scaled(b, windows, weight(DIM), 'windows');
      const back = b.op('Transpose', [b.op('Reshape', [mixed, b.ints([-1, 2, 3, 2, 2, DIM])])], { perm });
      return scaled(b, b.op('Reshape', [back, b.ints([-1, 24, DIM])]), weight(DIM), 'last');
    });
    expect(gridOf(graph, 'windows')).toBeUndefined();
    expect(gridOf(graph, 'last')).toEqual({ layout: 'tokens', channels: DIM, height: 4, width: 6, prefix: 0 });
  });

  it('halves the grid where the pixels of four patches are merged', () => {
    const graph = network([4, 6], (b, tokens, weight) => {
      const map = b.op('Reshape', [tokens, b.ints([0, 4, 6, DIM])]);
      const part = (y: number, x: number) =>
        b.op('Slice', [map, b.ints([y, x]), b.ints([4, 6]), b.ints([1, 2]), b.ints([2, 2])]);
      const merged = b.op('Concat', [part(0, 0), part(1, 0), part(0, 1), part(1, 1)], { axis: 3 });
      const rows = b.op('Reshape', [merged, b.ints([0, 6, 4 * DIM])]);
      return b.op('MatMul', [rows, weight(4 * DIM, DIM)], {}, { name: 'last' });
    });
    expect(gridOf(graph, 'last')).toEqual({ layout: 'tokens', channels: DIM, height: 2, width: 3, prefix: 0 });
  });

  it('gives the same map before and behind a permutation', async () => {
    const permutation = indices(24, (i) => (i * 7) % 24);
    const build = (shuffle: boolean) =>
      network([4, 6], (b, tokens, weight) => {
        const w = weight(DIM);
        const x = shuffle ? b.op('Gather', [tokens, b.ints(permutation)], { axis: 1 }) : tokens;
        return scaled(b, x, w, 'last');
      });
    const input = random([2, 3, 8, 12], 9);
    const maps = [];
    for (const shuffle of [false, true]) {
      const explainer = await gradCam(nodeEngine(), build(shuffle), { layer: 'last' });
      maps.push((await explainer.explain(input)).map(({ map }) => [...map.data]));
      await explainer.dispose();
    }
    const [plain = [], shuffled = []] = maps.map((each) => each.flat());
    expect(plain.length).toBe(2 * 8 * 12);
    // The means over places are float32 sums in another order.
    for (const [i, value] of plain.entries()) expect(shuffled[i]).toBeCloseTo(value, 5);
  });
});

describe('tokens whose place the graph does not show', () => {
  /** A score for each token, and the `kept` best in the order of their scores. */
  const pruned = (name = 'last') =>
    network([4, 6], (b, tokens, weight) => {
      const before = scaled(b, tokens, weight(DIM), 'before');
      const scores = b.op('ReduceSum', [before, b.ints([2])], { keepdims: 0 });
      const [, top] = b.node('TopK', [scores, b.ints([16])], { axis: 1 }, { outputs: 2 });
      const index = b.op('Expand', [b.op('Unsqueeze', [top, b.ints([2])]), b.ints([1, 16, DIM])]);
      const kept = b.op('GatherElements', [before, index], { axis: 1 }, { name: 'prune' });
      return scaled(b, kept, weight(DIM), name);
    });

  it('have no map, and the reason names the node that chose them', async () => {
    const graph = pruned();
    expect(() => findNamedLayer(graph, 'last')).toThrow(
      'Layer "last" has no map: the graph does not show where its tokens lie: node "prune" (GatherElements)',
    );
    expect(findDefaultLayer(graph).path).toBe('before');
    const explainer = await gradCam(nodeEngine(), graph);
    await explainer.dispose();
    expect(explainer.notes.join()).toContain('2 layers from "prune" on have no map: the graph does not show where');
  });

  it('are not taken for a square where some were left out', () => {
    const graph = network([5, 5], (b, tokens, weight) => {
      const kept = b.op('Gather', [tokens, b.ints(indices(16, (i) => i))], { axis: 1 });
      return scaled(b, kept, weight(DIM), 'last');
    });
    expect(() => findNamedLayer(graph, 'last')).toThrow('its 16 tokens do not fill one grid of patches');
  });

  it('are not taken for one grid where they come from two', () => {
    const graph = network([4, 6], (b, tokens, weight) => {
      const coarse = b.op('Slice', [tokens, b.ints([0]), b.ints([12]), b.ints([1])]);
      return scaled(b, b.op('Concat', [tokens, coarse], { axis: 1 }), weight(DIM), 'last');
    });
    expect(() => findNamedLayer(graph, 'last')).toThrow('its 36 tokens do not fill one grid of patches');
  });
});
