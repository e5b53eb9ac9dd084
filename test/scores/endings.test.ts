import { describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { gradCam } from '../../src/explain/grad-cam.js';
import type { Graph } from '../../src/graph/model.js';
import { computeLogProbabilities } from '../../src/metrics/accuracy.js';
import { describeScores, findScores } from '../../src/ops/scores/scores.js';
import { cutToScores } from '../../src/passes/scores-graph.js';
import { expectFloat32, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';
import { type Ending, logSigmoids, logSoftmaxes, network, noise, SIDE, sigmoids, softmaxes } from './networks.js';

/** Two maps of one network differ by the rounding of one rescaling to 0…1 at most. */
const SAME_MAP = 5e-7;
/** Probabilities in float32, computed in two ways; a Clip at 1e-7 and an added 1e-8 are smaller. */
const SAME_PROBABILITY = 2e-6;

const images = noise([4, 3, SIDE, SIDE], 11);
const plain: Ending = (_, z) => z;

async function outputOf(engine: Engine, graph: Graph): Promise<Tensor<'float32'>> {
  const session = await engine.load(graph);
  try {
    const found = await session.run({ input: images });
    return expectFloat32(found[graph.outputs[0]?.name ?? ''], 'output');
  } finally {
    await session.dispose();
  }
}

/** Maps of every image for every class, of the first batch. */
async function mapsOf(graph: Graph, score?: 'logits' | 'output') {
  const explainer = await gradCam(nodeEngine(), graph, { score });
  try {
    const found = [];
    for (let target = 0; target < explainer.classes; target++) {
      for (const { map } of await explainer.explain(images, [target, target, target, target])) found.push(map.data);
    }
    return found;
  } finally {
    await explainer.dispose();
  }
}

function farthest(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((map, i) => findLargestDifference(map, b[i] ?? [])));
}

/** Probabilities as the verbs compute them. */
async function probabilitiesOf(graph: Graph): Promise<Float32Array> {
  const scores = findScores(graph);
  const found = await outputOf(referenceEngine(), cutToScores(graph, scores));
  expect(found.dims).toEqual([4, scores.columns]);
  return computeLogProbabilities(found, { kind: scores.source.kind, labels: scores.labels }).data.map(Math.exp);
}

const families = [
  { name: 'softmax', endings: softmaxes, kind: 'probabilities', labels: 'single-label', link: 'Softmax' },
  { name: 'log-softmax', endings: logSoftmaxes, kind: 'log-probabilities', labels: 'single-label', link: 'Softmax' },
  { name: 'sigmoid', endings: sigmoids, kind: 'probabilities', labels: 'multi-label', link: 'Sigmoid' },
  { name: 'log-sigmoid', endings: logSigmoids, kind: 'log-probabilities', labels: 'multi-label', link: 'Sigmoid' },
] as const;

for (const { name, endings, kind, labels, link } of families) {
  describe(`scores behind a ${name}`, () => {
    for (const [ending, append] of Object.entries(endings)) {
      it(`${ending}: recognised, with the map of the logits and the network’s own probabilities`, async () => {
        const graph = network(append);
        expect(findScores(graph)).toMatchObject({ kind, labels, link, columns: 5, classes: 5 });
        expect(findScores(graph).logits).toBeDefined();
        expect(farthest(await mapsOf(graph, 'logits'), await mapsOf(network(plain)))).toBeLessThanOrEqual(SAME_MAP);
        const own = (await outputOf(referenceEngine(), graph)).data;
        const wanted = kind === 'probabilities' ? own : own.map(Math.exp);
        expect(findLargestDifference(await probabilitiesOf(graph), wanted)).toBeLessThanOrEqual(SAME_PROBABILITY);
      });
    }
  });
}

describe('what is explained by default', () => {
  it.each(Object.keys(softmaxes))('%s: the logits, also where the softmax is saturated', async (ending) => {
    const saturated = { scale: 400 };
    const maps = await mapsOf(network(softmaxes[ending] as Ending, saturated));
    expect(farthest(maps, await mapsOf(network(plain, saturated)))).toBeLessThanOrEqual(SAME_MAP);
  });

  it.each(Object.keys(logSoftmaxes))('%s: the log-probability, in every spelling the same', async (ending) => {
    const maps = await mapsOf(network(logSoftmaxes[ending] as Ending));
    const plainMaps = await mapsOf(network(logSoftmaxes.LogSoftmax as Ending));
    // The spelled-out ones are computed as a LogSoftmax, too.
    expect(farthest(maps, plainMaps)).toBeLessThanOrEqual(SAME_MAP);
    expect(farthest(maps, await mapsOf(network(plain)))).toBeGreaterThan(0.01);
  });

  it('score "output" explains the probability itself: other maps than of the logits', async () => {
    const softmax = network(softmaxes.Softmax as Ending);
    expect(farthest(await mapsOf(softmax, 'output'), await mapsOf(softmax, 'logits'))).toBeGreaterThan(0.01);
  });
});

describe('one output column', () => {
  const column = { columns: 1 };
  const shapes: Readonly<Record<string, Ending>> = {
    '[N, 1]': plain,
    '[N]': (b, z) => b.op('Squeeze', [z, b.ints([1])]),
    '[N, 1, 1, 1]': (b, z) => b.op('Unsqueeze', [z, b.ints([2, 3])]),
    '[N, 1] of a sigmoid': (b, z) => b.op('Sigmoid', [z]),
    '[N] of a sigmoid': (b, z) => b.op('Squeeze', [b.op('Sigmoid', [z]), b.ints([1])]),
    '[N, 1, 1, 1] of a sigmoid': (b, z) => b.op('Sigmoid', [b.op('Unsqueeze', [z, b.ints([2, 3])])]),
    '[N, 1] of a sigmoid that is clipped': (b, z) => sigmoids['Sigmoid, Clip']?.(b, z) ?? z,
    '[N, 1] of a log-sigmoid': (b, z) => logSigmoids['−softplus(−z)']?.(b, z) ?? z,
  };

  it.each(Object.keys(shapes))('%s is two classes: class 1 is y, class 0 is −y', async (shape) => {
    const graph = network(shapes[shape] as Ending, column);
    expect(findScores(graph)).toMatchObject({ labels: 'binary', classes: 2, columns: 1 });
    const y = (await outputOf(referenceEngine(), network(plain, column))).data;
    const wanted = Array.from(y).flatMap((value) => [1 / (1 + Math.exp(value)), 1 / (1 + Math.exp(-value))]);
    expect(findLargestDifference(await probabilitiesOf(graph), wanted)).toBeLessThanOrEqual(SAME_PROBABILITY);
    // −y and y as the two classes of a plain softmax have the same maps.
    const pair = network((b, z) => b.op('Concat', [b.op('Neg', [z]), z], { axis: 1 }), column);
    expect(farthest(await mapsOf(graph), await mapsOf(pair))).toBeLessThanOrEqual(SAME_MAP);
  });

  it('as a regression has no classes: y itself is explained', async () => {
    const graph = network(plain, column);
    expect(findScores(graph, { task: 'regression' })).toMatchObject({ labels: 'none', classes: 1, kind: 'logits' });
    const explainer = await gradCam(nodeEngine(), graph, { task: 'regression' });
    const [found] = await explainer.explain(images);
    await explainer.dispose();
    const binary = await gradCam(nodeEngine(), graph);
    const [expected] = await binary.explain(images, [1, 1, 1, 1]);
    await binary.dispose();
    expect(found?.target).toBe(0);
    expect(found?.map.data).toEqual(expected?.map.data);
    const y = (await outputOf(referenceEngine(), graph)).data;
    expect(found?.scores[0]).toBeCloseTo(y[0] ?? Number.NaN, 5);
  });
});

describe('probabilities without logits', () => {
  const column = { columns: 1 };
  const kinds: readonly (readonly [string, Ending, object, { columns?: number }])[] = [
    [
      'the mean of two softmaxes',
      (b, z) => b.op('Mul', [b.op('Add', [b.op('Softmax', [z]), b.op('Softmax', [b.op('Neg', [z])])]), b.scalar(0.5)]),
      { labels: 'single-label', classes: 5 },
      {},
    ],
    [
      'a Concat of 1 − p and p',
      (b, z) => {
        const p = b.op('Sigmoid', [z]);
        return b.op('Concat', [b.op('Sub', [b.scalar(1), p]), p], { axis: 1 });
      },
      { labels: 'single-label', classes: 2 },
      column,
    ],
    [
      'the second of two probabilities',
      (b, z) => b.op('Slice', [b.op('Softmax', [z]), b.ints([1]), b.ints([2]), b.ints([1])]),
      { labels: 'binary', classes: 2 },
      { columns: 2 },
    ],
    [
      'products of sigmoids',
      (b, z) => b.op('Mul', [b.op('Sigmoid', [z]), b.op('Sigmoid', [b.op('Neg', [z])])]),
      { labels: 'multi-label' },
      {},
    ],
  ];
  it.each(kinds)('%s: recognised from its range, explained as it is', async (_, ending, expected, options) => {
    const graph = network(ending, options);
    const scores = findScores(graph);
    expect(scores).toMatchObject({ kind: 'probabilities', logits: undefined, ...expected });
    const found = await probabilitiesOf(graph);
    const own = (await outputOf(referenceEngine(), graph)).data;
    const wanted = scores.labels === 'binary' ? Array.from(own).flatMap((p) => [1 - p, p]) : own;
    expect(findLargestDifference(found, wanted)).toBeLessThanOrEqual(SAME_PROBABILITY);
    await expect(gradCam(nodeEngine(), graph, { score: 'logits' })).rejects.toThrow(/no logits/);
  });

  it.each([
    ['a HardSigmoid', 'HardSigmoid', (b, z) => b.op('HardSigmoid', [z])],
    ['a Clip to 0…1', 'Clip', (b, z) => b.op('Clip', [z, b.scalar(0), b.scalar(1)])],
  ] as const satisfies readonly (readonly [string, string, Ending])[])(
    '%s: what goes into it is explained, its own probability is printed',
    async (_, link, ending) => {
      const graph = network(ending);
      expect(findScores(graph)).toMatchObject({ kind: 'probabilities', labels: 'multi-label', link });
      expect(farthest(await mapsOf(graph), await mapsOf(network(plain)))).toBeLessThanOrEqual(SAME_MAP);
      const own = (await outputOf(referenceEngine(), graph)).data;
      expect(findLargestDifference(await probabilitiesOf(graph), own)).toBeLessThanOrEqual(SAME_PROBABILITY);
    },
  );

  it('a sigmoid divided by its sum is one class of several', async () => {
    const graph = network((b, z) => {
      const p = b.op('Sigmoid', [z]);
      return b.op('Div', [p, b.op('ReduceSum', [p, b.ints([1])], { keepdims: 1 })]);
    });
    expect(findScores(graph)).toMatchObject({ kind: 'probabilities', labels: 'single-label', link: 'Sigmoid' });
    const own = (await outputOf(referenceEngine(), graph)).data;
    expect(findLargestDifference(await probabilitiesOf(graph), own)).toBeLessThanOrEqual(SAME_PROBABILITY);
  });
});

describe('scores that are what they look like', () => {
  it.each([
    ['plain logits', plain],
    ['logits on [N, C, 1, 1]', (b, z) => b.op('Unsqueeze', [z, b.ints([2, 3])])],
    ['logits that are scaled', (b, z) => b.op('Mul', [z, b.scalar(0.1)])],
    ['logits behind a Relu', (b, z) => b.op('Relu', [z])],
    ['logits clipped to 0…6', (b, z) => b.op('Clip', [z, b.scalar(0), b.scalar(6)])],
    [
      'logits divided by the norm of others',
      (b, z) => b.op('Div', [z, b.op('ReduceSum', [b.op('Exp', [z]), b.ints([1])])]),
    ],
    ['a softmax over the batch', (b, z) => b.op('Softmax', [z], { axis: 0 })],
  ] as const satisfies readonly (readonly [string, Ending])[])('%s', (_, ending) => {
    const scores = findScores(network(ending));
    expect(scores.labels === 'single-label' && scores.kind === 'logits').toBe(_ !== 'a softmax over the batch');
    expect(scores.link).toBeUndefined();
  });

  it('no output that can hold scores: none are described, and an error says what there is', () => {
    const maps = network((b, z) => b.op('Expand', [b.op('Unsqueeze', [z, b.ints([2, 3])]), b.ints([1, 5, 8, 8])]));
    expect(describeScores(maps)).toBeUndefined();
    expect(() => findScores(maps)).toThrow(/no classifier.*\[N, 5, 8, 8\]/);
  });
});
