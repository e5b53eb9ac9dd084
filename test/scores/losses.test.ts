import { describe, expect, it } from 'vitest';
import { sumDivergence } from '../../src/compression/kl-divergence.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph } from '../../src/graph/model.js';
import { computeLogProbabilities, countAccuracy } from '../../src/metrics/accuracy.js';
import { findScores, type ScoreKinds } from '../../src/ops/scores/scores.js';
import { cutToScores } from '../../src/passes/scores-graph.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';
import { buildStepGraph, LOSS, TARGET } from '../../src/train/step-graph.js';
import { type Ending, network, noise, SIDE } from './networks.js';

/** Sums of a few float32 logarithms, against the same in double precision. */
const SAME_LOSS = 2e-5;

const IMAGES = 6;
const images = noise([IMAGES, 3, SIDE, SIDE], 21);
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));

async function run(graph: Graph, feeds: Record<string, Tensor>, name: string): Promise<Tensor<'float32'>> {
  const session = await referenceEngine().load(graph);
  try {
    return expectFloat32((await session.run(feeds))[name], name);
  } finally {
    await session.dispose();
  }
}

const first = (graph: Graph): string => graph.outputs[0]?.name ?? '';
const logitsOf = async (columns: number) => {
  const graph = network((_, z) => z, { columns });
  return (await run(graph, { input: images }, first(graph))).data;
};

function oneHot(labels: readonly number[], classes: number): Tensor<'float32'> {
  const rows = labels.flatMap((label) => Array.from({ length: classes }, (_, c) => Number(c === label)));
  return float32(rows, [labels.length, classes]);
}

/** Loss of a training step, and the mean negative log-likelihood of an evaluation. */
async function lossesOf(graph: Graph, labels: readonly number[]) {
  const scores = findScores(graph);
  const parameters = new Set(['fc.weight', 'fc.bias']);
  const step = buildStepGraph(graph, parameters, IMAGES);
  expect(step.classes).toBe(scores.classes);
  const trained = [...graph.initializers].filter(([{ name }]) => parameters.has(name));
  const feeds = {
    input: images,
    [TARGET]: oneHot(labels, scores.classes),
    ...Object.fromEntries(trained.map(([{ name }, weights]) => [name, weights])),
  };
  const loss = (await run(step.graph, feeds, LOSS)).data[0] ?? Number.NaN;
  const measured = cutToScores(graph, scores);
  const found = await run(measured, { input: images }, first(measured));
  const log = computeLogProbabilities(found, { kind: scores.source.kind, labels: scores.labels });
  return { loss, nll: countAccuracy(log, labels, scores.labels).nllSum / IMAGES };
}

describe('one column', () => {
  const labels = [0, 1, 1, 0, 1, 0];
  const endings: Readonly<Record<string, Ending>> = {
    logits: (_, z) => z,
    sigmoid: (b, z) => b.op('Sigmoid', [z]),
    'log-sigmoid': (b, z) => b.op('Log', [b.op('Sigmoid', [z])]),
    'the second of two probabilities': (b, z) =>
      b.op('Slice', [
        b.op('Softmax', [b.op('Concat', [b.op('Mul', [z, b.scalar(0)]), z], { axis: 1 })]),
        b.ints([1]),
        b.ints([2]),
        b.ints([1]),
      ]),
  };

  it.each(Object.keys(endings))('%s: loss and NLL are the binary cross entropy', async (name) => {
    const z = await logitsOf(1);
    const wanted =
      labels.reduce((sum, label, i) => sum - Math.log(sigmoid((label ? 1 : -1) * (z[i] ?? 0))), 0) / IMAGES;
    const { loss, nll } = await lossesOf(network(endings[name] as Ending, { columns: 1 }), labels);
    expect(Math.abs(loss - wanted)).toBeLessThanOrEqual(SAME_LOSS);
    expect(Math.abs(nll - wanted)).toBeLessThanOrEqual(SAME_LOSS);
  });

  it('decides by p > 0.5, which is y > 0', () => {
    const y = float32([-2, 0.1, 0, 3], [4, 1]);
    const log = computeLogProbabilities(y, { kind: 'logits', labels: 'binary' });
    expect(log.dims).toEqual([4, 2]);
    const counts = [0, 1, 0, 1].map((label, i) =>
      countAccuracy(float32(log.data.slice(2 * i, 2 * i + 2), [1, 2]), [label]),
    );
    // At y = 0 both are as probable: class 0.
    expect(counts.map(({ top1Correct }) => top1Correct)).toEqual([1, 1, 1, 1]);
  });
});

describe('classes with probabilities of their own', () => {
  const labels = [0, 4, 2, 1, 3, 0];
  it('loss and NLL are the sum of the binary cross entropies', async () => {
    const z = await logitsOf(5);
    let wanted = 0;
    for (const [i, label] of labels.entries()) {
      for (let c = 0; c < 5; c++) wanted -= Math.log(sigmoid((c === label ? 1 : -1) * (z[5 * i + c] ?? 0))) / IMAGES;
    }
    const { loss, nll } = await lossesOf(
      network((b, logits) => b.op('Sigmoid', [logits])),
      labels,
    );
    expect(Math.abs(loss - wanted)).toBeLessThanOrEqual(SAME_LOSS);
    expect(Math.abs(nll - wanted)).toBeLessThanOrEqual(SAME_LOSS);
  });
});

describe('a saturated softmax', () => {
  it('has the finite loss of its logits, not the logarithm of 0', async () => {
    const labels = [0, 1, 2, 3, 4, 0];
    const options = { scale: 2000 };
    const [behind, plain] = await Promise.all([
      lossesOf(
        network((b, z) => b.op('Softmax', [z]), options),
        labels,
      ),
      lossesOf(
        network((_, z) => z, options),
        labels,
      ),
    ]);
    expect(plain.nll).toBeGreaterThan(100);
    expect(behind).toEqual(plain);
  });
});

describe('KL of two batches of scores', () => {
  const p = [0.2, 0.9, 0.5];
  const q = [0.3, 0.6, 0.5];
  const wanted = p.reduce((sum, a, i) => {
    const b = q[i] ?? 0;
    return sum + a * Math.log(a / b) + (1 - a) * Math.log((1 - a) / (1 - b));
  }, 0);
  const logit = (values: readonly number[]) => values.map((value) => Math.log(value / (1 - value)));
  const forms = {
    probabilities: [p, q],
    logits: [logit(p), logit(q)],
    'log-probabilities': [p.map(Math.log), q.map(Math.log)],
  };

  it.each(['probabilities', 'logits', 'log-probabilities'] as const)(
    '%s of single columns and of classes of their own',
    (kind) => {
      const [a = [], b = []] = forms[kind];
      const of = (labels: ScoreKinds['labels'], dims: readonly number[]) =>
        sumDivergence(float32(a, dims), float32(b, dims), { kind, labels });
      expect(of('binary', [3, 1])).toBeCloseTo(wanted, 6);
      expect(of('multi-label', [1, 3])).toBeCloseTo(wanted, 6);
      expect(of('multi-label', [1, 3, 1, 1])).toBeCloseTo(wanted, 6);
      expect(of('single-label', [3, 1])).not.toBeCloseTo(wanted, 3);
    },
  );

  it('is 0 of a batch and itself, also where probabilities are 0 and 1', () => {
    const sure = float32([0, 1, 1, 0], [2, 2]);
    for (const labels of ['single-label', 'multi-label'] as const) {
      expect(sumDivergence(sure, sure, { kind: 'probabilities', labels })).toBe(0);
    }
  });
});
