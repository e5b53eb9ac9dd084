import { describe, expect, it } from 'vitest';
import { type Engine, runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { Value } from '../../src/graph/model.js';
import { evaluateNode } from '../../src/kernels/evaluate-node.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import type { DType } from '../../src/tensor/dtype.js';
import { float32, int64, type Tensor, tensor, zeros } from '../../src/tensor/tensor.js';

/** pixels [N, 2] → relu = max(pixels + bias, 0), and sum [N]. */
function smallGraph() {
  const b = new GraphBuilder();
  const x = b.input('pixels', 'float32', ['N', 2]);
  const shifted = b.op('Add', [x, b.initializer('bias', float32([10, -10]))], {}, { name: 'shift' });
  b.output(b.op('Relu', [shifted], {}, { outputName: 'relu' }));
  b.output(b.op('ReduceSum', [shifted, b.ints([1])], { keepdims: 0 }, { outputName: 'sum' }));
  return b.build('small');
}

const batch = float32([1, 2, 3, 40], [2, 2]);

const engines: readonly Engine[] = [referenceEngine(), nodeEngine({ threads: 1 })];

describe.each(engines.map((engine) => [engine.name, engine] as const))('%s', (_, engine) => {
  it('runs a graph with any batch size, again and again', async () => {
    const session = await engine.load(smallGraph());
    const first = await session.run({ pixels: batch });
    expect(first.relu).toEqual(float32([11, 0, 13, 30], [2, 2]));
    expect(first.sum).toEqual(float32([3, 43]));
    const second = await session.run({ pixels: float32([-11, 11], [1, 2]) });
    expect(second.relu).toEqual(float32([0, 1], [1, 2]));
    expect(first.sum).toEqual(float32([3, 43]));
    await session.dispose();
  });

  it('runs an empty batch', async () => {
    const { relu } = await runOnce(engine, smallGraph(), { pixels: zeros('float32', [0, 2]) });
    expect(relu).toEqual(zeros('float32', [0, 2]));
  });

  it('writes into the given tensors and returns them', async () => {
    const session = await engine.load(smallGraph());
    const relu = zeros('float32', [2, 2]);
    const results = await session.run({ pixels: batch }, { relu });
    expect(results.relu).toBe(relu);
    expect([...relu.data]).toEqual([11, 0, 13, 30]);
    expect(results.sum).toEqual(float32([3, 43]));
    await session.dispose();
  });

  it('returns results that share no memory with feeds or initializers', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2]);
    const w = b.initializer('w', float32([5, 6], [1, 2]));
    for (const value of [x, w, b.op('Identity', [x]), b.op('Flatten', [x]), b.op('Flatten', [w])]) b.output(value);
    const session = await engine.load(b.build('passing through'));
    const x0 = float32([1, 2], [1, 2]);
    for (let turn = 0; turn < 2; turn++) {
      const results = Object.values(await session.run({ x: x0 }));
      expect(results.map(({ data }) => [...data])).toEqual([
        [1, 2],
        [5, 6],
        [1, 2],
        [1, 2],
        [5, 6],
      ]);
      for (const { data } of results) data.fill(9 as never);
    }
    expect([...x0.data]).toEqual([1, 2]);
    await session.dispose();
  });

  it('tolerates an input that no node reads', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', [2]);
    b.input('unused', 'int64', []);
    b.output(b.op('Neg', [x], {}, { outputName: 'y' }));
    const results = await runOnce(engine, b.build('t'), { x: float32([1, 2]), unused: int64([7], []) });
    expect(results.y).toEqual(float32([-1, -2]));
  });

  const dtypes = [
    ...(['float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16'] as const),
    ...(['int32', 'uint32', 'int64', 'uint64', 'bool'] as const),
  ] satisfies DType[];
  it.each(dtypes)('carries %s tensors in and out', async (dtype) => {
    const b = new GraphBuilder();
    b.output(b.op('Transpose', [b.input('x', dtype, ['N', 'M'])], {}, { outputName: 'y' }));
    const x = zeros(dtype, [2, 2]);
    // All bits of the second element: 255, -1, NaN or 2^64 - 1, whatever the type makes of them; true for bool.
    const bytes = new Uint8Array(x.data.buffer);
    const size = bytes.length / 4;
    bytes.fill(dtype === 'bool' ? 1 : 0xff, size, 2 * size);
    const { y } = await runOnce(engine, b.build('t'), { x });
    expect(y?.dtype).toBe(dtype);
    expect([...(y as Tensor).data]).toEqual([0, 2, 1, 3].map((i) => x.data[i]));
  });

  it('reads feeds that live in shared memory', async () => {
    const data = new Float32Array(new SharedArrayBuffer(16));
    data.set(batch.data as Float32Array);
    const { sum } = await runOnce(engine, smallGraph(), { pixels: tensor('float32', [2, 2], data) });
    expect(sum).toEqual(float32([3, 43]));
  });

  it.each([
    ['a missing input', {}, /graph "small" was run without its input "pixels": feed a float32 \[N, 2\] tensor/i],
    ['a misspelt input', { pixel: batch }, /no input "pixel"\. Did you mean "pixels"\? Its inputs are pixels\./],
    [
      'another size',
      { pixels: zeros('float32', [2, 3]) },
      /"pixels": expected a float32 \[N, 2\] tensor, found float32 \[2, 3\]/,
    ],
    [
      'another rank',
      { pixels: zeros('float32', [2]) },
      /"pixels": expected a float32 \[N, 2\] tensor, found float32 \[2\]/,
    ],
    [
      'another dtype',
      { pixels: zeros('float64', [2, 2]) },
      /"pixels": expected a float32 \[N, 2\] tensor, found float64/,
    ],
  ])('refuses %s', async (_, feeds, message) => {
    const session = await engine.load(smallGraph());
    await expect(session.run(feeds as Record<string, Tensor>)).rejects.toThrow(message);
    await session.dispose();
  });

  it('refuses an unknown or misfitting tensor to write into', async () => {
    const session = await engine.load(smallGraph());
    const feeds = { pixels: batch };
    await expect(session.run(feeds, { reul: batch })).rejects.toThrow(/no output "reul".* Did you mean "relu"\?/);
    await expect(session.run(feeds, { sum: zeros('float64', [2]) })).rejects.toThrow(/output "sum"/);
    await expect(session.run(feeds, { relu: zeros('float32', [2, 3]) })).rejects.toThrow(/output "relu"/);
    // The batch is only known when it runs.
    await expect(session.run(feeds, { relu: zeros('float32', [3, 2]) })).rejects.toThrow(
      /output "relu": a float32 \[2, 2\] result does not fit into a float32 \[3, 2\] tensor/,
    );
    await session.dispose();
  });

  it('refuses inputs that disagree about a symbol', async () => {
    const b = new GraphBuilder();
    b.output(b.op('Add', [b.input('x', 'float32', ['N', 2]), b.input('y', 'float32', ['N', 2])]));
    const feeds = { x: zeros('float32', [1, 2]), y: zeros('float32', [3, 2]) };
    await expect(runOnce(engine, b.build('t'), feeds)).rejects.toThrow(/"N" is 1 in input "x" but 3 in input "y"/);
  });

  it('names the node that fails while running', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float32', ['N', 2]);
    b.output(b.op('Reshape', [x, b.ints([3, -1])], {}, { name: 'features.3' }));
    const feeds = { x: zeros('float32', [2, 2]) };
    await expect(runOnce(engine, b.build('t'), feeds)).rejects.toThrow(/[Nn]ode "features\.3" \(Reshape\)/);
  });

  it('names the node whose operator it does not know', async () => {
    const y = new Value('y', { dtype: 'float32', dims: [2] });
    const x = new Value('x', { dtype: 'float32', dims: [2] });
    const node = { op: 'Rellu', domain: '', name: 'act', inputs: [x], outputs: [y], attributes: {} };
    const graph = { name: 't', inputs: [x], outputs: [y], nodes: [node], initializers: new Map() };
    await expect(engine.load(graph)).rejects.toThrow(/Rellu/);
  });
});

describe('reference', () => {
  it('computes in double precision where ONNX Runtime cannot', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', 'float64', [1, 1, 1, 2]);
    const w = b.initializer('w', tensor('float64', [1, 1, 1, 2], Float64Array.of(1, 1)));
    b.output(b.op('Conv', [x, w], {}, { outputName: 'y' }));
    const feeds = { x: tensor('float64', [1, 1, 1, 2], Float64Array.of(1, 2 ** -50)) };
    const { y } = await runOnce(referenceEngine(), b.build('t'), feeds);
    expect(y?.data[0]).toBe(1 + 2 ** -50);
    await expect(nodeEngine().load(b.build('t'))).rejects.toThrow(
      /could not load graph "t"\. Node "Conv" \(Conv\) of float64 \[1, 1, 1, 2\], .* no kernel for that element type/,
    );
  });

  it('refuses Dropout in training mode, whose numbers would be its own', async () => {
    const b = new GraphBuilder();
    const training = b.initializer('training', tensor('bool', [], Uint8Array.of(1)));
    b.output(b.op('Dropout', [b.input('x', 'float32', [2]), b.scalar(0.5), training]));
    await expect(runOnce(referenceEngine(), b.build('t'), { x: float32([1, 2]) })).rejects.toThrow(/Feed the mask/);
  });

  it('refuses half precision by name instead of computing with its bits', async () => {
    const b = new GraphBuilder();
    b.output(b.op('Neg', [b.input('x', 'float16', [2])]));
    const feeds = { x: zeros('float16', [2]) };
    await expect(runOnce(referenceEngine(), b.build('t'), feeds)).rejects.toThrow(/does not compute in float16/);
  });

  it('finds a result that differs from its declared type', async () => {
    const x = new Value('x', { dtype: 'float32', dims: [2] });
    const y = new Value('y', { dtype: 'float32', dims: [3] });
    const node = { op: 'Neg', domain: '', name: 'minus', inputs: [x], outputs: [y], attributes: {} };
    const graph = { name: 't', inputs: [x], outputs: [y], nodes: [node], initializers: new Map() };
    await expect(runOnce(referenceEngine(), graph, { x: float32([1, 2]) })).rejects.toThrow(
      /Node "minus" \(Neg\): output "y" is declared as float32 \[3\] but was computed as float32 \[2\]/,
    );
  });

  it('refuses an index out of range', async () => {
    const b = new GraphBuilder();
    b.output(b.op('Gather', [b.input('x', 'float32', [2]), b.initializer('i', int64([2]))], {}, { name: 'pick' }));
    await expect(runOnce(referenceEngine(), b.build('t'), { x: float32([1, 2]) })).rejects.toThrow(
      /Node "pick" \(Gather\): Index 2 is out of range/,
    );
  });

  it('evaluates a single node, keeping large integers exact where they only move', () => {
    const x = new Value('x', undefined);
    const node = {
      op: 'Concat',
      domain: '',
      name: 'c',
      inputs: [x, x],
      outputs: [],
      attributes: { axis: { type: 'int', value: 0 } },
    } as const;
    const end = tensor('int64', [1], BigInt64Array.of(2n ** 63n - 1n));
    const [joined] = evaluateNode(node, [end, end]);
    expect([...(joined as Tensor).data]).toEqual([2n ** 63n - 1n, 2n ** 63n - 1n]);
    expect(() => evaluateNode({ ...node, op: 'Neg', inputs: [x], attributes: {} }, [end])).toThrow(/up to 2\^53/);
  });
});

describe('onnxruntime-node', () => {
  it('refuses a number of threads that makes no sense', () => {
    expect(() => nodeEngine({ threads: 0 })).toThrow(/positive number of threads, found 0/);
  });

  it('says that it takes no bfloat16', async () => {
    const b = new GraphBuilder();
    b.output(b.op('Identity', [b.input('x', 'bfloat16', [2])]));
    await expect(nodeEngine().load(b.build('t'))).rejects.toThrow(/no bfloat16 tensors in Node, but "x" is one/);
  });

  it('refuses to write into shared memory, which it would only see a copy of', async () => {
    const session = await nodeEngine().load(smallGraph());
    const sum = tensor('float32', [2], new Float32Array(new SharedArrayBuffer(8)));
    await expect(session.run({ pixels: batch }, { sum })).rejects.toThrow(/"sum" into shared memory/);
    await session.dispose();
  });

  it('refuses to run after dispose', async () => {
    const session = await nodeEngine().load(smallGraph());
    await session.dispose();
    await session.dispose();
    await expect(session.run({ pixels: batch })).rejects.toThrow(/after its session was disposed of/);
  });

  it.each(['disabled', 'basic', 'extended', 'all'] as const)('runs with optimisation %s', async (optimization) => {
    const { sum } = await runOnce(nodeEngine({ threads: 1, optimization }), smallGraph(), { pixels: batch });
    expect(sum).toEqual(float32([3, 43]));
  });
});
