import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.js';
import { writeSafetensors } from '../../../src/formats/safetensors/write.js';
import { readTorch } from '../../../src/formats/torch/read.js';
import { writeTorch } from '../../../src/formats/torch/write.js';
import { listParameters } from '../../../src/graph/parameters.js';
import { getModelExtension, openModel, splitOpenOptions } from '../../../src/io/models/model-file.js';
import { saveModel } from '../../../src/io/models/save-model.js';
import { GraphBuilder } from '../../../src/ops/builder.js';
import { float32, type Tensor } from '../../../src/tensor/tensor.js';
import { refusalOf } from '../../support/refusal.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-weights-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const filled = (dims: readonly number[], value: number) =>
  float32(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value), [...dims]);
/** A VGG of one convolution and one linear layer, all of one value. */
const vgg = (value: number, prefix = ''): [string, Tensor][] => [
  [`${prefix}features.0.weight`, filled([2, 3, 3, 3], value)],
  [`${prefix}features.0.bias`, filled([2], value)],
  [`${prefix}classifier.0.weight`, filled([4, 8], value)],
  [`${prefix}classifier.0.bias`, filled([4], value)],
];
const input = { inputSize: [4, 4] } as const;

async function put(name: string, tensors: readonly [string, Tensor][]): Promise<string> {
  const file = join(folder, name);
  const all = new Map(tensors);
  writeFileSync(file, name.endsWith('.safetensors') ? writeSafetensors(all) : await writeTorch(all));
  return file;
}

async function firstWeight(file: string, weights?: string): Promise<{ value: number; notes: string }> {
  const { graph, notes } = await openModel(file, { ...input, ...(weights === undefined ? {} : { weights }) });
  const [first] = listParameters(graph);
  return { value: Number(first?.tensor.data[0]), notes: notes.join('\n') };
}

describe('A file of several weights', () => {
  it.each(['two.pt', 'two.safetensors', 'two.ckpt', 'two.th', 'two.pth.tar'])(
    'opens with those that are not averaged and a note, or with those that are asked for: %s',
    async (name) => {
      const file = await put(name, [...vgg(2, 'ema.'), ...vgg(1, 'model.')]);
      const { value, notes } = await firstWeight(file);
      expect(value).toBe(1);
      expect(notes).toMatch(/those under "model".*also holds "ema" \(4 tensors\).*`weights: 'ema'`/);
      expect((await firstWeight(file, 'ema')).value).toBe(2);
      expect((await firstWeight(file, 'model')).value).toBe(1);
      const error = await refusalOf(openModel(file, { weights: 'emma' }));
      expect(error).toBeInstanceOf(UsageError);
      expect(error.message).toMatch(
        /no weights under "emma".*Did you mean "ema"\? It has "ema" \(4 tensors\), "model"/,
      );
    },
  );

  it('is none where an ONNX file is: asked for alone that is a mistake, along with a checkpoint it is for that one', async () => {
    const checkpoint = await put('one.pt', vgg(1));
    const onnx = join(folder, 'one.onnx');
    await saveModel(await openModel(checkpoint, input), onnx);
    const error = await refusalOf(openModel(onnx, { weights: 'ema' }));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(/an ONNX file has one set/);
    expect(splitOpenOptions([checkpoint, onnx], { arch: 'vgg', weights: 'ema' })).toEqual([
      { arch: 'vgg', weights: 'ema' },
      { arch: 'vgg' },
    ]);
    expect(splitOpenOptions([onnx, onnx], { weights: 'ema' })).toEqual([{ weights: 'ema' }, { weights: 'ema' }]);
  });

  it('may have tensors of a loss or of a second network next to them', async () => {
    const loss: [string, Tensor] = ['criterion.weight', filled([4], 1)];
    for (const name of ['loss.ckpt', 'loss.safetensors']) {
      const opened = await openModel(await put(name, [...vgg(1, 'model.'), loss]), input);
      expect(opened.ignored).toEqual(['criterion.weight']);
      expect(opened.notes.join()).toMatch(/those under "model"; the file also holds "criterion\.weight"/);
      const two = await put(`two-${name}`, [...vgg(2, 'teacher.'), ...vgg(1, 'student.')]);
      expect((await firstWeight(two)).notes).toMatch(/those under "teacher".*"student" \(4 tensors\)/);
      expect((await firstWeight(two, 'student')).value).toBe(1);
    }
  });

  it('loses the prefixes that all names have', async () => {
    for (const prefix of ['module.', '_orig_mod.', 'model.', 'module._orig_mod.model.']) {
      const { graph } = await openModel(await put('prefix.safetensors', vgg(1, prefix)), input);
      expect(listParameters(graph).map(({ name }) => name)).toEqual(vgg(1).map(([name]) => name));
    }
  });

  it('keeps the names of a model that is written, whatever they begin with', async () => {
    const b = new GraphBuilder();
    const x = b.input('image', 'float32', ['N', 3, 4, 4]);
    const features = b.op('Conv', [x, b.initializer('model.conv.weight', filled([2, 3, 4, 4], 1))], {});
    b.output(b.op('Flatten', [features], { axis: 1 }));
    const file = join(folder, 'named.pt');
    await saveModel({ graph: b.build('named'), info: {} }, file);
    const { tensors } = await readTorch(new Uint8Array(readFileSync(file)), file, { keepNames: true });
    expect([...tensors.keys()]).toEqual(['model.conv.weight']);
  });

  it('has an extension without .tar, which PyTorch examples put behind it', () => {
    expect(getModelExtension('a/checkpoint.pth.tar')).toBe('.pth');
    expect(getModelExtension('model.ckpt')).toBe('.ckpt');
  });
});

describe('Weights without a known network', () => {
  const resnet: [string, Tensor][] = [
    'conv1.weight',
    'layer1.0.conv1.weight',
    'layer1.0.bn1.weight',
    'a',
    'b',
    'c',
    'fc.bias',
  ].map((name) => [name, filled([2, 1, 3, 3], 1)]);

  it('are refused with their names and shapes, and the line that exports them', async () => {
    const { message } = await refusalOf(openModel(await put('net.th', resnet)));
    expect(message).toMatch(/its 7 tensors \(conv1\.weight \[2, 1, 3, 3\], .*…, c \[2, 1, 3, 3\], fc\.bias/);
    expect(message).toContain('torch.onnx.export(model.eval(), torch.randn(1, 1, 224, 224), "net.onnx"');
    expect(message).not.toContain('--arch');
  });

  it('are refused in the same way where --arch names one that they do not fit', async () => {
    const { message } = await refusalOf(openModel(await put('net.th', resnet), { arch: 'vgg' }));
    expect(message).toMatch(/vgg, does not have these names and shapes/);
    expect(message).toContain('torch.onnx.export');
  });

  it('name the tensor that a known network lacks', async () => {
    const tensors = vgg(1).filter(([name]) => name !== 'classifier.0.weight');
    const { message } = await refusalOf(openModel(await put('lacks.pt', tensors), input));
    expect(message).toMatch(/Reading .*lacks\.pt: Building VGG: the state dict has no "classifier\.0\.weight"/);
  });
});
