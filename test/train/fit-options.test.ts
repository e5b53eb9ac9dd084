import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { type FitOptions, fit } from '../../src/train/fit.js';
import { adam, adamW, sgd } from '../../src/train/optimizers.js';
import { constant, cosine, warmUp } from '../../src/train/schedules.js';
import { buildStepGraph, getGradientName, LOSS, TARGET } from '../../src/train/step-graph.js';
import type { TrainingData } from '../../src/train/training-data.js';
import type { CheckpointStore, TrainingState } from '../../src/train/training-state.js';
import { findLargestDifference } from '../support/differences.js';
import { golden, numbersOf, tensorOf } from './golden.js';

/** float32 rounding of 20 steps, on numbers near 1. */
const TRAINING_TOLERANCE = 1e-5;
/** Two halves are summed in another order than the whole, at every step. */
const ACCUMULATION_TOLERANCE = 1e-6;
const engine = nodeEngine({ threads: 1 });

/** Images that are rows of numbers, always in the same order of the file. */
function rows(images: ArrayLike<number>, labels: readonly number[]): TrainingData {
  const elements = images.length / labels.length;
  const all = Float32Array.from(images);
  return {
    count: labels.length,
    labels: Int32Array.from(labels),
    images: async (indices) =>
      float32(
        indices.flatMap((index) => [...all.subarray(index * elements, (index + 1) * elements)]),
        [indices.length, elements],
      ),
  };
}

/** `input [N, 4] → 0 → Tanh or norm → 2`, 3 classes. */
function mlp(parameters: (name: string, dims: readonly number[]) => Tensor, middle: 'Tanh' | 'norm' = 'Tanh'): Graph {
  const b = new GraphBuilder();
  const p = (name: string, dims: readonly number[]) => b.initializer(name, parameters(name, dims));
  let x = b.input('input', 'float32', ['N', 4]);
  x = b.op('Gemm', [x, p('0.weight', [6, 4]), p('0.bias', [6])], { transB: 1 }, { name: '0' });
  if (middle === 'norm') {
    const norm = ['weight', 'bias', 'running_mean', 'running_var'].map((name) => p(`1.${name}`, [6]));
    x = b.op('BatchNormalization', [x, ...norm], {}, { name: '1' });
    x = b.op('Dropout', [b.op('Relu', [x]), b.scalar(0.3)]);
  } else x = b.op('Tanh', [x], {}, { name: '1' });
  b.output(b.op('Gemm', [x, p('2.weight', [3, 6]), p('2.bias', [3])], { transB: 1 }, { name: '2' }));
  return b.build('mlp');
}

function random(name: string, dims: readonly number[]): Tensor {
  const stream = seeded(name.length, name.charCodeAt(0), name.charCodeAt(2));
  const size = dims.reduce((product, dim) => product * dim, 1);
  const [from, to] = name.endsWith('_var') ? [0.5, 2] : [-0.5, 0.5];
  return float32(
    Array.from({ length: size }, () => stream.uniform(from, to)),
    dims,
  );
}

const COUNT = 21;
const clouds = (count = COUNT): TrainingData => {
  const stream = seeded(3);
  const labels = Array.from({ length: count }, (_, i) => i % 3);
  return rows(
    labels.flatMap((label) => Array.from({ length: 4 }, (_, k) => (k === label ? 1 : 0) + stream.uniform(-0.5, 0.5))),
    labels,
  );
};

const common = (): FitOptions => ({
  engine,
  data: clouds(),
  trains: () => true,
  optimizer: adam(),
  schedule: constant(1e-2),
  epochs: 3,
  batch: 8,
  seed: 5,
});

const parametersNear = (found: Graph, expected: Graph, tolerance: number) => {
  const numbers = numbersOf(found);
  for (const [name, values] of numbersOf(expected)) {
    expect(findLargestDifference(numbers.get(name) ?? [], values), name).toBeLessThan(tolerance);
  }
};

describe('the loss', () => {
  it('with label smoothing, and its gradient, are cross_entropy’s', async () => {
    const { smoothing, scores, labels, loss, gradient } = golden.smoothing;
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 1]);
    b.output(b.op('Add', [b.op('Mul', [x, b.scalar(0)]), b.initializer('scores', float32(scores, [4, 5]))]));
    const { graph } = buildStepGraph(b.build('scores'), new Set(['scores']), 4);
    const target = labels.flatMap((label) =>
      Array.from({ length: 5 }, (_, k) => (k === label ? 1 - smoothing : 0) + smoothing / 5),
    );
    const results = await runOnce(engine, graph, {
      input: float32([0, 0, 0, 0], [4, 1]),
      [TARGET]: float32(target, [4, 5]),
      scores: float32(scores, [4, 5]),
    });
    expect(Number(results[LOSS]?.data[0])).toBeCloseTo(loss, 6);
    const found = Array.from(results[getGradientName('scores')]?.data ?? [], Number);
    expect(findLargestDifference(found, gradient)).toBeLessThan(1e-7);
  });
});

describe('fit', () => {
  it('trains as PyTorch does with AdamW, groups, label smoothing and clipping', async () => {
    const { images, labels, start, end, losses } = golden.regularised;
    const graph = mlp((name) => tensorOf(start[name] ?? { dims: [0], data: [] }));
    const result = await fit(graph, {
      ...common(),
      data: rows(images, labels),
      optimizer: adamW({ weightDecay: 9 }),
      groups: ({ dims }) => (dims.length > 1 ? { weightDecay: 0.3 } : { weightDecay: 0, rate: 0.5 }),
      labelSmoothing: 0.2,
      clip: { norm: 0.1 },
      epochs: losses.length,
    });
    const found = result.history.map(({ trainLoss }) => trainLoss);
    expect(findLargestDifference(found, losses)).toBeLessThan(TRAINING_TOLERANCE);
    const numbers = numbersOf(result.graph);
    for (const [name, { data }] of Object.entries(end)) {
      expect(findLargestDifference(numbers.get(name) ?? [], data), name).toBeLessThan(TRAINING_TOLERANCE);
    }
  });

  it.each([2, 3])(
    '%i small batches are one large one, the last step with what is left included',
    async (accumulate) => {
      // SGD passes differences of rounding on as they are; Adam would blow up those of gradients near 0.
      const options = {
        ...common(),
        data: clouds(22),
        optimizer: sgd({ momentum: 0.9 }),
        clip: { norm: 0.5 },
        epochs: 4,
      };
      const whole = await fit(mlp(random), { ...options, batch: 4 * accumulate });
      const parts = await fit(mlp(random), { ...options, batch: 4, accumulate });
      expect(parts.steps).toBe(whole.steps);
      parametersNear(parts.graph, whole.graph, ACCUMULATION_TOLERANCE);
      const losses = ({ history }: typeof whole) => history.map(({ trainLoss }) => trainLoss);
      expect(findLargestDifference(losses(parts), losses(whole))).toBeLessThan(ACCUMULATION_TOLERANCE);
    },
  );

  it('keeps running statistics where batch norm is frozen, and trains its scale all the same', async () => {
    const graph = mlp(random, 'norm');
    const before = numbersOf(graph);
    const run = async (batchNorm: 'train' | 'frozen') =>
      numbersOf((await fit(graph, { ...common(), batchNorm })).graph);
    const frozen = await run('frozen');
    const trained = await run('train');
    for (const name of ['1.running_mean', '1.running_var']) {
      expect(frozen.get(name)).toEqual(before.get(name));
      expect(trained.get(name)).not.toEqual(before.get(name));
    }
    expect(frozen.get('1.weight')).not.toEqual(before.get('1.weight'));
  });

  it('validates and returns moving averages where they are kept', async () => {
    const options = { ...common(), validation: clouds(), optimizer: sgd(), schedule: constant(0.05), epochs: 1 };
    // The average by hand, from the weights after each update.
    const weights: ArrayLike<number>[] = [];
    const inner = sgd();
    const watched = {
      ...inner,
      update(...args: Parameters<typeof inner.update>) {
        inner.update(...args);
        if (args[0].length === 24) weights.push(Array.from(args[0]));
      },
    };
    const plain = await fit(mlp(random), { ...options, optimizer: watched });
    const averaged = await fit(mlp(random), { ...options, averaging: { decay: 0.5 } });
    let expected = Array.from(random('0.weight', [6, 4]).data, Number);
    for (const now of weights) expected = expected.map((old, i) => 0.5 * old + 0.5 * (now[i] ?? 0));
    expect(findLargestDifference(numbersOf(averaged.graph).get('0.weight') ?? [], expected)).toBeLessThan(1e-6);
    expect(averaged.history[0]?.trainLoss).toBe(plain.history[0]?.trainLoss);
    expect(averaged.history[0]?.validationLoss).not.toBe(plain.history[0]?.validationLoss);
  });

  describe('goes on to the same bits', () => {
    const cases: Readonly<Record<string, Partial<FitOptions>>> = {
      'SGD with Nesterov momentum': { optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }) },
      'AdamW with averages and a warm-up': {
        optimizer: adamW(),
        averaging: { decay: 0.9, warmUp: true },
        schedule: warmUp(cosine({ learningRate: 0.02, steps: 6 }), { steps: 3 }),
      },
      'steps of several batches, clipped': {
        batch: 4,
        accumulate: 2,
        clip: { norm: 0.3, value: 0.1 },
        labelSmoothing: 0.1,
      },
      'patience with averages': { patience: 2, averaging: { decay: 0.8 } },
      'frozen batch norm': { batchNorm: 'frozen' },
    };

    it.each(Object.entries(cases))('%s, wherever it is stopped', async (_, change) => {
      const options = { ...common(), validation: clouds(), ...change };
      const graph = mlp(random, 'norm');
      const whole = await fit(graph, options);
      for (const stopAfter of [1, 2, 4, 7]) {
        let state: TrainingState | undefined;
        const checkpoint: CheckpointStore = {
          load: async () => structuredClone(state),
          save: async (saved) => {
            state = structuredClone(saved);
          },
        };
        const abort = new AbortController();
        const stopped = await fit(graph, {
          ...options,
          checkpoint,
          signal: abort.signal,
          onProgress: ({ step }) => step === stopAfter && abort.abort(),
        });
        expect(stopped.interrupted).toBe(true);
        expect(stopped.steps).toBe(stopAfter);
        const resumed = await fit(graph, { ...options, checkpoint });
        expect(resumed.history.map((epoch) => ({ ...epoch, seconds: 0 }))).toEqual(
          whole.history.map((epoch) => ({ ...epoch, seconds: 0 })),
        );
        expect(numbersOf(resumed.graph)).toEqual(numbersOf(whole.graph));
      }
    });
  });

  it('refuses to go on with averages that were not kept', async () => {
    let state: TrainingState | undefined;
    const checkpoint: CheckpointStore = {
      load: async () => state,
      save: async (saved) => {
        state = saved;
      },
    };
    await fit(mlp(random), { ...common(), checkpoint });
    const other = fit(mlp(random), { ...common(), checkpoint, averaging: { decay: 0.9 } });
    await expect(other).rejects.toThrow(/belongs to another training/);
  });

  it.each([
    [{ labelSmoothing: 1 }, /label smoothing must be at least 0 and below 1, found 1/],
    [{ averaging: { decay: 1 } }, /decay of averages .* found 1/],
    [{ clip: { norm: 0 } }, /bound of gradients must be above 0, found 0/],
    [{ accumulate: 0 }, /number of batches a step.*at least 1, found 0/],
  ])('refuses settings that mean nothing: %o', async (change, message) => {
    await expect(fit(mlp(random), { ...common(), ...change })).rejects.toThrow(message);
  });
});
