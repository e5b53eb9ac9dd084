import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph } from '../../src/graph/model.js';
import { listParameters } from '../../src/graph/parameters.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { dequantize } from '../../src/passes/dequantize.js';
import { importGraph } from '../../src/passes/import-graph.js';
import { toSinglePrecision } from '../../src/passes/single-precision.js';
import { float32ToFloat16 } from '../../src/tensor/float16.js';
import { float32, int64, tensor } from '../../src/tensor/tensor.js';

const model = (graph: Graph) => ({ graph, opset: 18, domains: {}, metadata: {} });
const opsOf = (graph: Graph) => graph.nodes.map(({ op }) => op);

/** A quantised layer as ONNX Runtime's tool writes it; what a Relu did is left to the zero point of the last pair. */
function quantizedLayer(perChannel: boolean): Graph {
  const b = new GraphBuilder();
  const x = b.input('x', 'float32', ['N', 3]);
  const scale = b.initializer('x_scale', float32([0.1], []));
  const zero = b.initializer('x_zero_point', tensor('uint8', [], Uint8Array.of(100)));
  const round = (value: typeof x, s = scale, z = zero) =>
    b.op('DequantizeLinear', [b.op('QuantizeLinear', [value, s, z]), s, z]);
  const q = b.initializer('fc.weight_quantized', tensor('int8', [3, 2], Int8Array.of(10, -20, 30, 40, -50, 127)));
  const weightScale = b.initializer('fc.weight_scale', perChannel ? float32([0.5, 0.25]) : float32([0.5], []));
  const weight = b.op('DequantizeLinear', [q, weightScale], { axis: 1 });
  const low = b.initializer('y_zero_point', tensor('uint8', [], Uint8Array.of(0)));
  b.output(round(b.op('MatMul', [round(x), weight]), b.initializer('y_scale', float32([0.5], [])), low));
  return b.build('quantised');
}

describe('dequantize', () => {
  it.each([true, false])(
    'gives the float layer that was quantised, Relu and all (per channel: %s)',
    async (perChannel) => {
      const quantised = quantizedLayer(perChannel);
      const { graph, notes } = dequantize(quantised);
      expect(opsOf(graph)).toEqual(['Clip', 'MatMul', 'Clip']);
      expect(notes).toHaveLength(1);
      const [weight, ...others] = listParameters(graph);
      expect(others).toEqual([]);
      expect(weight?.name).toBe('fc.weight');
      const second = perChannel ? 0.25 : 0.5;
      expect(weight?.tensor).toEqual(float32([5, -20 * second, 15, 40 * second, -25, 127 * second], [3, 2]));
      // On the grid, and inside of its range, nothing is rounded away.
      const x = float32([1, -2, 0.5, 3, 4, -0.5], [2, 3]);
      const [before, after] = [
        await runOnce(referenceEngine(), quantised, { x }),
        await runOnce(nodeEngine(), graph, { x }),
      ];
      const [name] = graph.outputs.map((output) => output.name);
      expect(name).toBe(quantised.outputs[0]?.name);
      const [y, expected] = [after[name ?? ''], before[name ?? '']];
      expect(y?.dims).toEqual(expected?.dims);
      // Half a step of the last grid is what the rounding that is gone had changed at most.
      for (const [i, value] of Array.from(expected?.data ?? [], Number).entries()) {
        expect(Math.abs(Number(y?.data[i]) - value)).toBeLessThanOrEqual(0.25 + 1e-5);
        expect(Number(y?.data[i])).toBeGreaterThanOrEqual(0);
      }
    },
  );

  it('snaps float weights to the grid that they would be rounded to', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2]);
    const weight = b.initializer('fc.weight', float32([0.26, -9, 0.25, 0.75], [2, 2]));
    const scale = b.initializer('scale', float32([0.5, 0.05]));
    const zero = b.initializer('zero', tensor('int8', [2], new Int8Array(2)));
    const pair = b.op('DequantizeLinear', [b.op('QuantizeLinear', [weight, scale, zero], { axis: 1 }), scale, zero], {
      axis: 1,
    });
    b.output(b.op('MatMul', [x, pair]));
    const { graph } = dequantize(b.build('g'));
    expect(opsOf(graph)).toEqual(['MatMul']);
    const [only, ...others] = listParameters(graph);
    expect(others).toEqual([]);
    expect(only?.name).toBe('fc.weight');
    // 0.26 / 0.5 rounds to 1, -9 / 0.05 saturates at -128, 0.25 / 0.5 is a tie that goes to 0, 0.75 / 0.05 is 15.
    expect(only?.tensor).toEqual(float32([0.5, -6.4, 0, 0.75], [2, 2]));
  });

  it('returns a graph without quantised values as it is', () => {
    const b = new GraphBuilder();
    b.output(b.op('Relu', [b.input('x', 'float32', [1])]));
    const graph = b.build('g');
    expect(dequantize(graph)).toEqual({ graph, notes: [] });
    expect(dequantize(graph).graph).toBe(graph);
  });
});

function halfGraph(): Graph {
  const b = new GraphBuilder();
  const x = b.input('x', 'float16', ['N', 2]);
  const bits = float32ToFloat16(Float32Array.of(0.1, 2));
  const weight = b.initializer('scale', tensor('float16', [2], bits));
  const filled = b.op('ConstantOfShape', [b.ints([2])], {
    value: tensor('float16', [1], float32ToFloat16(Float32Array.of(3))),
  });
  b.output(b.op('Cast', [b.op('Add', [b.op('Mul', [x, weight]), filled])], { to: 10 }, { outputName: 'y' }));
  return b.build('half');
}

describe('toSinglePrecision', () => {
  it('computes in float32 with the very values of the file', async () => {
    const { graph, notes } = importGraph(model(halfGraph()), 'half.onnx');
    expect(notes).toEqual([
      { applied: true, text: 'It is stored in half precision (2 tensors); it is computed in float32.' },
    ]);
    expect(opsOf(graph)).toEqual(['Mul', 'Add', 'Cast']);
    expect([...graph.inputs, ...graph.outputs].map(({ name, type }) => [name, type?.dtype])).toEqual([
      ['x', 'float32'],
      ['y', 'float32'],
    ]);
    const stored = Math.fround(0.0999755859375);
    expect(listParameters(graph).map(({ tensor: { data } }) => [...data])).toEqual([[stored, 2]]);
    const { y } = await runOnce(nodeEngine(), graph, { x: float32([1, 1], [1, 2]) });
    expect(y?.data).toEqual(Float32Array.of(stored + 3, 5));
  });

  it('returns a graph without half precision as it is', () => {
    const b = new GraphBuilder();
    b.output(b.op('Relu', [b.input('x', 'float32', [1])]));
    const graph = b.build('g');
    expect(toSinglePrecision(graph)).toEqual({ graph, notes: [] });
  });
});

describe('importGraph', () => {
  it('upgrades and folds, without notes where nothing is lost', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2, 3]);
    const batch = b.op('Gather', [b.op('Shape', [x]), b.initializer('zero', int64([0], []))]);
    const shape = b.op('Concat', [b.op('Unsqueeze', [batch, b.ints([0])]), b.ints([6])], { axis: 0 });
    b.output(b.op('Reshape', [x, shape]));
    const { graph, notes } = importGraph(model(b.build('flatten')), 'f.onnx');
    expect(opsOf(graph)).toEqual(['Reshape']);
    expect(notes).toEqual([]);
  });
});
