import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Graph } from '../../../src/graph/model.js';
import { openModel } from '../../../src/io/models/model-file.js';
import { saveModel } from '../../../src/io/models/save-model.js';
import { verifyTensors } from '../../../src/io/models/verify-model.js';
import { GraphBuilder } from '../../../src/ops/builder.js';
import { storeWeights } from '../../../src/passes/store-weights.js';
import { seeded } from '../../../src/tensor/random.js';
import { float32, type Tensor } from '../../../src/tensor/tensor.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-save-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const fresh = (extension = 'onnx') => join(folder, `${count++}.${extension}`);

function noise(dims: readonly number[], key: number): Tensor<'float32'> {
  const random = seeded(5, key);
  const size = dims.reduce((product, dim) => product * dim, 1);
  return float32(
    Array.from({ length: size }, () => random.uniform(-1, 1)),
    dims,
  );
}

/** A little classifier; `flatten` says how `[N, 8, 6, 6]` becomes a matrix. */
function classifier(flatten: 'any batch' | 'batch 1' = 'any batch', key = 1): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', 3, 6, 6]);
  const conv = b.op('Conv', [x, b.initializer('conv.weight', noise([8, 3, 3, 3], key))], { pads: [1, 1, 1, 1] });
  const pooled = b.op('GlobalAveragePool', [b.op('Relu', [conv])]);
  const flat = b.op('Reshape', [pooled, b.ints(flatten === 'any batch' ? [0, 8] : [1, 8])]);
  b.output(b.op('Gemm', [flat, b.initializer('fc.weight', noise([5, 8], 2))], { transB: 1 }));
  return b.build('classifier');
}

/** Saves over a file with known content, expects that to fail with nothing changed, and gives the error's message. */
async function refusal(save: (file: string) => Promise<unknown>, extension = 'onnx'): Promise<string> {
  const file = fresh(extension);
  writeFileSync(file, 'before');
  const before = readdirSync(folder);
  const message = await save(file).then(
    () => 'it was saved',
    (error: Error) => error.message,
  );
  expect(readFileSync(file, 'utf8')).toBe('before');
  expect(readdirSync(folder)).toEqual(before);
  expect(message).toContain(file);
  return message;
}

describe('a model file is run before it takes its place', () => {
  it.each(['float32', 'float16', 'int8'] as const)(
    'one that computes what was promised is saved (%s)',
    async (type) => {
      const file = fresh();
      await saveModel({ graph: storeWeights(classifier(), type).graph, info: {} }, file);
      expect((await openModel(file)).graph.outputs[0]?.type?.dims[1]).toBe(5);
    },
  );

  it('one that does not run for several images is refused', async () => {
    const message = await refusal((file) => saveModel({ graph: classifier('batch 1'), info: {} }, file));
    expect(message).toContain('at batch 3');
  });

  it('one that should equal the original and does not is refused', async () => {
    const equals = classifier('any batch', 7);
    const message = await refusal((file) => saveModel({ graph: classifier(), info: {} }, file, { equals }));
    expect(message).toMatch(/at batch 1, output "Gemm:0" of the original, which it should equal, differs by up to \d/);
  });

  it('one with weights that are not finite is refused', async () => {
    const b = new GraphBuilder();
    const x = b.input('input', 'float32', ['N', 4]);
    b.output(b.op('MatMul', [x, b.initializer('fc.weight', float32([1, 2, Number.NaN, 4], [4, 1]))]));
    expect(await refusal((file) => saveModel({ graph: b.build('nan'), info: {} }, file))).toContain('"fc.weight"');
  });

  it('one that is larger than it may be is refused', async () => {
    expect(await refusal((file) => saveModel({ graph: classifier(), info: {} }, file, { maxBytes: 500 }))).toMatch(
      /takes \d+ bytes, more than 500/,
    );
  });

  it('a state dict of an unknown architecture is compared tensor by tensor', async () => {
    for (const extension of ['pt', 'safetensors']) {
      const file = fresh(extension);
      await saveModel({ graph: classifier(), info: {} }, file);
      expect(existsSync(file)).toBe(true);
    }
  });

  it('tensors of a written file are compared bit by bit', () => {
    const promised = new Map([['a', float32([1, 0])]]);
    expect(() => verifyTensors(new Map([['a', float32([1, 0])]]), promised)).not.toThrow();
    expect(() => verifyTensors(new Map([['a', float32([1, -0])]]), promised)).toThrow('elements of the tensor "a"');
    expect(() => verifyTensors(new Map([['a', float32([1, 0], [2, 1])]]), promised)).toThrow('float32 [2, 1]');
    expect(() => verifyTensors(new Map(), promised)).toThrow('"a" is missing');
    expect(() => verifyTensors(new Map([...promised, ['b', float32([1])]]), promised)).toThrow('"b"');
  });
});
