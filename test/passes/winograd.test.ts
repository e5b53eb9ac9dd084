import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gradient } from '../../src/autodiff/gradient.js';
import { checkGradient, GRADIENT_TOLERANCE } from '../../src/autodiff/gradient-check.js';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import type { AttributeValues } from '../../src/ops/table.js';
import { applyWinograd } from '../../src/passes/winograd.js';
import { countElements } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';

/**
 * Relative to the largest element: each transform adds up to 16 numbers of both signs, which loses two to three of
 * float32's 24 bits beside a direct convolution (Lavin and Gray, section 5.3 report the same).
 */
const TOLERANCE = 2 ** -19;

const random = seeded(20260301);
const uniform = (dims: readonly number[]): Tensor<'float32'> =>
  float32(
    Array.from({ length: countElements(dims) }, () => random.uniform(-1, 1)),
    dims,
  );

interface Shape {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly height: number;
  readonly width: number;
  readonly bias: boolean;
}

/** y = Conv(x, w, bias), and Σ r y to differentiate. */
function graphOf(shape: Shape, attributes: AttributeValues<'Conv'> = { pads: [1, 1, 1, 1] }, kernel = [3, 3]) {
  const b = new GraphBuilder();
  const x = b.input('x', 'float32', [shape.batch, shape.channels, shape.height, shape.width]);
  const w = b.initializer('conv.weight', uniform([shape.outputs, shape.channels, ...kernel]));
  const bias = shape.bias ? b.initializer('conv.bias', uniform([shape.outputs])) : undefined;
  const y = b.op('Conv', bias ? [x, w, bias] : [x, w], attributes, { name: 'conv', outputName: 'y' });
  const r = b.initializer('constant/r', uniform(y.type?.dims.map(Number) ?? []));
  b.output(y);
  b.output(b.op('ReduceSum', [b.op('Mul', [y, r])], { keepdims: 0 }));
  return b.build('convolution');
}

const opsOf = (graph: Graph) => graph.nodes.map(({ op }) => op);

function withGradients(graph: Graph): Graph {
  const of = graph.outputs[1];
  const wrt = [...graph.inputs, ...[...graph.initializers.keys()].filter(({ name }) => name.startsWith('conv.'))];
  return gradient(graph, { wrt, ...(of ? { of } : {}) }).graph;
}

const numbersOf = (data: Tensor['data']): number[] => Array.from({ length: data.length }, (_, i) => Number(data[i]));

function expectClose(found: Record<string, Tensor>, expected: Record<string, Tensor>): void {
  expect(Object.values(found).map(({ dims }) => dims)).toEqual(Object.values(expected).map(({ dims }) => dims));
  const others = Object.values(found);
  for (const [i, { data }] of Object.values(expected).entries()) {
    const values = numbersOf(data);
    const largest = Math.max(...values.map(Math.abs));
    expect(findLargestDifference(values, others[i]?.data ?? []), `output ${i}`).toBeLessThanOrEqual(
      TOLERANCE * largest,
    );
  }
}

const shapes = fc.record<Shape>({
  batch: fc.integer({ min: 1, max: 3 }),
  channels: fc.integer({ min: 1, max: 4 }),
  outputs: fc.integer({ min: 1, max: 4 }),
  height: fc.integer({ min: 1, max: 7 }),
  width: fc.integer({ min: 1, max: 7 }),
  bias: fc.boolean(),
});

describe('Winograd convolutions', () => {
  it('give the outputs and gradients of Conv, whatever the sizes', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async (shape) => {
        const graph = graphOf(shape);
        const { graph: fast } = applyWinograd(graph, { fewestChannels: 1 });
        expect(opsOf(fast)).toContain('MatMul');
        expect(fast.outputs.map(({ type }) => type)).toEqual(graph.outputs.map(({ type }) => type));
        const feeds = { x: uniform(graph.inputs[0]?.type?.dims.map(Number) ?? []) };
        expectClose(
          await runOnce(nodeEngine({ threads: 1 }), withGradients(fast), feeds),
          await runOnce(nodeEngine({ threads: 1 }), withGradients(graph), feeds),
        );
      }),
      { numRuns: 40, seed: 7 },
    );
  });

  it('are differentiated right, as finite differences in double say', async () => {
    const { graph } = applyWinograd(graphOf({ batch: 2, channels: 2, outputs: 3, height: 4, width: 5, bias: true }), {
      fewestChannels: 1,
    });
    const wrt = [...graph.inputs, ...[...graph.initializers.keys()].filter(({ name }) => name.startsWith('conv.'))];
    const worst = await checkGradient(graph, referenceEngine(), { wrt, feeds: { x: uniform([2, 2, 4, 5]) } });
    expect(worst.error, JSON.stringify(worst)).toBeLessThan(GRADIENT_TOLERANCE);
  });

  it.each<[string, AttributeValues<'Conv'>, number[]?]>([
    ['a stride', { pads: [1, 1, 1, 1], strides: [2, 2] }],
    ['dilation', { pads: [1, 1, 1, 1], dilations: [2, 2] }],
    ['no padding', {}],
    ['padding on one side', { pads: [1, 1, 0, 0] }],
    ['another kernel', { pads: [1, 1, 1, 1] }, [3, 2]],
  ])('leave a Conv with %s alone', (_, attributes, kernel) => {
    const graph = graphOf({ batch: 1, channels: 2, outputs: 2, height: 6, width: 6, bias: true }, attributes, kernel);
    expect(opsOf(applyWinograd(graph, { fewestChannels: 1 }).graph)).toEqual(opsOf(graph));
  });

  it('leave a Conv of few channels alone unless told otherwise', () => {
    const graph = graphOf({ batch: 1, channels: 256, outputs: 255, height: 2, width: 2, bias: false });
    expect(opsOf(applyWinograd(graph).graph)).toEqual(opsOf(graph));
    const wide = graphOf({ batch: 1, channels: 256, outputs: 256, height: 2, width: 2, bias: false });
    expect(opsOf(applyWinograd(wide).graph)).toContain('MatMul');
  });
});
