import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { concatenate } from '../../src/formats/onnx/wire-writer.js';
import { writeGraph, writeOnnx, writeOnnxChunks, writeOnnxExternal } from '../../src/formats/onnx/write.js';
import { getElementTypeNumber } from '../../src/graph/element-types.js';
import { type Attribute, type Graph, type Model, type Node, Value } from '../../src/graph/model.js';
import { countElements } from '../../src/tensor/dims.js';
import { type DType, dtypes, fromBytes, getBytesPerElement } from '../../src/tensor/dtype.js';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { describeModel } from '../conformance/describe-model.js';
import { requires } from '../support/requires.js';
import { shared } from '../support/shared-data.js';
import { identityGraph, nestedModel, rawFile, smallModel } from './onnx-models.js';

/** Runs a model, given by its bytes or its path. */
async function run(
  model: Uint8Array | string,
  feeds: Record<string, ort.Tensor>,
): Promise<ort.InferenceSession.ReturnType> {
  const options: ort.InferenceSession.SessionOptions = { intraOpNumThreads: 1, logSeverityLevel: 3 };
  const session = await (typeof model === 'string'
    ? ort.InferenceSession.create(model, options)
    : ort.InferenceSession.create(model, options));
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(fc.constantFrom(...dtypes), fc.array(fc.nat({ max: 4 }), { maxLength: 3 }))
  .chain(([dtype, dims]) => {
    const length = countElements(dims) * getBytesPerElement(dtype);
    return fc.uint8Array({ minLength: length, maxLength: length, max: dtype === 'bool' ? 1 : 255 }).map((bytes) => {
      return tensor(dtype, dims, fromBytes(dtype, bytes));
    });
  });

const text = fc.string({ unit: 'grapheme', maxLength: 8 });
const anyInt = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(2 ** 63, -(2 ** 63), 2 ** 62, -1, 0));
const anyFloat = fc.float();
const anyAttribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.record({ type: fc.constant('float' as const), value: anyFloat }),
  fc.record({ type: fc.constant('int' as const), value: anyInt }),
  fc.record({ type: fc.constant('string' as const), value: text }),
  fc.record({ type: fc.constant('floats' as const), value: fc.array(anyFloat, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('ints' as const), value: fc.array(anyInt, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('strings' as const), value: fc.array(text, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('tensor' as const), value: anyTensor }),
  fc.constant('graph' as const).map((type) => ({ type, value: nestedModel().graph })),
);
const anyDims = fc.array(fc.oneof(fc.nat(), fc.constantFrom('N', '112*N', '?')), { maxLength: 4 });
const anyType = fc.option(fc.record({ dtype: fc.constantFrom(...dtypes), dims: anyDims }), { nil: undefined });

/** Chains of nodes with any attributes; each reads any values that exist by then, or leaves an input out. */
const anyModel: fc.Arbitrary<Model> = fc
  .record({
    weights: fc.array(anyTensor, { maxLength: 3 }),
    inputs: fc.array(anyType, { maxLength: 2 }),
    nodes: fc.array(
      fc.record({
        op: fc.constantFrom('Conv', 'Relu', 'Möbius'),
        domain: fc.constantFrom('', 'org.example'),
        reads: fc.array(fc.option(fc.nat(50)), { maxLength: 3 }),
        makes: fc.array(fc.option(anyType, { freq: 5 }), { minLength: 1, maxLength: 2 }),
        attributes: fc.dictionary(text, anyAttribute, { maxKeys: 3 }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    opset: fc.integer({ min: 1, max: 24 }),
    metadata: fc.dictionary(text, text, { maxKeys: 2 }),
  })
  .map(({ weights, inputs, nodes, opset, metadata }) => {
    const values: Value[] = inputs.map((type, i) => new Value(`input ${i}`, type));
    const initializers = new Map(
      weights.map((data, i) => [new Value(`weight ${i}`, { dtype: data.dtype, dims: data.dims }), data] as const),
    );
    const graph: Graph = {
      name: 'any',
      inputs: [...values],
      initializers,
      outputs: [],
      nodes: nodes.map(({ reads, makes, ...rest }, i): Node => {
        const readable = [...values, ...initializers.keys()];
        const outputs = makes.map((type, k) => (type === null ? undefined : new Value(`value ${i}.${k}`, type)));
        for (const output of outputs) if (output) values.push(output);
        const read = reads.map((at) => (at === null ? undefined : readable[at % readable.length]));
        return { ...rest, name: `node ${i}`, inputs: read, outputs };
      }),
    };
    const [output = new Value('input', undefined)] = values.slice(-1);
    const outputs = values.length > 0 ? [output] : [...initializers.keys()].slice(0, 1);
    return { graph: { ...graph, outputs }, opset, domains: { 'org.example': 1 }, metadata };
  })
  .filter(({ graph }) => graph.outputs.length > 0);

describe('An ONNX file that we write', () => {
  it('reads back as the same model, whatever the model', () => {
    fc.assert(
      fc.property(anyModel, (model) => {
        expect(describeModel(readOnnx(writeOnnx(model), 'any.onnx'))).toEqual(describeModel(model));
      }),
      { numRuns: 300 },
    );
  });

  it('keeps the identity of values that inner graphs read from outside', () => {
    const { graph } = readOnnx(writeOnnx(nestedModel()), 'nested.onnx');
    const [add, branching] = graph.nodes;
    const inner = branching?.attributes.then_branch;
    if (inner?.type !== 'graph') throw new Error('not a graph');
    expect(inner.value.nodes[0]?.inputs).toEqual([add?.outputs[0], [...graph.initializers.keys()][0]]);
    expect(inner.value.nodes[0]?.inputs[0]).toBe(add?.outputs[0]);
  });

  it('runs in ONNX Runtime and gives what a hand computes', async () => {
    // conv of 1…9 with [[1, 0], [0, -1]] is -4 everywhere, +0.5 is -3.5: Relu leaves 0, so the scores are the biases.
    // For 9…1 it is 4 + 0.5 = 4.5 everywhere: 4.5·(1+2+3+4) + 10 = 55 and 4.5·(-1+0+1+0) + 20 = 20.
    const images = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    const feeds = { image: new ort.Tensor('float32', images, [2, 1, 3, 3]) };
    const { scores } = await run(writeOnnx(smallModel()), feeds);
    expect(scores?.dims).toEqual([2, 2]);
    expect(scores?.data).toEqual(Float32Array.of(10, 20, 55, 20));
    expect((await run(writeGraph(smallModel().graph), feeds)).scores?.data).toEqual(scores?.data);
  });

  it('runs inner graphs in ONNX Runtime', async () => {
    const feeds = (condition: boolean) => ({
      condition: new ort.Tensor('bool', [condition], []),
      x: new ort.Tensor('float32', Float32Array.of(1, 1), [2]),
    });
    // sum = x + [2, 3] = [3, 4], then sum · [2, 3] or sum - [2, 3].
    expect((await run(writeOnnx(nestedModel()), feeds(true))).y?.data).toEqual(Float32Array.of(6, 12));
    expect((await run(writeOnnx(nestedModel()), feeds(false))).y?.data).toEqual(Float32Array.of(1, 1));
  });

  it('holds weights as the very memory of the tensors, and the same bytes every time', () => {
    const b = smallModel();
    const weight = float32(new Float32Array(5000).fill(0.25), [5000]);
    const graph = {
      ...b.graph,
      initializers: new Map([...b.graph.initializers, [new Value('big', undefined), weight]]),
    };
    const chunks = writeOnnxChunks({ ...b, graph });
    expect(chunks.some((chunk) => chunk.buffer === weight.data.buffer)).toBe(true);
    expect(concatenate(chunks)).toEqual(writeOnnx({ ...b, graph }));
  });

  it('says which version of the format its operator set asks for', () => {
    const version = (opset: number) => writeOnnx({ ...smallModel(), opset })[1];
    expect([7, 18, 19, 20, 21, 22, 23, 24].map(version)).toEqual([8, 8, 9, 9, 10, 10, 11, 12]);
  });

  it('is refused when two values that nodes read have one name', () => {
    const { graph, ...rest } = smallModel();
    const double = new Value('conv.bias', undefined);
    const initializers = new Map([...graph.initializers, [double, float32([1])]]);
    expect(() => writeOnnx({ ...rest, graph: { ...graph, initializers } })).toThrow(
      /two values are called "conv.bias"/,
    );
    expect(() => writeOnnx({ ...rest, graph: { ...graph, outputs: [new Value('scores', undefined)] } })).toThrow(
      /its list of outputs reads the value "scores", which is not part of it/,
    );
  });

  it('is refused when it would pass 2 GiB, and fits with its weights beside it', () => {
    // Never touched, so never backed by memory: 600 MB of address space, listed four times.
    const large = tensor('uint8', [600_000_000], new Uint8Array(600_000_000));
    const values = ['a', 'b', 'c', 'd'].map((name) => [new Value(name, undefined), large] as const);
    const model = smallModel();
    const graph = { ...model.graph, initializers: new Map([...model.graph.initializers, ...values]) };
    expect(() => writeOnnxChunks({ ...model, graph })).toThrow(/more than the 2 GiB .* Save its weights in a file/);
    const { model: chunks, data } = writeOnnxExternal({ ...model, graph }, 'model.onnx.data');
    expect(concatenate(chunks).length).toBeLessThan(2000);
    expect(data.reduce((total, chunk) => total + chunk.length, 0)).toBeGreaterThanOrEqual(2_400_000_000);
    expect(data.filter((chunk) => chunk.buffer === large.data.buffer)).toHaveLength(4);
  });
});

describe('Weights in a file beside the model', () => {
  const weights = Array.from({ length: 3 }, (_, i) => float32(new Float32Array(301 + i).fill(i + 1)));
  const base = smallModel();
  const model: Model = {
    ...base,
    graph: {
      ...base.graph,
      initializers: new Map([
        ...base.graph.initializers,
        ...weights.map((data, i) => [new Value(`w${i}`, { dtype: data.dtype, dims: data.dims }), data] as const),
      ]),
    },
  };
  const files = writeOnnxExternal(model, 'weights/model.data');
  const bytes = concatenate(files.model);
  const data = concatenate(files.data);

  it('read back as the same model, in place', () => {
    const asked: string[] = [];
    const read = readOnnx(bytes, 'model.onnx', {
      external(location, offset, length) {
        asked.push(location);
        expect(offset % 64).toBe(0);
        return data.subarray(offset, offset + length);
      },
    });
    expect(describeModel(read)).toEqual(describeModel(model));
    expect(asked).toEqual(['weights/model.data', 'weights/model.data', 'weights/model.data']);
    expect([...read.graph.initializers.values()].filter((tensor) => tensor.data.buffer === data.buffer)).toHaveLength(
      3,
    );
  });

  it('read back through Node Buffers, which are views where arrays are copies', () => {
    const shifted = Buffer.concat([Buffer.alloc(3), data]);
    const read = readOnnx(Buffer.concat([Buffer.alloc(1), bytes]).subarray(1), 'model.onnx', {
      external: (_, offset, length) => shifted.subarray(3 + offset, 3 + offset + length),
    });
    expect(describeModel(read)).toEqual(describeModel(model));
  });

  it('are found by ONNX Runtime', async () => {
    const x = new Value('x', { dtype: 'float32', dims: [301] });
    const w = new Value('w', { dtype: 'float32', dims: [301] });
    const y = new Value('y', { dtype: 'float32', dims: [301] });
    const add: Node = { op: 'Add', domain: '', name: 'add', inputs: [x, w], outputs: [y], attributes: {} };
    const steps = float32(Float32Array.from({ length: 301 }, (_, i) => i));
    const graph: Graph = { name: 'add', inputs: [x], outputs: [y], nodes: [add], initializers: new Map([[w, steps]]) };
    const folder = mkdtempSync(join(tmpdir(), 'onnx-'));
    try {
      const written = writeOnnxExternal({ graph, opset: 18, domains: {}, metadata: {} }, 'add.data');
      writeFileSync(join(folder, 'add.onnx'), concatenate(written.model));
      writeFileSync(join(folder, 'add.data'), concatenate(written.data));
      const ones = new ort.Tensor('float32', new Float32Array(301).fill(1), [301]);
      const { y: sum } = await run(join(folder, 'add.onnx'), { x: ones });
      expect(sum?.data).toEqual(Float32Array.from({ length: 301 }, (_, i) => i + 1));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are refused where they are missing, too short or outside of the folder', () => {
    expect(() => readOnnx(bytes, 'model.onnx')).toThrow(/"w0".*"weights\/model.data", which is not at hand/);
    expect(() => readOnnx(bytes, 'model.onnx', { external: () => new Uint8Array(7) })).toThrow(
      /"w0": a float32 tensor \[301\] needs 1204 bytes, found 7/,
    );
    for (const location of ['', '/etc/passwd', '../x', 'a/../../x', 'a\\..\\..\\x', 'C:\\x', '\\\\host\\x', 'a\0b']) {
      const tensor = {
        name: 'w',
        dataType: 1,
        dims: [1],
        dataLocation: 1,
        externalData: [{ key: 'location', value: location }],
      };
      const file = rawFile(identityGraph({ initializer: [tensor] }));
      const external = () => new Uint8Array(4);
      expect(() => readOnnx(file, 'model.onnx', { external }), location).toThrow(/initializer "w".*external data/);
      expect(() => writeOnnxExternal(model, location), location).toThrow(/Cannot write weights/);
    }
  });
});

describe('Reading', () => {
  it('takes a file of PyTorch with its names, types and numbers', async () => {
    const folder = new URL('../golden/onnx/', import.meta.url);
    const golden = JSON.parse(readFileSync(new URL('tiny.json', folder), 'utf8'));
    const model = readOnnx(readFileSync(new URL('tiny.onnx', folder)), 'tiny.onnx');
    expect(model.opset).toBe(15);
    expect(model.producer).toMatch(/^pytorch 1\.13/);
    expect(model.graph.inputs.map(({ name, type }) => [name, type])).toEqual([
      ['input', { dtype: 'float32', dims: ['N', 2, 4, 4] }],
    ]);
    expect(model.graph.outputs[0]?.type).toEqual({ dtype: 'float32', dims: ['N', 4] });
    expect(model.graph.nodes.map((node) => node.op)).toEqual([
      'Conv',
      'BatchNormalization',
      'Relu',
      'MaxPool',
      'Flatten',
      'Gemm',
    ]);
    for (const [value, data] of model.graph.initializers) {
      const [dims, sum] = golden.parameters[value.name];
      expect(data.dims).toEqual(dims);
      // Sums of at most 54 numbers below 3 in double precision.
      expect(Array.from(data.data, Number).reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 12);
    }
    expect(describeModel(readOnnx(writeOnnx(model), 'again.onnx'))).toEqual(describeModel(model));

    const input = new ort.Tensor('float32', Float32Array.from(golden.input), [2, 2, 4, 4]);
    const { scores } = await run(writeOnnx(model), { input });
    for (const [i, score] of golden.scores.entries()) {
      // Float32 rounding of two small matrix products.
      expect(Number(scores?.data[i])).toBeCloseTo(score, 5);
    }
  });

  it('takes every way in which a file may hold the elements of a tensor', () => {
    const elements = (initializer: object) => {
      const file = rawFile(identityGraph({ initializer: [{ name: 'w', ...initializer }] }));
      const [data] = readOnnx(file, 'w.onnx').graph.initializers.values();
      return [data?.dtype, Array.from(data?.data ?? [], Number)];
    };
    const dims = [2];
    const minus1 = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    const packed = (...bytes: number[]) => [Uint8Array.from(bytes)];
    const of = (dtype: DType) => ({ dims, dataType: getElementTypeNumber(dtype) });
    const floats = new Uint8Array(Float32Array.of(1.5, -2).buffer);
    const doubles = new Uint8Array(Float64Array.of(1.5, -2).buffer);
    expect(elements({ ...of('float32'), rawData: floats })).toEqual(['float32', [1.5, -2]]);
    expect(elements({ ...of('float32'), floatData: [floats] })).toEqual(['float32', [1.5, -2]]);
    expect(elements({ ...of('float32'), floatData: [floats.slice(0, 4), floats.slice(4)] })).toEqual([
      'float32',
      [1.5, -2],
    ]);
    expect(elements({ ...of('float64'), doubleData: [doubles] })).toEqual(['float64', [1.5, -2]]);
    expect(elements({ ...of('float16'), int32Data: packed(0x80, 0x78, 0x00) })).toEqual(['float16', [0x3c00, 0]]);
    expect(elements({ ...of('bfloat16'), int32Data: packed(0x80, 0x7f, 0x00) })).toEqual(['bfloat16', [0x3f80, 0]]);
    for (const dtype of ['int8', 'int16', 'int32'] as const) {
      expect(elements({ ...of(dtype), int32Data: packed(...minus1, 5) })).toEqual([dtype, [-1, 5]]);
    }
    expect(elements({ ...of('uint8'), int32Data: packed(0xff, 0x01, 5) })).toEqual(['uint8', [255, 5]]);
    expect(elements({ ...of('bool'), int32Data: packed(1, 0) })).toEqual(['bool', [1, 0]]);
    expect(elements({ ...of('int64'), int64Data: [...packed(...minus1), ...packed(5)] })).toEqual(['int64', [-1, 5]]);
    expect(elements({ ...of('uint32'), uint64Data: packed(0xff, 0xff, 0xff, 0xff, 0x0f, 5) })).toEqual([
      'uint32',
      [2 ** 32 - 1, 5],
    ]);
    expect(elements({ ...of('uint64'), uint64Data: packed(...minus1, 5) })).toEqual(['uint64', [2 ** 64, 5]]);
    expect(elements({ dims: [], dataType: 1, rawData: floats.slice(0, 4) })).toEqual(['float32', [1.5]]);
    expect(elements({ dims: [0, 7], dataType: 1 })).toEqual(['float32', []]);
  });

  it('takes initializers that are listed as inputs, as old files do, for initializers only', () => {
    const w = { name: 'w', dims: [1], dataType: 1, rawData: new Uint8Array(4) };
    const graph = identityGraph({ initializer: [w] });
    const { inputs, initializers } = readOnnx(
      rawFile({ ...graph, input: [...(graph.input ?? []), { name: 'w' }] }),
      'w',
    ).graph;
    expect(inputs.map((input) => input.name)).toEqual(['x']);
    expect(Array.from(initializers.keys(), (value) => [value.name, value.type])).toEqual([
      ['w', { dtype: 'float32', dims: [1] }],
    ]);
  });

  it('sorts nodes topologically, inner graphs included', () => {
    const then = { name: 'then', node: [{ opType: 'Neg', input: ['late'], output: ['t'] }], output: [{ name: 't' }] };
    const type = { tensorType: { elemType: 9, shape: {} } };
    const graph = {
      name: 'unsorted',
      input: [{ name: 'c', type }, { name: 'x' }],
      output: [{ name: 'y' }],
      node: [
        {
          opType: 'If',
          input: ['c'],
          output: ['y'],
          attribute: ['then_branch', 'else_branch'].map((name) => ({ name, type: 5, g: then })),
        },
        { opType: 'Neg', input: ['x'], output: ['late'] },
      ],
    };
    expect(readOnnx(rawFile(graph), 'unsorted.onnx').graph.nodes.map((node) => node.op)).toEqual(['Neg', 'If']);
  });

  it("knows both names of ONNX's own domain, and open dimensions", () => {
    const type = { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'N' }, {}, { dimValue: 3 }] } } };
    const graph = identityGraph({ input: [{ name: 'x', type }], output: [{ name: 'y' }] });
    const node = { opType: 'Identity', domain: 'ai.onnx', input: ['x'], output: ['y'] };
    const file = rawFile(
      { ...graph, node: [node] },
      {
        opsetImport: [
          { domain: 'ai.onnx', version: 13 },
          { domain: 'org.example', version: 2 },
        ],
      },
    );
    const model = readOnnx(file, 'x.onnx');
    expect([model.opset, model.domains, model.graph.nodes[0]?.domain]).toEqual([13, { 'org.example': 2 }, '']);
    expect(model.graph.inputs[0]?.type?.dims).toEqual(['N', '?', 3]);
    expect(model.graph.outputs[0]?.type).toBeUndefined();
  });
});

const squeezenet = shared('models', 'squeezenet1_1.onnx');
describe('SqueezeNet 1.1', requires('shared data', existsSync(squeezenet)), () => {
  it('is read and written as an equal model that computes the same', async () => {
    const bytes = readFileSync(squeezenet);
    const model = readOnnx(bytes, 'squeezenet1_1.onnx');
    const again = writeOnnx(model);
    expect(describeModel(readOnnx(again, 'again.onnx'))).toEqual(describeModel(model));
    expect(model.graph.nodes.filter((node) => node.op === 'Conv')).toHaveLength(26);
    // Parameters as torchvision counts them.
    const sizes = Array.from(model.graph.initializers.values(), ({ dtype, data }) =>
      dtype === 'float32' ? data.length : 0,
    );
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(1_235_496);

    const [input] = model.graph.inputs;
    const dims = input?.type?.dims.map((dim) => (typeof dim === 'number' ? dim : 1)) ?? [];
    const pixels = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
    const feeds = { [input?.name ?? '']: new ort.Tensor('float32', pixels, dims) };
    const [before, after] = [await run(bytes, feeds), await run(again, feeds)];
    const [output] = Object.keys(before);
    expect(after[output ?? '']?.data).toEqual(before[output ?? '']?.data);
  });
});
