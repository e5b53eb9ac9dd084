import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gradient } from '../../src/autodiff/gradient.js';
import { checkGradient, GRADIENT_TOLERANCE } from '../../src/autodiff/gradient-check.js';
import { type Engine, type NamedTensors, runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { startRewrite } from '../../src/passes/rewrite.js';
import { countElements } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, int64, tensor } from '../../src/tensor/tensor.js';

const sum = (b: GraphBuilder, value: Value): Value => b.op('ReduceSum', [value], { keepdims: 0 });

/** The gradients of the graph's first output, by name of the value. */
async function gradientsOf(graph: Graph, wrt: readonly Value[], feeds: NamedTensors, engine = referenceEngine()) {
  const built = gradient(graph, { wrt });
  const results = await runOnce(engine, built.graph, feeds);
  return Object.fromEntries(wrt.map((value, i) => [value.name, results[built.gradients[i]?.name ?? '']]));
}

describe('the walker', () => {
  it('adds up what several uses of a value contribute', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [3]);
    // x^2 + 3x, the square as a product of x with itself
    b.output(sum(b, b.op('Add', [b.op('Mul', [x, x]), b.op('Mul', [x, b.scalar(3)])])));
    const { x: dx } = await gradientsOf(b.build('fan-out'), [x], { x: float32([1, -2, 0.5]) });
    expect(dx?.data).toEqual(Float32Array.of(5, -1, 4));
  });

  it('gives every gradient an output of its own, also where two are the same value', async () => {
    const b = new GraphBuilder();
    const [x, y] = [b.input('x', 'float32', [2]), b.input('y', 'float32', [2])];
    b.output(sum(b, b.op('Add', [x, y])));
    const built = gradient(b.build('add'), { wrt: [x, y] });
    expect(built.graph.outputs.map(({ name }) => name)).toEqual(['ReduceSum:0', 'gradient/x', 'gradient/y']);
    const feeds = { x: float32([1, 2]), y: float32([3, 4]) };
    const results = await runOnce(nodeEngine(), built.graph, feeds);
    expect(results['gradient/x']?.data).toEqual(Float32Array.of(1, 1));
    expect(results['gradient/y']?.data).toEqual(Float32Array.of(1, 1));
  });

  it('differentiates by an activation without touching what comes before it', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [1, 5, 6, 6]);
    const w = b.initializer('w', float32(new Float32Array(2 * 5 * 9).fill(0.1), [2, 5, 3, 3]));
    // A reduction that has no rule: it would throw if it were on the way. The maximum of x and x is x.
    const index = b.initializer('index', int64(new Array<number>(180).fill(0), [1, 5, 6, 6]));
    const same = b.op('ScatterElements', [x, index, x], { reduction: 'max' });
    const activation = b.op('Tanh', [b.op('Conv', [same, w])], {}, { outputName: 'a' });
    b.output(sum(b, b.op('Mul', [activation, activation])));
    const built = gradient(b.build('activation'), { wrt: [activation] });
    const made = built.graph.nodes.filter(({ name }) => name.startsWith('gradient/')).map(({ op }) => op);
    expect(made.filter((op) => op === 'Conv' || op === 'ConvTranspose')).toEqual([]);
    const feeds = { x: float32(new Float32Array(180).fill(0.3), [1, 5, 6, 6]) };
    const results = await runOnce(referenceEngine(), built.graph, feeds);
    const expected = Math.fround(2 * Math.tanh(0.3 * 0.1 * 45));
    expect(results['gradient/a']?.dims).toEqual([1, 2, 4, 4]);
    for (const value of results['gradient/a']?.data ?? []) expect(Number(value)).toBeCloseTo(expected, 6);
  });

  it('leaves frozen inputs without gradient nodes', () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [4, 3]);
    const w = b.initializer('w', float32(new Float32Array(6), [3, 2]));
    b.output(sum(b, b.op('MatMul', [x, w])));
    const graph = b.build('linear');
    const products = (wrt: readonly Value[]) =>
      gradient(graph, { wrt }).graph.nodes.filter(({ op }) => op === 'MatMul' || op === 'Gemm').length;
    expect(products([w])).toBe(2);
    expect(products([x, w])).toBe(3);
  });

  it('joins the gradients of several outputs, with zeros for those that do not count', async () => {
    const b = new GraphBuilder();
    const input = b.input('x', 'float32', [5]);
    const parts = b.node('Split', [input, b.ints([1, 2, 2])], {}, { outputs: 3 });
    const [first, , last] = parts;
    b.output(b.op('Add', [sum(b, b.op('Mul', [last, last])), sum(b, b.op('Mul', [first, b.scalar(7)]))]));
    const { graph } = gradient(b.build('g'), { wrt: [input] });
    const results = await runOnce(referenceEngine(), graph, { x: float32([1, 2, 3, 4, 5]) });
    expect(results['gradient/x']?.data).toEqual(Float32Array.of(7, 0, 0, 8, 10));
  });

  it('differentiates its own gradients: d2/dx2 of x^3 is 6x', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [3]);
    b.output(sum(b, b.op('Pow', [x, b.scalar(3)])));
    const first = gradient(b.build('cube'), { wrt: [x] });
    const { builder, mapValue: of } = startRewrite(first.graph, { outputs: first.gradients });
    for (const dx of first.gradients) builder.output(sum(builder, of(dx)));
    const { x: second } = await gradientsOf(builder.build('twice'), first.graph.inputs.map(of), {
      x: float32([1, -2, 0.5]),
    });
    expect(second?.data).toEqual(Float32Array.of(6, -12, 3));
  });

  it('is right for random expressions with shared and broadcast values', async () => {
    const dims = [[2, 3], [3], [2, 1], [], [1, 3]];
    const expression = fc.record({
      inputs: fc.array(fc.nat(dims.length - 1), { minLength: 1, maxLength: 3 }),
      steps: fc.array(fc.tuple(fc.constantFrom('Add', 'Sub', 'Mul', 'Tanh', 'Sigmoid', 'Neg'), fc.nat(), fc.nat()), {
        minLength: 1,
        maxLength: 8,
      }),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(expression, async ({ inputs, steps, seed }) => {
        const b = new GraphBuilder();
        const random = seeded(seed);
        const values: Value[] = inputs.map((i, k) => b.input(`x${k}`, 'float32', dims[i] ?? []));
        const feeds = Object.fromEntries(
          inputs.map((i, k) => {
            const own = dims[i] ?? [];
            return [
              `x${k}`,
              float32(
                Array.from({ length: countElements(own) }, () => random.uniform(-1, 1)),
                own,
              ),
            ];
          }),
        );
        const pick = (i: number): Value | undefined => values[i % values.length];
        const reaches = new Map(values.map((value) => [value, new Set([value])]));
        for (const [op, i, j] of steps) {
          const operands = op === 'Add' || op === 'Sub' || op === 'Mul' ? [pick(i), pick(j)] : [pick(i)];
          const value = b.op(op, operands);
          values.push(value);
          reaches.set(value, new Set(operands.flatMap((operand) => [...((operand && reaches.get(operand)) ?? [])])));
        }
        const last = values.at(-1);
        if (!last) return;
        b.output(last);
        const wrt = values.slice(0, inputs.length).filter((value) => reaches.get(last)?.has(value));
        const used = Object.fromEntries(Object.entries(feeds).filter(([name]) => wrt.some((v) => v.name === name)));
        const worst = await checkGradient(b.build('random'), referenceEngine(), { wrt, feeds: used, directions: 1 });
        expect(worst.error, JSON.stringify(worst)).toBeLessThan(GRADIENT_TOLERANCE);
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});

describe('what has no gradient is an error, never zero', () => {
  const x = (b: GraphBuilder) => b.input('x', 'float32', [1, 2, 4, 4]);

  it('names a value that the loss does not depend on', () => {
    const b = new GraphBuilder();
    const [used, unused] = [b.input('used', 'float32', [2]), b.input('other', 'float32', [2])];
    b.output(sum(b, used));
    b.output(sum(b, unused));
    expect(() => gradient(b.build('g'), { wrt: [unused] })).toThrow(/does not depend on "other"/);
  });

  it('does not pass through comparisons and signs', () => {
    const b = new GraphBuilder();
    const input = x(b);
    b.output(sum(b, b.op('Sign', [input])));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/only through operators without a gradient/);
  });

  it('names the node whose rule does not cover its attributes', () => {
    const b = new GraphBuilder();
    const input = b.input('x', 'float32', [2]);
    const index = b.initializer('index', int64([1, 0]));
    b.output(sum(b, b.op('ScatterElements', [input, index, input], { reduction: 'mul' }, { name: 'place' })));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/node "place" \(ScatterElements\).*"mul"/);
  });

  it('names the node whose operator has no rule, with the reason', () => {
    const b = new GraphBuilder();
    const scale = b.input('scale', 'float32', []);
    const quantized = b.initializer('weight', tensor('int8', [2], Int8Array.of(1, -2)));
    b.output(sum(b, b.op('DequantizeLinear', [quantized, scale], {}, { name: 'weights' })));
    expect(() => gradient(b.build('g'), { wrt: [scale] })).toThrow(
      /Node "weights" \(DequantizeLinear\) has no gradient rule: .+/,
    );
  });

  it('says what to do where an operator has no rule: a scale of quantised weights', () => {
    const b = new GraphBuilder();
    const scale = b.initializer('conv.scale', float32([0.5], []));
    const weights = b.initializer('conv.weight', tensor('int8', [2], Int8Array.of(1, -3)));
    b.output(sum(b, b.op('DequantizeLinear', [weights, scale], {}, { name: 'conv.dequantize' })));
    expect(() => gradient(b.build('g'), { wrt: [scale] })).toThrow(
      /Node "conv\.dequantize" \(DequantizeLinear\) has no gradient rule: .*scale.* Choose a layer after it, or train only/,
    );
  });

  it('does not pass through rounding to integers', () => {
    const b = new GraphBuilder();
    const input = x(b);
    const scale = b.scalar(0.5);
    b.output(sum(b, b.op('DequantizeLinear', [b.op('QuantizeLinear', [input, scale]), scale])));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/only through operators without a gradient/);
  });

  it('refuses to differentiate the statistics of a LayerNormalization', () => {
    const b = new GraphBuilder();
    const input = x(b);
    const scale = b.initializer('scale', float32([1, 1, 1, 1]));
    const [, mean] = b.node('LayerNormalization', [input, scale], {}, { outputs: 3, name: 'blocks.0.norm1' });
    if (!mean) throw new Error('no mean');
    b.output(sum(b, mean));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/"blocks\.0\.norm1".*only its first output/);
  });

  it('refuses to differentiate the running statistics of a BatchNormalization', () => {
    const b = new GraphBuilder();
    const input = x(b);
    const channel = b.initializer('c', float32([1, 1]));
    const [, mean] = b.node(
      'BatchNormalization',
      [input, channel, channel, channel, channel],
      { training_mode: 1 },
      { outputs: 3, name: 'norm' },
    );
    if (!mean) throw new Error('no running mean');
    b.output(sum(b, mean));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/"norm".*only its first output/);
  });

  it('asks for fixed dimensions, and takes them', () => {
    const b = new GraphBuilder();
    const input = b.input('x', 'float32', ['N', 3]);
    b.output(b.op('ReduceMean', [input], { keepdims: 0 }));
    const graph = b.build('g');
    expect(() => gradient(graph, { wrt: [input] })).toThrow(/fixed dimensions.*"x" has \[N, 3\]/);
    const bound = gradient(graph, { wrt: [input], inputDims: { x: [4, 3] } });
    expect(bound.gradients[0]?.type?.dims).toEqual([4, 3]);
  });

  it('asks for a scalar of floating point', () => {
    const b = new GraphBuilder();
    const input = b.input('x', 'float32', [3]);
    b.output(b.op('Neg', [input]));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/of one float32 or float64 number.*\[3\]/);
  });

  it('needs the mask of a Dropout that trains', () => {
    const b = new GraphBuilder();
    const input = x(b);
    const yes = b.initializer('yes', tensor('bool', [], Uint8Array.of(1)));
    b.output(sum(b, b.op('Dropout', [input, b.scalar(0.25), yes], {}, { name: 'drop' })));
    expect(() => gradient(b.build('g'), { wrt: [input] })).toThrow(/"drop".*mask/);
  });
});

describe('Dropout in training mode', () => {
  it('passes the gradient where its mask passed the value, scaled alike', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [200]);
    const yes = b.initializer('yes', tensor('bool', [], Uint8Array.of(1)));
    const [y, mask] = b.node('Dropout', [x, b.scalar(0.25), yes], { seed: 3 }, { outputs: 2 });
    if (!y || !mask) throw new Error('no outputs');
    const loss = sum(b, y);
    b.output(y);
    b.output(mask);
    const built = gradient(b.build('dropout'), { of: loss, wrt: [x] });
    const feeds = { x: float32(new Float32Array(200).fill(3)) };
    const results = await runOnce(nodeEngine(), built.graph, feeds);
    const passed = Array.from(results[mask.name]?.data ?? [], Number);
    expect(passed.filter((bit) => bit === 1).length).toBeGreaterThan(100);
    expect(passed.filter((bit) => bit === 0).length).toBeGreaterThan(10);
    const expected = Float32Array.from(passed, (bit) => (bit === 1 ? 1 / 0.75 : 0));
    expect(results['gradient/x']?.data).toEqual(expected);
    expect(results[y.name]?.data).toEqual(expected.map((scale) => 3 * scale));
  });
});

describe('the checker', () => {
  /** An engine that gets gradients wrong by one part in a thousand. */
  function slightlyWrong(): Engine {
    const engine = referenceEngine();
    return {
      name: 'wrong',
      async load(graph) {
        const session = await engine.load(graph);
        return {
          async run(feeds) {
            const results = await session.run(feeds);
            for (const [name, { data }] of Object.entries(results)) {
              if (name.startsWith('check/gradient/') && data instanceof Float64Array) data[0] = (data[0] ?? 0) * 1.001;
            }
            return results;
          },
          dispose: () => session.dispose(),
          [Symbol.asyncDispose]: () => session.dispose(),
        };
      },
    };
  }

  it('reports a gradient of which one element is off by a thousandth', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [4]);
    b.output(b.op('Exp', [x]));
    const graph = b.build('exp');
    const options = { wrt: [x], feeds: { x: float32([0.3, -0.2, 0.5, 1]) } };
    const right = await checkGradient(graph, referenceEngine(), options);
    const wrong = await checkGradient(graph, slightlyWrong(), options);
    expect(right.error).toBeLessThan(GRADIENT_TOLERANCE / 10);
    expect(wrong.error).toBeGreaterThan(100 * GRADIENT_TOLERANCE);
    expect(wrong.value).toBe('x');
  });

  it('differentiates by initializers, and reports the worst of several values', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [2, 3]);
    const w = b.initializer('w', float32([1, 2, 3, 4, 5, 6], [2, 3]));
    b.output(b.op('Gemm', [x, w], { transB: 1 }));
    const feeds = { x: float32([1, 2, 3, 4, 5, 6], [2, 3]) };
    const worst = await checkGradient(b.build('fc'), referenceEngine(), { wrt: [x, w], feeds });
    expect(worst.error).toBeLessThan(GRADIENT_TOLERANCE);
  });

  it('names the input that it was not given', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [2]);
    b.output(b.op('Exp', [x]));
    await expect(checkGradient(b.build('g'), referenceEngine(), { wrt: [x], feeds: {} })).rejects.toThrow(/"x"/);
  });
});
