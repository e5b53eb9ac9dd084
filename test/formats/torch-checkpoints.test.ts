import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.js';
import { readTorch } from '../../src/formats/torch/read.js';
import { toFloat32 } from '../../src/tensor/float16.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { refusalOf } from '../support/refusal.js';
import { checkpoint, type Described, expectedIn } from './checkpoint-golden.js';
import { archiveOf, pickle, pushTensor, zipOf } from './torch-craft.js';

const described = (tensors: ReadonlyMap<string, Tensor>): Described =>
  Object.fromEntries(
    [...tensors].map(([name, tensor]) => {
      const values = tensor.dtype === 'float64' ? tensor.data : toFloat32(tensor).data;
      return [name, { dims: [...tensor.dims], values: Array.from(values) }] as const;
    }),
  );

const open = async (name: string, weights?: string) =>
  readTorch(checkpoint(name), name, weights === undefined ? {} : { weights });

describe('Objects alongside the weights', () => {
  it.each([
    'objects.pt',
    'objects-protocol0.pt',
    'objects-protocol1.pt',
    'objects-protocol4.pt',
    'objects-protocol5.pt',
    'objects-legacy.pt',
  ])('are left out, whatever they are; the weights are those that PyTorch reads: %s', async (name) => {
    const { tensors, source } = await open(name);
    expect(described(tensors)).toEqual(expectedIn(name));
    expect([...tensors.keys()]).toEqual(Object.keys(expectedIn(name)));
    expect(source.unwrapped).toBe('model');
    const left = [
      'args',
      'mode',
      'config',
      'default',
      'count',
      'partial',
      'device',
      'dtype',
      'function',
      'class',
      'sets',
    ];
    const arrays = ['history', 'objects', 'scalar', 'random', 'generator', 'sparse', 'quantised'];
    expect(source.ignored).toEqual([...left, ...arrays]);
    expect(source.others).toEqual([]);
    expect(source.notes).toEqual([]);
  });

  it('are named where they are in the place of the weights', async () => {
    const object = pickle().operations('}').text('state_dict').global('my.project', 'Weights').operations(')\x81s.');
    const { message } = await refusalOf(readTorch(await archiveOf(object), 'a.pt'));
    expect(message).toMatch(
      /no named tensors, only "state_dict" \(the Python object my\.project\.Weights, whose class/,
    );
  });

  it.each([
    ['torch._utils', '_rebuild_qtensor', /tensor "fc\.weight" is a quantised tensor \(use dequantize\(\)\)/],
    ['torch._utils', '_rebuild_sparse_tensor', /tensor "fc\.weight" is a sparse tensor \(use to_dense\(\)\)/],
    ['my.project', 'decode', /tensor "fc\.weight" is an object, made by "my\.project\.decode", which is not known/],
  ])('refuse where a tensor of the weights is made by them: %s.%s', async (module, name, message) => {
    const object = pickle().operations('}(').text('fc.weight').global(module, name);
    pushTensor(object, { length: 1, dims: [1], strides: [1] }).operations('\x85R');
    pushTensor(object.text('fc.bias'), { length: 1, dims: [1], strides: [1] }).operations('u.');
    const bytes = await archiveOf(object, new Uint8Array(4));
    expect((await refusalOf(readTorch(bytes, 'a.pt'))).message).toMatch(message);
  });
});

describe('Tensors of unusual makings', () => {
  it.each(['subclasses.pt', 'arrays.pt', 'arrays-protocol5.pt', 'protocol0-legacy.pt', 'protocol1-legacy.pt'])(
    'are read as PyTorch and NumPy have them: %s',
    async (name) => {
      expect(described((await open(name)).tensors)).toEqual(expectedIn(name));
    },
  );

  it('are read out of a pickled module, with the prefix of DataParallel and without passing buffers', async () => {
    const { tensors, source } = await open('module.pt');
    expect(described(tensors)).toEqual(expectedIn('module.pt'));
    expect(source.prefix).toBe('module.');
    expect(source.others).toEqual([{ key: 'ema', tensors: tensors.size }]);
    expect(source.notes.join('\n')).toMatch(/whole pickled model \(torch\.nn\.parallel\.data_parallel\.DataParallel\)/);
  });
});

describe('The weights of a checkpoint', () => {
  it('are found under any key, among averages, optimizers and counters; what else there is gets a note', async () => {
    const { tensors, source } = await open('sets.pt');
    expect(described(tensors)).toEqual(expectedIn('sets.pt'));
    expect(source.unwrapped).toBe('my_net');
    expect(source.others).toEqual([
      { key: 'ema', tensors: 9 },
      { key: 'old', tensors: 9 },
    ]);
    expect(source.notes).toEqual([
      `The weights are those of "my_net". The file also holds "ema" (9 tensors), "old" (9 tensors), which are not used: choose with \`weights: 'ema'\`.`,
    ]);
  });

  it.each([
    ['sets.pt', 'ema', 'averaged'],
    ['sets.pt', 'old', 'averaged'],
    ['sets.pt', 'old.net', 'averaged'],
    ['sets.pt', 'my_net', 'sets.pt'],
    ['prefixes.pt', 'model_ema', 'averaged'],
    ['prefixes.pt', 'state_dict.model_ema', 'averaged'],
    ['prefixes.pt', 'model', 'prefixes.pt'],
  ])('are chosen by key: %s, %s', async (name, key, wanted) => {
    expect(described((await open(name, key)).tensors)).toEqual(expectedIn(wanted));
  });

  it('are told apart by the prefixes of their names', async () => {
    const { tensors, source } = await open('prefixes.pt');
    expect(described(tensors)).toEqual(expectedIn('prefixes.pt'));
    expect(source).toMatchObject({ unwrapped: 'state_dict', prefix: 'model.' });
    expect(source.others).toEqual([{ key: 'state_dict.model_ema', tensors: 9 }]);
    expect(source.ignored).toEqual(['hyper_parameters', 'callbacks']);
  });

  it('are put together from dictionaries by layer', async () => {
    const { tensors } = await open('nested.pt');
    expect(described(tensors)).toEqual(expectedIn('nested.pt'));
  });

  it('are refused under a key that holds none, with the nearest and the list', async () => {
    for (const key of ['emma', 'epoch', 'optimizer', '']) {
      const error = await refusalOf(open('sets.pt', key));
      expect(error).toBeInstanceOf(UsageError);
      expect(error.message).toMatch(
        /It has "ema" \(9 tensors\), "my_net" \(9 tensors\), "old" \(9 tensors\), "old\.net"/,
      );
      expect(error.message.includes('Did you mean "ema"')).toBe(key === 'emma');
    }
    expect((await refusalOf(open('prefixes.pt', 'model_em'))).message).toMatch(/Did you mean "model_ema"/);
    expect((await refusalOf(open('nested.pt', 'ema'))).message).toMatch(/leave `weights` out|It has/);
  });
});

describe('Keys that a pickle has twice', () => {
  it('are refused by name', async () => {
    const twice = pickle().operations('}(').text('w').operations('N').text('w').operations('Nu.');
    expect((await refusalOf(readTorch(await archiveOf(twice), 'a.pt'))).message).toMatch(/the key "w" twice/);
    const pairs = pickle().global('collections', 'OrderedDict').operations('](');
    pairs.text('w').operations('N\x86').text('w').operations('N\x86e\x85R.');
    expect((await refusalOf(readTorch(await archiveOf(pairs), 'a.pt'))).message).toMatch(/the key "w" twice/);
  });
});

describe('Dictionaries made to exhaust', () => {
  /** Each level holds the one below `width` times. */
  const unfolding = (levels: number, width: number) => {
    const object = pickle().operations('}');
    pushTensor(object.text('a.weight'), { length: 1, dims: [1], strides: [1] }).operations('sq\0');
    for (let level = 0; level < levels; level++) {
      object.operations('}(');
      for (let i = 0; i < width; i++) object.text(`b${i}`).operations('h\0');
      object.operations('uq\0');
    }
    return object.operations('.');
  };

  it.each([
    ['doubled thirty times', unfolding(30, 2)],
    ['doubled a hundred times', unfolding(100, 2)],
    ['a thousand times in a thousand', unfolding(3, 1000)],
  ])('are refused soon: %s', async (_, object) => {
    const start = performance.now();
    const { message } = await refusalOf(readTorch(await archiveOf(object, new Uint8Array(4)), 'a.pt'));
    expect(message).toMatch(/contain each other|no named tensors/);
    // Generous: a second at most on a slow machine, where a search without a bound takes for ever.
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('contain themselves next to weights', async () => {
    const object = pickle().operations('}q\0(');
    pushTensor(object.text('fc.weight'), { length: 1, dims: [1], strides: [1] });
    object.text('self').operations('h\0').text('deep').operations('}').text('again').operations('h\0su.');
    const { tensors } = await readTorch(await archiveOf(object, new Uint8Array(4)), 'a.pt');
    expect([...tensors.keys()]).toContain('fc.weight');
  });

  it('are modules that share a million buffers', async () => {
    const object = pickle().operations('}(');
    for (let i = 0; i < 5000; i++) object.text(`b${i}`).operations('N');
    object.operations('uq\0}q\x01}q\x02');
    pushTensor(object.text('w'), { length: 1, dims: [1, 1], strides: [1, 1] }).operations('s0}(');
    for (let i = 0; i < 20_000; i++) {
      object.text(`m${i}`).global('torch.nn', 'Module').operations(')\x81}(');
      object.text('_parameters').operations('h\x02').text('_modules').operations('h\x01');
      object.text('_buffers').operations('h\0ub');
    }
    const { message } = await refusalOf(readTorch(await archiveOf(object.operations('u.'), new Uint8Array(4)), 'a.pt'));
    expect(message).toMatch(/contain each other/);
  });

  it('have numbers of a million digits', async () => {
    const digits = `\x80\x02I${'9'.repeat(1_000_000)}\n.`;
    const bytes = Uint8Array.from(digits, (character) => character.charCodeAt(0));
    expect((await refusalOf(readTorch(await zipOf({ 'a/data.pkl': bytes }), 'a.pt'))).message).toMatch(
      /an integer is no/,
    );
  });
});
