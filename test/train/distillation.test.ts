import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { createMapAppender } from '../../src/explain/grad-cam.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32 } from '../../src/tensor/tensor.js';
import type { Distillation } from '../../src/train/distillation.js';
import { createMemoryStore } from '../../src/train/features-in-memory.js';
import { fit } from '../../src/train/fit.js';
import { sgd } from '../../src/train/optimizers.js';
import { createStepper } from '../../src/train/training-step.js';
import { createWeights } from '../../src/train/weights.js';
import { findLargestDifference } from '../support/differences.js';
import { numbersOf, tensorOf } from './golden.js';

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** See golden/train/make_distillation.py. */
const golden: {
  readonly labels: number;
  readonly features: number;
  readonly maps: number;
  readonly images: Numbers;
  readonly classes: readonly number[];
  readonly loss: number;
  readonly teacher: Readonly<Record<string, Numbers>>;
  readonly student: Readonly<Record<string, Numbers>>;
  readonly gradients: Readonly<Record<string, Numbers>>;
} = JSON.parse(readFileSync(new URL('../golden/train/distillation.json', import.meta.url), 'utf8'));

/** The golden's network; its activations are called `layer`. */
function network(parameters: Readonly<Record<string, Numbers>>, layer: string): Graph {
  const b = new GraphBuilder();
  const p = (name: string) => b.initializer(name, tensorOf(parameters[name] ?? { dims: [0], data: [] }));
  const x = b.input('input', 'float32', ['N', 2, 4, 4]);
  const y = b.op('Conv', [x, p('conv.weight'), p('conv.bias')], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  const a = b.op('Relu', [y], {}, { outputName: layer });
  const pooled = b.op('MaxPool', [a], { kernel_shape: [2, 2], strides: [2, 2] });
  const hidden = b.op('Gemm', [b.op('Flatten', [pooled]), p('hidden.weight'), p('hidden.bias')], { transB: 1 });
  const dropped = b.op('Dropout', [b.op('Relu', [hidden]), b.scalar(0.5)]);
  b.output(b.op('Gemm', [dropped, p('out.weight'), p('out.bias')], { transB: 1 }, { outputName: 'scores' }));
  return b.build('network');
}

const grid = { layout: 'channels-first', channels: 4, height: 4, width: 4, prefix: 0 } as const;
const distillation: Distillation = {
  teacher: network(golden.teacher, 'seen'),
  labels: golden.labels,
  layer: { teacher: 'seen', student: 'relu' },
  features: golden.features,
  maps: { weight: golden.maps, append: createMapAppender(grid) },
};

/** The golden's images as data of a training. */
const data = {
  count: 5,
  labels: Int32Array.from(golden.classes),
  images: async (indices: readonly number[]) =>
    float32(
      indices.flatMap((i) => golden.images.data.slice(32 * i, 32 * (i + 1))),
      [indices.length, 2, 4, 4],
    ),
};

/** float32 sums of a few hundred products, differentiated twice. */
const TOLERANCE = 2e-6;

const first = { indices: [0, 1, 2, 3, 4], images: async () => tensorOf(golden.images) };

describe('a student', () => {
  it.each([nodeEngine({ threads: 1 }), referenceEngine()])(
    'loses against its teacher what PyTorch says, and has its gradients, maps differentiated twice, on $name',
    async (engine) => {
      const graph = network(golden.student, 'relu');
      const optimizer = sgd();
      const weights = createWeights(graph, new Set(Object.keys(golden.student)), optimizer, false);
      const stepper = createStepper(engine, graph, weights, { optimizer, seed: 1, dropout: false, distillation });
      const inputs = tensorOf(golden.images);
      const found = await stepper.compute({ inputs, labels: golden.classes, ...first, step: 0, part: 0, share: 1 });
      stepper.update(0, 1);
      await stepper.dispose();
      expect('lossSum' in found && found.lossSum / 5).toBeCloseTo(golden.loss, 5);
      for (const [name, { data }] of Object.entries(golden.gradients)) {
        // One step of plain descent at rate 1 is the gradient.
        const before = golden.student[name]?.data ?? [];
        const gradient = Array.from(weights.parameters.get(name)?.data ?? [], (value, i) => (before[i] ?? 0) - value);
        expect(findLargestDifference(gradient, data), name).toBeLessThan(TOLERANCE);
      }
    },
  );

  it('comes to its teacher: predictions, activations and maps', async () => {
    const options = {
      engine: nodeEngine({ threads: 1 }),
      data,
      trains: () => true,
      optimizer: sgd(),
      schedule: () => 0.05,
      dropout: false,
      batch: 5,
    };
    const losses = async (from: Graph, own: Distillation | undefined) => {
      const { history } = await fit(from, { ...options, epochs: 100, ...(own ? { distillation: own } : {}) });
      return history.map(({ trainLoss }) => trainLoss);
    };
    const learnt = await losses(network(golden.student, 'relu'), distillation);
    expect(learnt.at(-1)).toBeLessThan(0.75 * (learnt[0] ?? 0));
    // The teacher itself has nothing to learn but the labels' share: its loss is the targets' own entropy from the start.
    const own = await losses(network(golden.teacher, 'relu'), { ...distillation, labels: 0 });
    expect((own[0] ?? 0) - (own.at(-1) ?? 0)).toBeLessThan(1e-5);
  });

  it('asks its teacher once where the answers are kept, to the same result', async () => {
    const runs: number[] = [];
    const once = { ...nodeEngine({ threads: 1 }) };
    const engine: Engine = {
      ...once,
      async load(graph) {
        const session = await once.load(graph);
        if (graph.name !== 'teacher') return session;
        return {
          run(feeds, into) {
            runs.push(1);
            return session.run(feeds, into);
          },
          dispose: () => session.dispose(),
          [Symbol.asyncDispose]: () => session.dispose(),
        };
      },
    };
    const trained = async (own: Distillation) => {
      const { graph } = await fit(network(golden.student, 'relu'), {
        engine,
        data,
        trains: () => true,
        optimizer: sgd(),
        schedule: () => 0.05,
        dropout: false,
        batch: 5,
        epochs: 3,
        distillation: own,
      });
      return numbersOf(graph);
    };
    const plain = await trained(distillation);
    expect(runs.length).toBe(3);
    const kept = await trained({ ...distillation, store: (elements) => createMemoryStore(5, elements) });
    expect(runs.length).toBe(4);
    expect(kept).toEqual(plain);
  });

  it('has the same gradients where what lies before the layer is frozen and computed once', async () => {
    const stages: string[] = [];
    const trained = ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias'];
    const { graph, featureElements } = await fit(network(golden.student, 'relu'), {
      engine: nodeEngine({ threads: 1 }),
      data,
      trains: (name) => trained.includes(name),
      optimizer: sgd(),
      schedule: () => 1,
      dropout: false,
      batch: 5,
      epochs: 1,
      distillation,
      onProgress: ({ phase }) => stages.push(phase),
    });
    // The activations at the layer, 4 × 4 × 4, and not the smaller ones behind the pooling.
    expect([featureElements, stages.includes('features')]).toEqual([64, true]);
    const after = numbersOf(graph);
    for (const name of trained) {
      const before = golden.student[name]?.data ?? [];
      const gradient = Array.from(after.get(name) ?? [], (value, i) => (before[i] ?? 0) - value);
      expect(findLargestDifference(gradient, golden.gradients[name]?.data ?? []), name).toBeLessThan(TOLERANCE);
    }
  });

  it('says which layer is missing', async () => {
    const graph = network(golden.student, 'relu');
    const optimizer = sgd();
    const weights = createWeights(graph, new Set(['conv.weight']), optimizer, false);
    const stepper = createStepper(nodeEngine({ threads: 1 }), graph, weights, {
      optimizer,
      seed: 1,
      distillation: { ...distillation, layer: { teacher: 'seen', student: 'nowhere' } },
    });
    const labels = golden.classes;
    const step = { inputs: tensorOf(golden.images), labels, ...first, step: 0, part: 0, share: 1 };
    await expect(stepper.compute(step)).rejects.toThrow('"nowhere", which the student does not have');
    await stepper.dispose();
  });
});
