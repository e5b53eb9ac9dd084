import { describe, expect, it } from 'vitest';
import { replaceLinears } from '../../src/decompose/decompose-linear.js';
import { countCores, getCoreName, getStoredCoreDims, type TtShape } from '../../src/decompose/modes.js';
import { emitTtLinear } from '../../src/decompose/tt-layer.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Graph } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { summarizeGraph } from '../../src/models/summary.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { rewrite } from '../../src/passes/rewrite.js';
import { buildSchedule, prepareForTraining } from '../../src/recipes/plan-settings.js';
import { finetuneSchema } from '../../src/recipes/recipe.js';
import { countElements, range } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { expectFloat32, float32, type Tensor, zeros } from '../../src/tensor/tensor.js';
import { constant } from '../../src/train/schedules.js';
import { buildStepGraph, getGradientName, TARGET } from '../../src/train/step-graph.js';

/** Another order of float32 sums, relative to the largest number. */
const ROUNDING = 1e-4;
const engine = nodeEngine({ threads: 1 });

function some(dims: readonly number[], seed: number): Tensor<'float32'> {
  const random = seeded(seed);
  return float32(
    Array.from({ length: countElements(dims) }, () => random.uniform(-1, 1)),
    dims,
  );
}

/** `input → fc (a tensor train) → ReLU → head`. */
function model(shape: TtShape, execution: 'factored' | 'rebuilt', bias: boolean): Graph {
  const [inputs, width] = [countElements(shape.inModes), countElements(shape.outModes)];
  const b = new GraphBuilder();
  let x = b.input('input', 'float32', ['N', inputs]);
  const dense = [
    b.initializer('fc.weight', some([width, inputs], 1)),
    ...(bias ? [b.initializer('fc.bias', some([width], 2))] : []),
  ];
  x = b.op('Gemm', [x, ...dense], { transB: 1 }, { name: 'fc' });
  x = b.op('Relu', [x], {}, { name: 'relu' });
  b.output(b.op('Gemm', [x, b.initializer('head.weight', some([3, width], 3))], { transB: 1 }, { name: 'head' }));
  const train = {
    descriptor: { path: 'fc', ...shape },
    cores: Array.from({ length: countCores(shape) }, (_, k) => some(getStoredCoreDims(shape, k), 4 + k)),
    bias: bias ? some(shape.outModes, 20) : undefined,
    relativeError: 0,
    relativeBound: 0,
    clipped: [],
    parametersBefore: 0,
    parametersAfter: 0,
  };
  return replaceLinears(b.build('model'), [train], () => execution);
}

const shapes: readonly TtShape[] = [
  { layout: 'tt', outModes: [3, 4], inModes: [5, 6], bonds: [3, 7, 5] },
  { layout: 'tt', outModes: [6], inModes: [4, 3, 2], bonds: [5, 4, 2] },
  { layout: 'tt', outModes: [2, 3], inModes: [12], bonds: [2, 6] },
  { layout: 'tt-matrix', outModes: [3, 4], inModes: [5, 2], bonds: [6] },
  { layout: 'tt-matrix', outModes: [2, 2, 3], inModes: [3, 2, 2], bonds: [4, 3] },
];

const isOf = (path: string) => (name: string) => name.startsWith(`${path}.`);

/** The gradients of one step, by parameter. */
async function gradientsOf(graph: Graph, batch: number): Promise<Map<string, Float32Array>> {
  const parameters = listParameters(graph);
  const step = buildStepGraph(graph, new Set(parameters.map(({ name }) => name)), batch);
  const target = float32(
    Array.from({ length: batch * 3 }, (_, i) => Number(i % 4 === 0)),
    [batch, 3],
  );
  const results = await runOnce(engine, step.graph, {
    input: some([batch, Number(graph.inputs[0]?.type?.dims[1])], 30),
    [TARGET]: target,
    ...Object.fromEntries(parameters.map(({ name, tensor }) => [name, tensor])),
  });
  return new Map(parameters.map(({ name }) => [name, expectFloat32(results[getGradientName(name)], name).data]));
}

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>): void {
  const all = Array.from(expected);
  const scale = Math.max(1, ...all.map(Math.abs));
  expect(found.length).toBe(all.length);
  for (const [i, value] of all.entries())
    expect(Math.abs((found[i] ?? Number.NaN) - value)).toBeLessThan(ROUNDING * scale);
}

describe('forTraining', () => {
  it.each(
    shapes.flatMap((shape) =>
      (['factored', 'rebuilt'] as const).flatMap((execution) =>
        [true, false].map((bias) => ({ ...shape, execution, bias })),
      ),
    ),
  )(
    'computes and differentiates the same: $layout of $inModes → $outModes, $execution, bias $bias',
    async (options) => {
      const { execution, bias, ...shape } = options;
      const graph = model(shape, execution, bias);
      const training = prepareForTraining(graph, () => true, 8);
      const input = some([2, countElements(shape.inModes)], 40);
      const [before, after] = [
        await runOnce(engine, graph, { input }),
        await runOnce(engine, training.graph, { input }),
      ];
      const outputOf = (results: Record<string, Tensor>, { outputs: [output] }: Graph) =>
        expectFloat32(results[output?.name ?? ''], 'output').data;
      expectClose(outputOf(after, training.graph), outputOf(before, graph));
      const expected = await gradientsOf(graph, 8);
      const found = await gradientsOf(training.graph, 8);
      expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [name, gradient] of expected) expectClose(found.get(name) ?? [], gradient);
    },
  );

  it("takes the study's layer in the order that is cheapest for a batch", () => {
    const b = new GraphBuilder();
    const shape: TtShape = { layout: 'tt', outModes: [16, 32], inModes: [112, 224], bonds: [16, 100, 150] };
    const cores = range(countCores(shape)).map((k) =>
      b.initializer(`fc.${getCoreName(k)}`, zeros('float32', getStoredCoreDims(shape, k))),
    );
    const x = b.input('input', 'float32', ['N', 25088]);
    b.output(
      b.within('fc', () => emitTtLinear(b, x, cores, undefined, { path: 'fc', ...shape, execution: 'rebuilt' })),
    );
    const graph = b.build('layer');
    const millions = (of: Graph) => Math.round(summarizeGraph(of, { inputDims: [64, 25088] }).multAdds / 1e6);
    // A finished model multiplies by the dense weight, of which cores that are constants are made for nothing; a training
    // takes the images through one core after the other.
    expect(millions(graph)).toBe(822);
    expect(millions(prepareForTraining(graph, () => true, 64).graph)).toBe(352);
  });

  it('puts trained numbers back, and nothing else', () => {
    const graph = model(shapes[0] ?? { layout: 'tt', outModes: [], inModes: [], bonds: [] }, 'rebuilt', true);
    const training = prepareForTraining(graph, isOf('fc'), 8);
    const changed = rewrite(training.graph, {
      initializer: ({ name }, data) => (name === 'fc.tt_W1' ? some(data.dims, 50) : data),
    });
    const back = training.restore(changed);
    expect(back.nodes).toBe(graph.nodes);
    expect(back.outputs).toBe(graph.outputs);
    for (const [value, data] of graph.initializers) {
      if (value.name === 'fc.tt_W1') expect(back.initializers.get(value)).toEqual(some(data.dims, 50));
      else expect(back.initializers.get(value)).toBe(data);
    }
  });

  it('leaves a layer as it runs where none of it is trained', () => {
    const graph = model(shapes[0] ?? { layout: 'tt', outModes: [], inModes: [], bonds: [] }, 'rebuilt', true);
    expect(prepareForTraining(graph, isOf('head'), 8).graph).toBe(graph);
  });
});

describe('scheduleOf', () => {
  const plan = (more: object) => finetuneSchema.parse(more);
  it('rises for half of the training unless it is told how long', () => {
    const rates = (more: object, steps: number) => [0, 1, 2, 3, 4].map(buildSchedule(plan(more), steps));
    expect(rates({ learningRate: [1, 3] }, 4)).toEqual([1, 2, 3, 2, 1]);
    expect(rates({ learningRate: [1, 3], stepSizeUp: 1 }, 4)).toEqual([1, 3, 1, 2, 1]);
    expect(rates({ learningRate: [1, 3] }, 1)).toEqual([1, 3, 1, 2, 1]);
    expect(rates({ learningRate: 0.25 }, 4)).toEqual([0, 1, 2, 3, 4].map(constant(0.25)));
  });
});
