import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { splitFrozenPrefix } from '../../src/passes/frozen-prefix.js';
import { rewrite } from '../../src/passes/rewrite.js';
import { seeded } from '../../src/tensor/random.js';
import { expectFloat32, float32, tensor } from '../../src/tensor/tensor.js';
import { createMemoryStore } from '../../src/train/features-in-memory.js';
import { type FitOptions, type FitProgress, fit } from '../../src/train/fit.js';
import { adam, type Optimizer, sgd } from '../../src/train/optimizers.js';
import { constant, cyclic } from '../../src/train/schedules.js';
import type { TrainingData } from '../../src/train/training-data.js';
import type { CheckpointStore, TrainingState } from '../../src/train/training-state.js';
import { findLargestDifference } from '../support/differences.js';
import { convolutionalGraph, golden, numbersOf } from './golden.js';

/** float32 rounding of 20 steps of Adam, on numbers near 1. */
const TRAINING_TOLERANCE = 1e-5;
const engine = nodeEngine({ threads: 1 });
const CLASSES = 3;

/** Frozen convolution → ReLU → flatten → fc, ReLU, norm, dropout, head (trained): all that the study's model has. */
function classifier(): Graph {
  const b = new GraphBuilder();
  const random = seeded(7);
  const some = (name: string, dims: readonly number[], spread = 0.5) =>
    b.initializer(
      name,
      float32(
        Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => random.uniform(-spread, spread)),
        dims,
      ),
    );
  const filled = (name: string, value: number) => b.initializer(name, float32(new Float32Array(8).fill(value)));
  let x = b.input('input', 'float32', ['N', 1, 4, 4]);
  x = b.op('Conv', [x, some('features.0.weight', [4, 1, 3, 3])], { kernel_shape: [3, 3] }, { name: 'features.0' });
  x = b.op('Relu', [x], {}, { name: 'features.1' });
  x = b.op('Flatten', [x], { axis: 1 }, { name: 'flatten' });
  const fc = [some('head.0.weight', [8, 16]), some('head.0.bias', [8])];
  x = b.op('Gemm', [x, ...fc], { transB: 1 }, { name: 'head.0' });
  x = b.op('Relu', [x], {}, { name: 'head.1' });
  const norm = [filled('head.2.weight', 1), filled('head.2.bias', 0), filled('head.2.running_mean', 0)];
  x = b.op('BatchNormalization', [x, ...norm, filled('head.2.running_var', 1)], {}, { name: 'head.2' });
  x = b.op('Dropout', [x, b.scalar(0.25)], {}, { name: 'head.3' });
  x = b.op('Gemm', [x, some('head.4.weight', [CLASSES, 8])], { transB: 1 }, { name: 'head.4' });
  b.output(b.op('LogSoftmax', [x], {}, { name: 'log_softmax', outputName: 'output' }));
  return b.build('classifier');
}

/** Images whose brightest quarter tells the class, with noise that depends on image and view alone. */
function quarters(count: number, seed: number, asked: number[][] = []): TrainingData {
  const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
  return {
    count,
    labels,
    async images(indices, view) {
      asked.push([...indices]);
      const data = indices.flatMap((index) => {
        const random = seeded(seed, view, index);
        const quarter = index % CLASSES;
        return Array.from({ length: 16 }, (_, pixel) => {
          const here = 2 * Math.floor(pixel / 8) + (pixel % 4 > 1 ? 1 : 0);
          return (here === quarter ? 1 : 0) + random.uniform(-0.4, 0.4);
        });
      });
      return float32(data, [indices.length, 1, 4, 4]);
    },
  };
}

/** A store that remembers, and copies as a file would. */
function checkpoints(): CheckpointStore & { state: TrainingState | undefined; saves: number } {
  return {
    state: undefined,
    saves: 0,
    async load() {
      return structuredClone(this.state);
    },
    async save(state) {
      this.state = structuredClone(state);
      this.saves++;
    },
  };
}

const common = (): FitOptions => ({
  engine,
  data: quarters(50, 1),
  validation: quarters(20, 2),
  trains: (name) => name.startsWith('head.'),
  optimizer: adam(),
  schedule: cyclic({ base: 1e-3, max: 2e-2, stepSizeUp: 5 }),
  epochs: 3,
  batch: 16,
  seed: 5,
  views: 2,
});

const withoutSeconds = (history: readonly object[]) => history.map((record) => ({ ...record, seconds: 0 }));

describe('fit', () => {
  it('trains a whole network as PyTorch does', async () => {
    const { images, labels, end, losses, outputs } = golden.convolutional;
    const graph = convolutionalGraph();
    // As many images as a step takes: their order does not matter then, and PyTorch's need not be known.
    const elements = images.data.length / labels.length;
    const data: TrainingData = {
      count: labels.length,
      labels: Int32Array.from(labels),
      images: async (indices) =>
        float32(
          indices.flatMap((index) => images.data.slice(index * elements, (index + 1) * elements)),
          [indices.length, ...images.dims.slice(1)],
        ),
    };
    const { graph: trained, history } = await fit(graph, {
      engine,
      data,
      trains: () => true,
      optimizer: adam(),
      schedule: cyclic({ base: 1e-3, max: 1e-2, stepSizeUp: 6 }),
      epochs: losses.length,
    });
    expect(
      findLargestDifference(
        history.map(({ trainLoss }) => trainLoss),
        losses,
      ),
    ).toBeLessThan(TRAINING_TOLERANCE);
    const numbers = numbersOf(trained);
    for (const [name, expected] of Object.entries(end)) {
      expect(findLargestDifference(numbers.get(name) ?? [], expected.data), name).toBeLessThan(TRAINING_TOLERANCE);
    }
    const { output } = await runOnce(engine, trained, { input: float32(images.data, images.dims) });
    expect(findLargestDifference(expectFloat32(output, 'output').data, outputs)).toBeLessThan(TRAINING_TOLERANCE);
  });

  it('learns, and leaves everything but the trained numbers as it was', async () => {
    const graph = classifier();
    const before = numbersOf(graph);
    const result = await fit(graph, { ...common(), epochs: 15 });
    expect(result.history.at(-1)?.validationTop1).toBeGreaterThan(90);
    expect(result.history.at(-1)?.trainLoss).toBeLessThan(result.history[0]?.trainLoss ?? 0);
    expect(result.steps).toBe(15 * 4);
    expect(result.featureElements).toBe(16);
    expect(result.graph.nodes).toBe(graph.nodes);
    expect([...result.graph.initializers.keys()]).toEqual([...graph.initializers.keys()]);
    expect(numbersOf(graph)).toEqual(before);
    const changed = [...numbersOf(result.graph)].filter(
      ([name, now]) => findLargestDifference(now, before.get(name) ?? []) > 0,
    );
    expect(changed.map(([name]) => name)).toEqual([
      'head.0.weight', 'head.0.bias', 'head.2.weight', 'head.2.bias', 'head.2.running_mean', 'head.2.running_var',
      'head.4.weight',
    ]); // biome-ignore format: one line reads better
  });

  it('computes the frozen part once for each image and view, and gives the very numbers of a training without cache', async () => {
    const asked: number[][] = [];
    const options = { ...common(), epochs: 5 };
    const cached = await fit(classifier(), { ...options, data: quarters(50, 1, asked) });
    expect(asked.flat()).toHaveLength(2 * 50);
    // The frozen part's outputs as the data of a model that begins after it: nothing is left to be cached.
    const graph = classifier();
    const first = [...graph.initializers.keys()].filter(({ name }) => name === 'head.0.weight');
    const { prefix, suffix } = splitFrozenPrefix(graph, new Set(first));
    if (!prefix) throw new Error('no prefix');
    const outputs = async (data: TrainingData, view: number) => {
      const images = await data.images([...data.labels.keys()], view);
      const results = await runOnce(engine, prefix, { input: images });
      return expectFloat32(results[prefix.outputs[0]?.name ?? ''], 'features').data;
    };
    const dataOf = async (data: TrainingData): Promise<TrainingData> => {
      const views = [await outputs(data, 0), await outputs(data, 1)];
      return {
        ...data,
        images: async (indices, view) =>
          float32(
            indices.flatMap((index) => [...(views[view % 2]?.subarray(index * 16, (index + 1) * 16) ?? [])]),
            [indices.length, ...(suffix.inputs[0]?.type?.dims.slice(1).map(Number) ?? [])],
          ),
      };
    };
    const uncached = await fit(suffix, {
      ...options,
      data: await dataOf(quarters(50, 1)),
      validation: await dataOf(quarters(20, 2)),
    });
    expect(uncached.featureElements).toBe(16);
    for (const [name, expected] of numbersOf(uncached.graph)) {
      expect(numbersOf(cached.graph).get(name), name).toEqual(expected);
    }
    expect(withoutSeconds(uncached.history)).toEqual(withoutSeconds(cached.history));
  });

  it('gives every epoch a view of its own where nothing is frozen', async () => {
    const views = new Set<number>();
    const data = quarters(20, 1);
    await fit(classifier(), {
      ...common(),
      data: {
        ...data,
        images: (indices, view) => {
          views.add(view);
          return data.images(indices, view);
        },
      },
      trains: () => true,
      views: 1,
    });
    expect([...views]).toEqual([0, 1, 2]);
  });

  it.each([1, 3, 4, 5, 8, 12])(
    'interrupted after step %i and resumed, it goes on to the same bits',
    async (stopAfter) => {
      const whole = await fit(classifier(), common());
      const checkpoint = checkpoints();
      const abort = new AbortController();
      const first = await fit(classifier(), {
        ...common(),
        checkpoint,
        checkpointSeconds: Number.POSITIVE_INFINITY,
        signal: abort.signal,
        onProgress: ({ phase, step }) => {
          if (phase === 'train' && step === stopAfter) abort.abort();
        },
      });
      expect(first.interrupted).toBe(true);
      expect(first.steps).toBe(stopAfter);
      expect(checkpoint.state?.progress.step).toBe(stopAfter);
      const second = await fit(classifier(), { ...common(), checkpoint });
      expect(second.interrupted).toBe(false);
      expect(numbersOf(second.graph)).toEqual(numbersOf(whole.graph));
      expect(withoutSeconds(second.history)).toEqual(withoutSeconds(whole.history));
    },
  );

  it('killed between two checkpoints, it goes on from the last one to the same bits', async () => {
    const whole = await fit(classifier(), common());
    const checkpoint = checkpoints();
    const killed = fit(classifier(), {
      ...common(),
      checkpoint,
      checkpointSeconds: 0,
      onProgress: ({ phase, step }) => {
        if (phase === 'train' && step === 7) throw new Error('killed');
      },
    });
    await expect(killed).rejects.toThrow('killed');
    // What is in memory when it dies is lost: the step that was done, but not saved.
    expect(checkpoint.state?.progress.step).toBe(6);
    const resumed = await fit(classifier(), { ...common(), checkpoint });
    expect(numbersOf(resumed.graph)).toEqual(numbersOf(whole.graph));
  });

  it('stops at once in the frozen part and in validation, keeps what it has, and goes on', async () => {
    const whole = await fit(classifier(), common());
    for (const stage of ['features', 'validate'] as const) {
      const checkpoint = checkpoints();
      const abort = new AbortController();
      const stopped = await fit(classifier(), {
        ...common(),
        checkpoint,
        signal: abort.signal,
        onProgress: (progress) => {
          if (progress.phase === stage) abort.abort();
        },
      });
      expect(stopped.interrupted).toBe(true);
      expect(stopped.history).toEqual([]);
      expect(checkpoint.saves).toBe(1);
      const resumed = await fit(classifier(), { ...common(), checkpoint });
      expect(numbersOf(resumed.graph)).toEqual(numbersOf(whole.graph));
    }
  });

  it('has nothing to do for a training that is finished, and goes on to more epochs', async () => {
    const checkpoint = checkpoints();
    const done = await fit(classifier(), { ...common(), checkpoint });
    const progress: FitProgress[] = [];
    const again = await fit(classifier(), { ...common(), checkpoint, onProgress: (p) => progress.push(p) });
    expect(progress).toEqual([]);
    expect(numbersOf(again.graph)).toEqual(numbersOf(done.graph));
    const more = await fit(classifier(), { ...common(), checkpoint, epochs: 4 });
    const whole = await fit(classifier(), { ...common(), epochs: 4 });
    expect(numbersOf(more.graph)).toEqual(numbersOf(whole.graph));
  });

  it.each([
    { what: 'another seed', change: { seed: 6 } },
    { what: 'another batch size', change: { batch: 10 } },
    { what: 'another optimizer', change: { optimizer: sgd() } },
    { what: 'other parameters', change: { trains: (name: string) => name.startsWith('head.4') } },
    { what: 'other options', change: { fingerprint: 'other' } },
  ])('refuses the checkpoint of $what', async ({ change }) => {
    const checkpoint = checkpoints();
    await fit(classifier(), { ...common(), checkpoint });
    await expect(fit(classifier(), { ...common(), checkpoint, ...change })).rejects.toThrow(
      /belongs to another training/,
    );
  });

  it('refuses the checkpoint of another model of the same shapes', async () => {
    const checkpoint = checkpoints();
    const graph = classifier();
    await fit(graph, { ...common(), checkpoint });
    const other = rewrite(graph, {
      initializer: ({ name }, data) =>
        name === 'features.0.weight'
          ? float32(
              Array.from(data.data, Number).map((x) => 2 * x),
              data.dims,
            )
          : data,
    });
    await expect(fit(other, { ...common(), checkpoint })).rejects.toThrow(/another training/);
  });

  it('stops early when the validation loss gets no better, and gives the best parameters', async () => {
    // One step of this size is too far: the loss is best after the first epoch.
    const results = new Map<number, Map<string, ArrayLike<number>>>();
    const kept = checkpoints();
    const checkpoint: CheckpointStore = {
      load: () => kept.load(),
      save(state) {
        results.set(state.progress.epoch, new Map([...state.tensors].map(([name, data]) => [name, [...data]])));
        return kept.save(state);
      },
    };
    const validation = quarters(20, 2);
    const options = {
      ...common(),
      validation,
      epochs: 20,
      schedule: (step: number) => (step < 4 ? 1e-2 : 1),
      checkpoint,
    };
    const { history, graph } = await fit(classifier(), { ...options, patience: 3 });
    const losses = history.map(({ validationLoss }) => validationLoss ?? 0);
    const best = losses.indexOf(Math.min(...losses));
    expect(history.length).toBe(best + 1 + 3);
    expect(history.length).toBeLessThan(20);
    for (const name of ['head.0.weight', 'head.2.running_var']) {
      expect(numbersOf(graph).get(name)).toEqual(results.get(best + 1)?.get(name));
    }
    // Resuming a training that stopped does not start it again, and still gives the best.
    const again = await fit(classifier(), { ...options, patience: 3 });
    expect(again.history).toHaveLength(history.length);
    expect(numbersOf(again.graph)).toEqual(numbersOf(graph));
  });

  /** Adam, but at this step the first parameter jumps to a number. */
  const jumping = (at: number, to: number): Optimizer => {
    const inner = adam();
    return {
      ...inner,
      update(parameter, gradient, state, now) {
        inner.update(parameter, gradient, state, now);
        if (now.step === at) parameter[0] = to;
      },
    };
  };

  it('stops at a loss that is not finite, says which step, and keeps the last good checkpoint', async () => {
    const checkpoint = checkpoints();
    const training = fit(classifier(), {
      ...common(),
      checkpoint,
      optimizer: jumping(6, Number.NaN),
      checkpointSeconds: Number.POSITIVE_INFINITY,
    });
    await expect(training).rejects.toThrow(
      /step 7 \(epoch 2\): the loss is NaN, at a learning rate of 0\.\d+\. The last good checkpoint is kept\. Try a lower/,
    );
    // Four steps are an epoch: that one was saved.
    expect(checkpoint.state?.progress.step).toBe(4);
  });

  it('promises no checkpoint where none was saved', async () => {
    const training = fit(classifier(), { ...common(), checkpoint: checkpoints(), optimizer: jumping(1, Number.NaN) });
    await expect(training).rejects.toThrow(/step 2 \(epoch 1\): the loss is NaN, at a learning rate of 0\.\d+\. Try a/);
  });

  it('never saves numbers that are not finite', async () => {
    const checkpoint = checkpoints();
    const training = fit(classifier(), {
      ...common(),
      checkpoint,
      optimizer: jumping(6, Number.POSITIVE_INFINITY),
      checkpointSeconds: 0,
    });
    await expect(training).rejects.toThrow(/"head\.0\.weight" is not finite/);
    expect(checkpoint.state?.progress.step).toBe(5);
  });

  it('leaves out images that cannot be read, on every run over a store that lasts', async () => {
    const bad = [3, 17];
    const store = createMemoryStore(50, 16);
    const lasting = { ...store, close: () => {} };
    const run = async () => {
      const data = quarters(50, 1);
      const labels = data.labels;
      const asked: number[] = [];
      const result = await fit(classifier(), {
        ...common(),
        data: {
          ...data,
          async images(indices, view) {
            asked.push(...indices);
            for (const index of indices) if (bad.includes(index)) labels[index] = -1;
            const images = await data.images(indices, view);
            return tensor(
              'float32',
              images.dims,
              images.data.map((value, i) => (bad.includes(indices[Math.floor(i / 16)] ?? -1) ? 0 : value)),
            );
          },
        },
        store: () => lasting,
      });
      return { numbers: numbersOf(result.graph), history: withoutSeconds(result.history), asked };
    };
    const first = await run();
    expect(store.has(0, 3)).toBe(false);
    expect(store.has(0, 4)).toBe(true);
    // Asked for once in each of the two views, not again in the third epoch.
    expect(first.asked.filter((index) => index === 3)).toHaveLength(2);
    const second = await run();
    expect(second.numbers).toEqual(first.numbers);
    expect(second.history).toEqual(first.history);
    expect(first.history[0]).toMatchObject({ epoch: 1 });
  });

  it('says so when not one image can be read', async () => {
    const data = quarters(20, 1);
    const training = fit(classifier(), { ...common(), data: { ...data, labels: data.labels.map(() => -1) } });
    await expect(training).rejects.toThrow(/Not one training image could be read/);
  });

  it('tells of an epoch before it is saved: one is told of twice rather than not at all', async () => {
    const checkpoint = checkpoints();
    const told: [epoch: number, saved: number | undefined][] = [];
    await fit(classifier(), {
      ...common(),
      checkpoint,
      onEpoch: ({ epoch }) => {
        told.push([epoch, checkpoint.state?.progress.epoch]);
      },
    });
    expect(told).toEqual([
      [1, undefined],
      [2, 1],
      [3, 2],
    ]);
  });

  it('leaves out a last image that would be a batch of its own', async () => {
    const { steps, history } = await fit(classifier(), { ...common(), data: quarters(49, 1), epochs: 1 });
    expect(steps).toBe(3);
    // Of 48 images: the mean is a whole number of them.
    expect(((history[0]?.trainTop1 ?? 0) * 48) / 100).toBeCloseTo(
      Math.round(((history[0]?.trainTop1 ?? 0) * 48) / 100),
      9,
    );
  });

  it('refuses a class that the model does not have', async () => {
    const data = quarters(20, 1);
    data.labels[7] = CLASSES;
    await expect(fit(classifier(), { ...common(), data })).rejects.toThrow(/3 classes apart \(0 to 2\).*class 3/);
  });

  it.each([
    [{ data: quarters(1, 1) }, /number of images.*at least 2, found 1/],
    [{ epochs: 0 }, /epochs.*at least 1, found 0/],
    [{ batch: 1 }, /batch size.*at least 2, found 1/],
    [{ views: 1.5 }, /views.*found 1.5/],
    [{ patience: 0 }, /patience.*found 0/],
    [{ trains: () => false }, /No parameter is trained/],
  ])('refuses options that mean nothing: %o', async (change, message) => {
    await expect(fit(classifier(), { ...common(), ...change })).rejects.toThrow(message);
  });

  it('tells of its progress', async () => {
    const told: FitProgress[] = [];
    const { history } = await fit(classifier(), {
      ...common(),
      epochs: 1,
      onProgress: (progress) => told.push(progress),
    });
    expect(told.map(({ phase }) => phase).filter((stage, i, all) => stage !== all[i - 1])).toEqual([
      // Before the first step the model is measured as it is.
      'validate',
      'features',
      'train',
      'validate',
    ]);
    const steps = told.filter(({ phase }) => phase === 'train');
    expect(steps.map(({ step, done, total }) => [step, done, total])).toEqual([
      [1, 16, 50],
      [2, 32, 50],
      [3, 48, 50],
      [4, 50, 50],
    ]);
    expect(steps.at(-1)).toMatchObject({ loss: history[0]?.trainLoss, top1: history[0]?.trainTop1 });
    expect(told.at(-1)).toMatchObject({ done: 20, total: 20 });
  });

  it('gives the loss of a constant learning rate of zero', async () => {
    const { history } = await fit(classifier(), { ...common(), schedule: constant(0), optimizer: sgd() });
    expect(history[0]?.learningRate).toBe(0);
    // Only the running statistics move: by the validation's loss they are seen.
    expect(history[0]?.validationLoss).not.toBe(history[1]?.validationLoss);
  });
});
