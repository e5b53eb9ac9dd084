import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { concatenate } from '../../src/formats/onnx/wire-writer.js';
import { writeOnnx, writeOnnxExternal } from '../../src/formats/onnx/write.js';
import type { Graph, Model } from '../../src/graph/model.js';
import { openModel } from '../../src/io/models/model-file.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { readPackageVersion } from '../../src/io/package-version.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32ToFloat16 } from '../../src/tensor/float16.js';
import { seeded } from '../../src/tensor/random.js';
import { tensor } from '../../src/tensor/tensor.js';
import { compress } from '../../src/workflows/compress.js';
import { exportModel } from '../../src/workflows/export-model.js';
import { summarize } from '../../src/workflows/summarize.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-sizes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

/** Three convolutions and a linear layer, all of it in float16. */
function halfGraph(): Graph {
  const b = new GraphBuilder();
  const random = seeded(3);
  const weight = (name: string, dims: readonly number[]) => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const values = Float32Array.from({ length: size }, () => random.uniform(-0.2, 0.2));
    return b.initializer(name, tensor('float16', dims, float32ToFloat16(values)));
  };
  let x = b.input('x', 'float16', ['N', 3, 8, 8]);
  for (const [i, channels] of [3, 24, 24].entries()) {
    const kernel = weight(`c${i}.weight`, [24, channels, 3, 3]);
    x = b.op('Relu', [b.op('Conv', [x, kernel], { pads: [1, 1, 1, 1] }, { name: `c${i}` })]);
  }
  const flat = b.op('Flatten', [b.op('GlobalAveragePool', [x])]);
  b.output(b.op('Gemm', [flat, weight('fc.weight', [24, 5])], {}, { name: 'fc' }));
  return b.build('half');
}

const model: Model = {
  graph: halfGraph(),
  opset: 18,
  domains: {},
  metadata: { author: 'them', names: "{0: 'cat'}" },
  about: {
    producerName: 'someone',
    producerVersion: '1',
    domain: 'org.example',
    modelVersion: 7,
    docString: 'a model',
  },
};

/** The model in one file, and with its weights in another. */
function write(): { whole: string; split: string } {
  writeFileSync(at('half.onnx'), writeOnnx(model));
  const { model: parts, data } = writeOnnxExternal(model, 'split.onnx.data');
  writeFileSync(at('split.onnx'), concatenate(parts));
  writeFileSync(at('split.onnx.data'), concatenate(data));
  return { whole: at('half.onnx'), split: at('split.onnx') };
}

describe('sizes are those of the file as it came', () => {
  it('summary reports bytes and element type, external data included', async () => {
    const { whole, split } = write();
    expect((await summarize({ model: whole })).stored).toEqual({ bytes: statSync(whole).size, dtype: 'float16' });
    const bytes = statSync(split).size + statSync(`${split}.data`).size;
    expect((await summarize({ model: split })).stored).toEqual({ bytes, dtype: 'float16' });
  });

  it('a share of the bytes is one of a float16 file, and holds for the file that is written', async () => {
    const { split } = write();
    const whole = statSync(split).size + statSync(`${split}.data`).size;
    const options = { model: split, goal: { size: 0.9 }, output: at('90.onnx'), threads: 1 };
    const { size, store, outputBytes } = await compress(options);
    expect(size.before).toMatchObject({ onnxBytes: whole, dtype: 'float16' });
    expect(size.after).toMatchObject({ onnxBytes: outputBytes, dtype: 'float16' });
    expect(store).toBe('float16');
    expect(statSync(at('90.onnx')).size).toBe(outputBytes);
    expect(outputBytes).toBeLessThanOrEqual(0.9 * whole);
  });

  it('a file of another storage is what was asked for', async () => {
    const { whole } = write();
    const { store, size } = await compress({
      model: whole,
      goal: { parameters: 0.9 },
      store: 'float32',
      output: at('float.onnx'),
      threads: 1,
    });
    expect(store).toBe('float32');
    expect(size.after.dtype).toBe('float32');
    expect((await openModel(at('float.onnx'))).stored?.dtype).toBe('float32');
  });
});

describe('a file that is written from another', () => {
  it('has its float16 weights to the bit', async () => {
    const { whole } = write();
    await exportModel({ model: whole, output: at('again.onnx'), threads: 1 });
    const stored = readOnnx(readFileSync(at('again.onnx')), 'again.onnx').graph.initializers;
    const again = new Map(Array.from(stored, ([{ name }, data]) => [name, data]));
    for (const [{ name }, data] of model.graph.initializers) {
      // Smaller ones are float32: the node that widens them takes more than they save.
      if (data.data.length >= 256) expect(again.get(name)).toEqual(data);
    }
    expect((await openModel(at('again.onnx'))).stored?.dtype).toBe('float16');
  });

  it('has what that said about its model, and our version under our own key', async () => {
    const { whole } = write();
    await exportModel({ model: whole, output: at('about.onnx'), threads: 1 });
    const again = readOnnx(readFileSync(at('about.onnx')), 'about.onnx');
    expect(again.about).toEqual(model.about);
    expect(again.metadata).toMatchObject({ ...model.metadata, 'shibori.version': readPackageVersion() });
    const opened = await openModel(at('about.onnx'));
    expect(opened.info.others).toEqual(model.metadata);
    await saveModel(opened, at('twice.onnx'));
    expect(readOnnx(readFileSync(at('twice.onnx')), 'twice.onnx').metadata).toEqual(again.metadata);
  });

  it('names this package as its producer where nobody is', async () => {
    writeFileSync(at('own.onnx'), writeOnnx({ ...model, about: {} }));
    await exportModel({ model: at('own.onnx'), output: at('own-again.onnx'), threads: 1 });
    expect(readOnnx(readFileSync(at('own-again.onnx')), 'x').producer).toBe(`shibori ${readPackageVersion()}`);
  });
});
