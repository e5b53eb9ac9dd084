import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Uint8ArrayReader, ZipReader } from '@zip.js/zip.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTorch } from '../../src/formats/torch/read.js';
import { writeTorch } from '../../src/formats/torch/write.js';
import type { DType } from '../../src/tensor/dtype.js';
import { float32, int64, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { requires } from '../support/requires.js';
import { shared } from '../support/shared-data.js';
import { anyTensor } from './any-tensor.js';
import { expectedTensors, golden } from './torch-golden.js';

describe('readTorch', () => {
  it.each([
    'dtypes.pt',
    'dtypes-legacy.pt',
    'views.pt',
    'views-legacy.pt',
    'protocol4.pt',
    'parameter.pt',
    'nested.pt',
    'checkpoint.pt',
  ])('finds in %s what PyTorch finds', async (name) => {
    const { tensors } = await readTorch(golden(name), name);
    expect(tensors.size).toBeGreaterThan(0);
    expect([...tensors]).toEqual([...expectedTensors(name)]);
  });

  it('keeps the order, counts element types, and has nothing to ignore in a plain state dict', async () => {
    const { source } = await readTorch(golden('dtypes-legacy.pt'), 'dtypes-legacy.pt');
    const once = { float64: 1, float16: 1, bfloat16: 1, int8: 1, uint8: 1, int16: 1, int32: 1, bool: 1 };
    const dtypes = { ...once, float32: 2, int64: 2 };
    expect(source).toEqual({ format: 'legacy', unwrapped: '', prefix: '', ignored: [], others: [], notes: [], dtypes });
  });

  it('finds the weights inside a training checkpoint and lists the rest', async () => {
    const { source } = await readTorch(golden('checkpoint.pt'), 'checkpoint.pt');
    expect(source.format).toBe('zip');
    expect(source.unwrapped).toBe('state_dict');
    expect(source.prefix).toBe('module.');
    expect(source.ignored).toEqual(['epoch', 'optimizer', 'schedule', 'args', 'best', 'size']);
  });

  it('follows wrappers inside wrappers', async () => {
    const { source } = await readTorch(golden('nested.pt'), 'nested.pt');
    expect(source.unwrapped).toBe('model.net');
    expect(source.ignored).toEqual(['model.net.note']);
  });

  it('lets tied weights share memory', async () => {
    const { tensors } = await readTorch(golden('views.pt'), 'views.pt');
    expect(tensors.get('tied')?.data.buffer).toBe(tensors.get('whole')?.data.buffer);
  });

  it('lists bytes after the end of a legacy file', async () => {
    const bytes = golden('dtypes-legacy.pt');
    const longer = new Uint8Array(bytes.length + 3);
    longer.set(bytes);
    const { source } = await readTorch(longer, 'longer.pt');
    expect(source.ignored).toEqual(['3 bytes after the last storage']);
  });
});

describe('writeTorch', () => {
  it('writes what readTorch reads, for any tensors', async () => {
    // Names beginning with module. would lose it.
    const name = fc.string({ unit: 'grapheme' }).filter((text) => !/^(module|_orig_mod|model)\./.test(text));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
        fc.infiniteStream(anyTensor(torchDtypes)),
        async (names, stream) => {
          const tensors = new Map(names.map((key) => [key, stream.next().value as Tensor] as const));
          const { tensors: read } = await readTorch(await writeTorch(tensors), 'any.pt');
          expect([...read]).toEqual([...tensors]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('writes hundreds of tensors, and names of any length', async () => {
    const tensors = new Map(Array.from({ length: 300 }, (_, i) => ['x'.repeat(i) + i, float32([i])] as const));
    const { tensors: read } = await readTorch(await writeTorch(tensors), 'many.pt');
    expect([...read]).toEqual([...tensors]);
  });

  it('writes the same bytes every time', async () => {
    const tensors = new Map([['weight', float32([1, 2, 3])]]);
    expect(await writeTorch(tensors)).toEqual(await writeTorch(tensors));
  });

  it('aligns every storage to 64 bytes, as PyTorch does', async () => {
    const tensors = new Map<string, Tensor>([
      ['a', float32([1, 2, 3])],
      ['b', float32([4])],
      ['long.name', int64([5])],
    ]);
    const bytes = await writeTorch(tensors, 'weights');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const entries = await new ZipReader(new Uint8ArrayReader(bytes)).getEntries();
    expect(entries.map(({ filename }) => filename)).toEqual([
      'weights/data.pkl',
      'weights/data/0',
      'weights/data/1',
      'weights/data/2',
      'weights/version',
    ]);
    for (const { offset } of entries) {
      const names = view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
      expect((offset + 30 + names) % 64).toBe(0);
    }
  });

  it('refuses element types that PyTorch cannot read, by name', async () => {
    const tensors = new Map([['codes', tensor('uint16', [1], Uint16Array.of(1))]]);
    await expect(writeTorch(tensors)).rejects.toThrow(/tensor "codes" has uint16 elements.*\.safetensors/);
  });

  it.each(['', '..', 'a/b', 'a b'])('refuses the folder name "%s"', async (name) => {
    await expect(writeTorch(new Map(), name)).rejects.toThrow('must be a plain name');
  });
});

const torchDtypes: readonly DType[] = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'int8',
  'uint8',
  'int16',
  'int32',
  'int64',
  'bool',
];

const python = '/usr/bin/python3';
const hasTorch = spawnSync(python, ['-c', 'import torch']).status === 0;

/** Loads a file strictly as weights and as anything; prints each tensor as its elements' bytes. */
const loading = `
import json, sys, torch
weights = torch.load(sys.argv[1], weights_only=True)
again = torch.load(sys.argv[1])
assert type(again).__name__ == 'OrderedDict' and list(again) == list(weights)
def shown(t):
    raw = t.reshape(-1).contiguous()
    return [str(t.dtype).replace('torch.', ''), list(t.shape), raw.view(torch.uint8).numpy().tobytes().hex()]
print(json.dumps({k: shown(t) for k, t in weights.items()}))
`;

describe('PyTorch', requires('PyTorch', hasTorch), () => {
  it('reads files written here, bit for bit, also with weights_only', async () => {
    const tensors = expectedTensors('dtypes.pt');
    tensors.set('ключ "quoted"', float32([1, 2, 3, 4], [2, 2]));
    tensors.set('large', float32(new Float32Array(70_000).fill(0.5), [70_000]));
    const folder = mkdtempSync(join(tmpdir(), 'shibori-torch-'));
    try {
      const file = join(folder, 'weights.pt');
      writeFileSync(file, await writeTorch(tensors));
      const { status, stdout, stderr } = spawnSync(python, ['-c', loading, file], {
        encoding: 'utf8',
        maxBuffer: 2 ** 24,
      });
      expect(stderr).not.toContain('Error');
      expect(status).toBe(0);
      const hex = ({ data }: Tensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');
      const wanted = [...tensors].map(([key, t]) => [key, [t.dtype, t.dims, hex(t)]] as const);
      expect(Object.entries(JSON.parse(stdout))).toEqual(wanted);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

const realFile = shared('tiny-imagenet-vgg-finetuned.pt');

describe('a real checkpoint', requires('shared data', existsSync(realFile)), () => {
  it('has the parameters of the study', async () => {
    const { tensors, source } = await readTorch(new Uint8Array(readFileSync(realFile)), realFile);
    const parameters = [...tensors].filter(([name]) => !/running_(mean|var)$|num_batches_tracked$/.test(name));
    expect(parameters.reduce((total, [, { data }]) => total + data.length, 0)).toBe(27_927_560);
    expect(source.dtypes).toEqual({ float16: 40, int64: 2 });
    expect(source.ignored).toEqual([]);
    expect(tensors.get('vgg16.classifier.0.weight')?.dims).toEqual([512, 25088]);
  });
});
