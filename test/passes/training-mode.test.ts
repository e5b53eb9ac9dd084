import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { startTrainingMode } from '../../src/passes/training-mode.js';
import { float32 } from '../../src/tensor/tensor.js';

/** Computed by hand in double, rounded to float32 once: what is left is float32's own rounding of numbers near 1. */
const DIGITS = 5;

/** input → [frozen norm, dropout] → fc (trained) → norm → dropout → output */
function graphOf(dims: readonly number[], ratio?: number): Graph {
  const b = new GraphBuilder();
  const channels = dims[1] ?? 1;
  const norm = (name: string) => [
    b.initializer(`${name}.weight`, float32(Array.from({ length: channels }, (_, c) => 1 + c))),
    b.initializer(`${name}.bias`, float32(Array.from({ length: channels }, (_, c) => -c))),
    b.initializer(`${name}.running_mean`, float32(new Float32Array(channels).fill(0.5))),
    b.initializer(`${name}.running_var`, float32(new Float32Array(channels).fill(4))),
  ];
  let x = b.input('input', 'float32', dims);
  x = b.op('BatchNormalization', [x, ...norm('frozen')], {}, { name: 'frozen' });
  x = b.op('Dropout', [x], {}, { name: 'frozen-dropout' });
  x = b.op('Mul', [x, b.initializer('gain', float32([2], [1]))], {}, { name: 'gain' });
  x = b.op('BatchNormalization', [x, ...norm('norm')], { momentum: 0.75 }, { name: 'norm' });
  x = b.op('Dropout', ratio === undefined ? [x] : [x, b.scalar(ratio)], {}, { name: 'dropout' });
  b.output(x);
  return b.build('normalised');
}

const gainOf = (graph: Graph) => [...graph.initializers.keys()].filter(({ name }) => name === 'gain');

function finish(graph: Graph) {
  const mode = startTrainingMode(graph, gainOf(graph));
  for (const output of graph.outputs) mode.builder.output(mode.mapValue(output));
  for (const { updated } of mode.statistics) mode.builder.output(updated);
  return { ...mode, graph: mode.builder.build('training') };
}

describe('startTrainingMode', () => {
  it('changes only what trained parameters reach', () => {
    const { graph, masks, statistics } = finish(graphOf([4, 2]));
    const ops = new Map(graph.nodes.map(({ name, op }) => [name, op]));
    expect(ops.get('frozen')).toBe('BatchNormalization');
    expect(ops.get('frozen-dropout')).toBe('Dropout');
    expect(graph.nodes.filter(({ op }) => op === 'BatchNormalization')).toHaveLength(1);
    expect(masks).toEqual([{ name: 'mask/dropout', dims: [4, 2], ratio: 0.5 }]);
    expect(statistics.map(({ name }) => name)).toEqual(['norm.running_mean', 'norm.running_var']);
    expect(graph.inputs.map(({ name }) => name)).toEqual([
      'input', 'gain', 'norm.running_mean', 'norm.running_var', 'mask/dropout',
    ]); // biome-ignore format: one line reads better
  });

  it.each([{ dims: [4, 2] }, { dims: [2, 2, 3, 2] }])(
    'normalises $dims with the batch, and updates the variance without its bias',
    async ({ dims }) => {
      const [count = 1, channels = 1] = dims;
      const positions = dims.slice(2).reduce((product, dim) => product * dim, 1);
      const values = Array.from({ length: count * channels * positions }, (_, i) => ((i * 7) % 11) - 4);
      const training = finish(graphOf(dims, 0.2));
      const mask = values.map((_, i) => (i % 5 === 0 ? 0 : 1.25));
      const results = await runOnce(referenceEngine(), training.graph, {
        input: float32(values, dims),
        gain: float32([2], [1]),
        'norm.running_mean': float32(new Float32Array(channels).fill(0.5)),
        'norm.running_var': float32(new Float32Array(channels).fill(4)),
        'mask/dropout': float32(mask, dims),
      });
      const [y, mean, variance] = training.graph.outputs.map(({ name }) => results[name]);
      for (let c = 0; c < channels; c++) {
        const at = values.map((_, i) => i).filter((i) => Math.floor(i / positions) % channels === c);
        // The frozen norm is the inference one; then times 2.
        const own = at.map((i) => 2 * ((((values[i] ?? 0) - 0.5) / Math.sqrt(4 + 1e-5)) * (1 + c) - c));
        const average = own.reduce((sum, value) => sum + value, 0) / own.length;
        const squares = own.reduce((sum, value) => sum + (value - average) ** 2, 0);
        for (const [k, i] of at.entries()) {
          const normal = ((own[k] ?? 0) - average) / Math.sqrt(squares / own.length + 1e-5);
          expect(Number(y?.data[i])).toBeCloseTo((mask[i] ?? 0) * (normal * (1 + c) - c), DIGITS);
        }
        expect(Number(mean?.data[c])).toBeCloseTo(0.75 * 0.5 + 0.25 * average, DIGITS);
        expect(Number(variance?.data[c])).toBeCloseTo(0.75 * 4 + 0.25 * (squares / (own.length - 1)), DIGITS - 1);
      }
    },
  );

  it('drops a Dropout of nothing', () => {
    const { graph, masks } = finish(graphOf([4, 2], 0));
    expect(masks).toEqual([]);
    expect(graph.nodes.some(({ name }) => name === 'dropout')).toBe(false);
  });

  it('refuses ratios that mean nothing, and batches without statistics', () => {
    expect(() => finish(graphOf([4, 2], 1))).toThrow(/"dropout".*below 1, found 1/);
    expect(() => finish(graphOf([1, 2]))).toThrow(/"norm".*batch of at least 2/);
  });

  it('refuses a normalisation that is used twice', () => {
    const b = new GraphBuilder();
    let x = b.input('input', 'float32', [4, 2]);
    const gain = b.initializer('gain', float32([1]));
    const norm = ['weight', 'bias', 'running_mean', 'running_var'].map((name) => b.initializer(name, float32([1, 1])));
    x = b.op('Mul', [x, gain]);
    x = b.op('BatchNormalization', [x, ...norm], {}, { name: 'first' });
    b.output(b.op('BatchNormalization', [x, ...norm], {}, { name: 'second' }));
    expect(() => startTrainingMode(b.build('twice'), [gain])).toThrow(/"first" and "second".*"running_mean"/);
  });
});
