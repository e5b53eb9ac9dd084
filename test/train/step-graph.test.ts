import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { rewrite } from '../../src/passes/rewrite.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { adam } from '../../src/train/optimizers.js';
import { cyclic } from '../../src/train/schedules.js';
import { buildStepGraph, getGradientName, getUpdatedName, LOSS, SCORES, TARGET } from '../../src/train/step-graph.js';
import { findLargestDifference } from '../support/differences.js';
import { golden, headGraph, tensorOf } from './golden.js';

/** float32 rounding of 20 steps of Adam, on numbers near 1. */
const TRAINING_TOLERANCE = 1e-5;

const oneHot = (labels: readonly number[], classes: number) =>
  float32(
    labels.flatMap((label) => Array.from({ length: classes }, (_, c) => Number(c === label))),
    [labels.length, classes],
  );

describe('a training step', () => {
  it.each([nodeEngine({ threads: 1 }), referenceEngine()])('trains as PyTorch does, on $name', async (engine) => {
    const graph = headGraph();
    const { images, labels, masks, losses, end, outputs } = golden.head;
    const names = new Set(['0.weight', '0.bias', '2.weight', '2.bias', '4.weight', '4.bias']);
    const step = buildStepGraph(graph, names, labels.length);
    expect(step.masks.map(({ ratio, dims }) => [ratio, dims])).toEqual([[0.25, [12, 8]]]);
    expect(step.statistics).toEqual(['2.running_mean', '2.running_var']);
    const weights = new Map<string, Tensor<'float32'>>();
    for (const [{ name }, data] of graph.initializers)
      if (data.dtype === 'float32' && data.dims.length > 0) weights.set(name, float32(data.data, data.dims));
    const optimizer = adam();
    const moments = new Map([...names].map((name) => [name, optimizer.init(weights.get(name)?.data.length ?? 0)]));
    const schedule = cyclic({ base: 1e-3, max: 1e-2, stepSizeUp: 6 });
    const session = await engine.load(step.graph);
    const found: number[] = [];
    for (const [i, mask] of masks.entries()) {
      const results = await session.run({
        input: tensorOf(images),
        [TARGET]: oneHot(labels, 5),
        [step.masks[0]?.name ?? '']: float32(mask, [12, 8]),
        ...Object.fromEntries(weights),
      });
      found.push(Number(results[LOSS]?.data[0]));
      for (const name of names) {
        const gradient = expectFloat32(results[getGradientName(name)], name);
        optimizer.update(weights.get(name)?.data ?? new Float32Array(), gradient.data, moments.get(name) ?? {}, {
          step: i + 1,
          learningRate: schedule(i),
        });
      }
      for (const name of step.statistics) weights.set(name, expectFloat32(results[getUpdatedName(name)], name));
    }
    await session.dispose();
    expect(findLargestDifference(found, losses)).toBeLessThan(TRAINING_TOLERANCE);
    for (const [name, { data }] of Object.entries(end)) {
      expect(findLargestDifference(weights.get(name)?.data ?? [], data), name).toBeLessThan(TRAINING_TOLERANCE);
    }
    // And the inference graph with these numbers is PyTorch's model in evaluation mode.
    const trained = rewrite(graph, { initializer: (value, data) => weights.get(value.name) ?? data });
    const { output } = await runOnce(engine, trained, { input: tensorOf(images) });
    expect(findLargestDifference(expectFloat32(output, 'output').data, outputs)).toBeLessThan(TRAINING_TOLERANCE);
  });

  /** `input [N, 3] → output`, through a last operator. */
  function classifier(last: 'LogSoftmax' | 'Softmax' | 'Identity'): Graph {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 3]);
    const y = b.op('MatMul', [x, b.initializer('fc.weight', float32([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3]))]);
    b.output(b.op(last, [y], {}, { outputName: 'output' }));
    return b.build('classifier');
  }

  it.each(['LogSoftmax', 'Softmax', 'Identity'] as const)(
    'knows the loss of a model that ends in %s, also where a probability is rounded to 0',
    async (last) => {
      const { graph } = buildStepGraph(classifier(last), new Set(['fc.weight']), 2);
      const results = await runOnce(nodeEngine({ threads: 1 }), graph, {
        input: float32([0, 0, Math.log(2), 0, 200, 0], [2, 3]),
        [TARGET]: oneHot([2, 1], 3),
        'fc.weight': float32([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3]),
      });
      // −log(2/4) and 0, the mean of both.
      expect(results[LOSS]?.data[0]).toBeCloseTo(Math.log(2) / 2, 6);
      expect(
        [...(results[getGradientName('fc.weight')]?.data ?? [])].every((value) => Number.isFinite(Number(value))),
      ).toBe(true);
      expect(expectFloat32(results[SCORES], 'scores').data[3]).toBeCloseTo(-200, 3);
    },
  );

  it('takes distributions as targets, and leaves out an image whose row is zero', async () => {
    const { graph } = buildStepGraph(classifier('Identity'), new Set(['fc.weight']), 2);
    const run = (target: readonly number[]) =>
      runOnce(referenceEngine(), graph, {
        input: float32([1, 2, 3, 5, 0, 0], [2, 3]),
        [TARGET]: float32(target, [2, 3]),
        'fc.weight': float32([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3]),
      }).then((results) => Number(results[LOSS]?.data[0]));
    const first = await run([1, 0, 0, 0, 0, 0]);
    const last = await run([0, 0, 1, 0, 0, 0]);
    expect(await run([0.25, 0, 0.75, 0, 0, 0])).toBeCloseTo(0.25 * first + 0.75 * last, 6);
    expect(await run([0, 0, 0, 0, 0, 0])).toBeCloseTo(0, 12);
  });

  it('refuses what is no classifier', () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 3, 8, 8]);
    b.output(
      b.op('Conv', [x, b.initializer('w', float32(new Float32Array(27), [1, 3, 3, 3]))], { kernel_shape: [3, 3] }),
    );
    expect(() => buildStepGraph(b.build('segmentation'), new Set(['w']), 2)).toThrow(
      /Only classifiers.*\[2, 1, 6, 6\]/,
    );
  });
});
