import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { writeSafetensors } from '../../src/formats/safetensors/write.js';
import { PickleWriter } from '../../src/formats/torch/pickle-writer.js';
import { readTorch } from '../../src/formats/torch/read.js';
import { float32, tensor } from '../../src/tensor/tensor.js';
import { refusalOf } from '../support/refusal.js';
import { checkpoint } from './checkpoint-golden.js';
import { archiveOf, archiveOfOne, concatenate, legacyOf, pickle, pushTensor, zipOf } from './torch-craft.js';
import { golden } from './torch-golden.js';

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** The message that reading fails with. Throws what is no ShiboriError, and for files that can be read. */
/** Changes one to four bytes of a file, many times: each reading gives tensors or a ShiboriError. */
async function changeBytes(whole: Uint8Array, name: string, numRuns: number): Promise<void> {
  const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const bytes = whole.slice();
      for (const { at, byte } of changes) bytes[at] = byte;
      await readTorch(bytes, name).catch((error: unknown) => expect(error).toBeInstanceOf(ShiboriError));
    }),
    { numRuns },
  );
}

async function refusal(bytes: Uint8Array, file = 'model.pt'): Promise<string> {
  const { message } = await refusalOf(readTorch(bytes, file));
  expect(message).toContain(`Reading ${file}: `);
  return message;
}

describe('a pickle that calls code', () => {
  it.each([
    ['hostile-system.pt', 'posix.system'],
    ['hostile-system-legacy.pt', 'posix.system'],
    ['hostile-eval.pt', '__builtin__.eval'],
    ['hostile-eval-legacy.pt', '__builtin__.eval'],
  ])('is refused, and named: %s', async (name, called) => {
    const message = await refusal(golden(name), name);
    expect(message).toContain(`the file asks to call ${called}`);
    expect(message).toContain('refused');
  });

  const noStorages = pickle().operations('].').bytes();
  it.each([
    ['GLOBAL', pickle().global('os', 'system').operations('.'), 'os.system'],
    ['GLOBAL and REDUCE', pickle().global('os', 'system').operations('(').text('echo').operations('tR.'), 'os.system'],
    ['STACK_GLOBAL', pickle().text('os').text('system').operations('\x93.'), 'os.system'],
    ['INST', pickle().operations('(').text('echo').operations('ios\nsystem\n.'), 'os.system'],
    ['OBJ', pickle().operations('(').global('os', 'system').text('echo').operations('o.'), 'os.system'],
    ['NEWOBJ', pickle().global('subprocess', 'Popen').text('echo').operations('\x85\x81.'), 'subprocess.Popen'],
    ['NEWOBJ_EX', pickle().global('subprocess', 'Popen').operations(')}\x92.'), 'subprocess.Popen'],
    ['protocol 0', new PickleWriter().operations("cbuiltins\neval\n(S'1'\ntR."), 'builtins.eval'],
    ['another load', pickle().global('torch.storage', '_load_from_bytes').operations('.'), '_load_from_bytes'],
    [
      'a path of attributes',
      pickle().text('torch').text('serialization.os.system').operations('\x93.'),
      'torch.serialization.os.system',
    ],
    ['control characters', pickle().global('os', 'a\x1b[2J').operations('.'), 'os.a\\u001b[2J'],
    ['a registry', pickle().operations('\x82\x01)R.'), 'copyreg extension 1'],
  ])('calls nothing, whichever operation asks: %s', async (_, crafted, called) => {
    for (const bytes of [await archiveOf(crafted), legacyOf(crafted, noStorages)]) {
      const message = await refusal(bytes);
      expect(message).toContain(called);
      expect(message).toContain('not run');
    }
  });

  it('is read where its weights need none of the calls, with a warning that names them', async () => {
    const crafted = pushTensor(pickle().operations('}(').text('fc.weight'), {
      length: 2,
      dims: [1, 2],
      strides: [2, 1],
    });
    crafted.text('hook').global('os', 'system').text('echo').operations('\x85Ru.');
    const { tensors, source } = await readTorch(await archiveOf(crafted, floats(1, 2)), 'model.pt');
    expect([...tensors]).toEqual([['fc.weight', float32([1, 2], [1, 2])]]);
    expect(source.ignored).toEqual(['hook']);
    expect(source.notes.join()).toMatch(/asks to call os\.system.*refused.*Do not load it in Python/);
  });

  it('cannot call what is not a function', async () => {
    expect(await refusal(await archiveOf(pickle().text('os.system').operations(')R.')))).toContain('no function');
    expect(await refusal(await archiveOf(pickle().global('torch', 'float32').operations(')R.')))).toContain(
      'no function',
    );
  });
});

describe('a file of another kind', () => {
  it.each([
    ['torchscript.pt', /TorchScript.*torch\.jit\.load/],
    ['single-tensor.pt', /a single tensor, but a state dict is needed/],
    ['no-tensors.pt', /no named tensors, only "epoch", "loss"/],
    ['complex.pt', /torch\.ComplexFloatStorage.*not supported/],
    ['sparse.pt', /torch\._utils\._rebuild_sparse_tensor/],
    ['plain-pickle.pt', /a Python pickle, but not of torch\.save/],
  ])('is told what it is: %s', async (name, message) => {
    expect(await refusal(golden(name), name)).toMatch(message);
  });

  it.each([
    ['a JPEG image', latin1('\xff\xd8\xff\xe0')],
    ['a PNG image', latin1('\x89PNG\r\n\x1a\n')],
    ['a safetensors file', writeSafetensors(new Map([['weight', float32([1])]]))],
    ['an ONNX model', latin1('\x08\x08\x12\x07pytorch')],
    ['an HDF5 file', latin1('\x89HDF\r\n')],
    ['a Git LFS pointer', latin1('version https://git-lfs.github.com/spec/v1')],
    ['a web page', latin1('<!DOCTYPE html>')],
    ['an empty file', latin1('')],
    ['a file that begins with the bytes 01 02', latin1('\x01\x02')],
  ])('is recognised under a wrong name: %s', async (kind, bytes) => {
    expect(await refusal(bytes)).toContain(kind);
  });

  it('is a zip archive of something else', async () => {
    const bytes = await zipOf({ 'images/one.txt': latin1('1'), 'words.txt': latin1('2') });
    expect(await refusal(bytes)).toMatch(/not of torch\.save.*"images\/one\.txt", "words\.txt"/);
  });

  it('was written on a big-endian machine', async () => {
    const weights = { 'a/data.pkl': pickle().operations('}.').bytes(), 'a/byteorder': latin1('big') };
    expect(await refusal(await zipOf(weights))).toContain('"big"');
    expect(await refusal(legacyOf(pickle().operations('}.'), latin1(''), false))).toContain('little-endian');
  });
});

describe('a zip archive that is not what it seems', () => {
  const one = { length: 2, dims: [2], strides: [1] };

  it.each(['../evil', 'a/../../evil', '/etc/passwd', 'C:/evil', '..\\evil'])(
    'holds an entry named %s',
    async (name) => {
      const bytes = await zipOf({ 'a/data.pkl': pickle().operations('}.').bytes(), [name]: latin1('x') });
      const message = await refusal(bytes);
      expect(message).toContain(JSON.stringify(name));
      expect(message).toContain('outside');
    },
  );

  it('is compressed', async () => {
    const weights = { 'a/data.pkl': new Uint8Array(1000) };
    expect(await refusal(await zipOf(weights, 6))).toMatch(/"a\/data\.pkl".*compressed.*Save it again/);
  });

  it('has a flipped bit in the elements', async () => {
    const bytes = await archiveOfOne(one, floats(1, 2));
    const at = bytes.findIndex((_, i) => bytes[i + 2] === 0x80 && bytes[i + 3] === 0x3f && bytes[i + 7] === 0x40);
    bytes[at] = 1;
    expect(await refusal(bytes)).toMatch(/"a\/data\/0".*checksum/);
  });

  it('claims gigabytes', async () => {
    const bytes = await archiveOfOne(one, floats(1, 2));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 46 < bytes.length; at++) {
      if (view.getUint32(at, true) !== 0x02014b50) continue;
      view.setUint32(at + 20, 0xf0000000, true);
      view.setUint32(at + 24, 0xf0000000, true);
    }
    expect(await refusal(bytes)).toContain('a/data.pkl');
  });

  it('lacks a storage, or has one of another size', async () => {
    expect(await refusal(await archiveOfOne({ ...one, key: '7' }, floats(1, 2)))).toMatch(/"a\/data\/7".*missing/);
    expect(await refusal(await archiveOfOne(one, floats(1)))).toContain('should have 8 bytes, found 4');
    expect(await refusal(await archiveOfOne({ ...one, length: 2 ** 50 }, floats(1)))).toContain('found 4');
  });

  it('holds an entry twice', async () => {
    const bytes = await zipOf({ 'a/data.pkl': pickle().operations('}.').bytes(), 'a/data.pkk': latin1('x') });
    const twice = bytes.map((byte, i) => (byte === 0x6b && bytes[i - 1] === 0x6b ? 0x6c : byte));
    expect(await refusal(twice)).toContain('twice');
  });
});

describe('tensors that lie', () => {
  it.each([
    ['reach past their storage', { length: 4, dims: [2, 3], strides: [3, 1] }, /"weight".*reaches element 5.*has 4/],
    ['start past their storage', { length: 4, offset: 4, dims: [1], strides: [1] }, /reaches element 4/],
    ['overflow', { length: 4, dims: [2 ** 52, 2 ** 52], strides: [2 ** 52, 2 ** 52] }, /reaches element/],
    ['repeat one element without end', { length: 4, dims: [2 ** 30, 2 ** 30], strides: [0, 0] }, /fill the memory/],
    ['have fewer strides than axes', { length: 4, dims: [2, 2], strides: [1] }, /2 axes but 1 strides/],
    ['have too many axes', { length: 4, dims: Array(65).fill(1), strides: Array(65).fill(1) }, /65 axes/],
  ])('%s', async (_, claim, message) => {
    expect(await refusal(await archiveOfOne(claim, floats(1, 2, 3, 4)))).toMatch(message);
  });

  it('repeat elements a little, a thousand times over', async () => {
    const crafted = pickle().operations('}(');
    for (let i = 0; i < 1000; i++) {
      pushTensor(crafted.text(`t${i}`), { length: 1, dims: [1024, 1024], strides: [0, 0] });
    }
    expect(await refusal(await archiveOf(crafted.operations('u.'), floats(1)))).toContain('fill the memory');
  });

  it('are booleans of 2', async () => {
    const claim = { storageClass: 'BoolStorage', length: 2, dims: [2], strides: [1] };
    expect(await refusal(await archiveOfOne(claim, Uint8Array.of(0, 2)))).toContain('not all 0 or 1');
  });

  it('have negative or fractional sizes', async () => {
    const negative = pickle().global('torch', 'Size').operations('(J\xff\xff\xff\xfft\x85R.');
    expect(await refusal(await archiveOf(negative))).toContain('-1');
    const huge = pickle().global('torch', 'Size').operations('(\x8a\x09\0\0\0\0\0\0\0\0\x01t\x85R.');
    expect(await refusal(await archiveOf(huge))).toContain(String(2n ** 64n));
  });

  it('claim more elements than an old file has', async () => {
    const claim = { length: 2 ** 40, dims: [1], strides: [1] };
    const object = pushTensor(pickle().operations('}').text('weight'), claim).operations('s.');
    const keys = pickle().operations('](').text('0').operations('e.');
    const length = new Uint8Array(BigInt64Array.of(2n ** 40n).buffer);
    const bytes = legacyOf(object, concatenate(keys.bytes(), length, floats(1)));
    expect(await refusal(bytes)).toContain('4398046511104 bytes are expected');
  });
});

describe('a pickle made to exhaust', () => {
  it('nests lists deeper than any call stack', async () => {
    const depth = 200_000;
    const bytes = latin1(`\x80\x02${']'.repeat(depth)}${'a'.repeat(depth - 1)}.`);
    expect(await refusal(await zipOf({ 'a/data.pkl': bytes }))).toContain('no dictionary');
  });

  it('doubles a list a hundred times', async () => {
    const crafted = pickle().operations(']q\0');
    for (let level = 0; level < 100; level++) crafted.operations('](h\0h\0eq\0');
    expect(await refusal(await archiveOf(crafted.operations('.')))).toContain('no dictionary');
  });

  it('contains itself', async () => {
    const crafted = pickle().operations('}q\0').text('model').operations('h\0s.');
    expect(await refusal(await archiveOf(crafted))).toContain('no named tensors');
  });

  it('makes more objects than any model', async () => {
    expect(await refusal(await zipOf({ 'a/data.pkl': new Uint8Array(6_000_000).fill(0x5d) }))).toContain('operations');
  });

  it('copies a long list time and again', async () => {
    const crafted = pickle().operations(`](${'N'.repeat(100_000)}e\x85q\0`);
    const calls = pickle().global('torch', 'Size').operations('q\x01');
    for (let i = 0; i < 1000; i++) calls.operations('h\x01h\0R');
    expect(await refusal(await archiveOf(crafted.operations(latin1Text(calls.bytes()))))).toMatch(/axes|operations/);
  });

  it.each([
    ['a text of 4 GB', 'X\xff\xff\xff\xff', 'ends early'],
    ['bytes of 4 GB', 'B\xff\xff\xff\xff', 'ends early'],
    ['an object that was never made', 'j\xff\xff\xff\xff', 'used before it is made'],
    ['an empty stack', 'q\0', 'nothing is on its stack'],
    ['a mark that is gone', 'N(N1t.', 'mark is missing'],
    ['a mark below the stack', 'N(0t.', 'mark is missing'],
    ['an unknown operation', '\xff', 'operation 0xff'],
    ['a text that is not UTF-8', 'X\x01\0\0\0\xff', 'not UTF-8'],
    ['a storage that is none', 'NQ.', 'not a storage'],
    ['a dictionary of one and a half pairs', '}(NNNu.', 'not filled by pairs'],
  ])('names %s', async (_, operations, message) => {
    expect(await refusal(await archiveOf(pickle().operations(operations)))).toContain(message);
  });
});

const latin1Text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

describe('damaged files', () => {
  it.each(['parameter.pt', 'nested.pt', 'views-legacy.pt', 'dtypes-legacy.pt'])(
    '%s, cut short anywhere, gives an error that says so',
    async (name) => {
      const whole = golden(name);
      for (let length = 0; length < whole.length; length++) await refusal(whole.slice(0, length), name);
    },
  );

  it.each(['dtypes.pt', 'views.pt', 'checkpoint.pt', 'dtypes-legacy.pt', 'torchscript.pt', 'whole-model-legacy.pt'])(
    '%s, with any bytes changed, gives an error or tensors, nothing else',
    (name) => changeBytes(golden(name), name, 60),
  );
});

describe('checkpoints of many objects', () => {
  it.each(['objects-legacy.pt', 'protocol0-legacy.pt', 'protocol1-legacy.pt'])(
    '%s, with any bytes changed, gives an error or tensors, nothing else',
    (name) => changeBytes(checkpoint(name), name, 100),
  );
});

describe('unusual, but right', () => {
  it('is a file of Python 2: byte strings, a dictionary built from pairs, the first way to rebuild a tensor', async () => {
    const object = pickle().global('collections', 'OrderedDict').operations('](](U\x06weight');
    object
      .global('torch._utils', '_rebuild_tensor')
      .operations('((')
      .text('storage')
      .global('torch.cuda', 'FloatStorage');
    object.text('94').text('cuda:0').integer(2).operations('NtQ').integer(0).tuple([2]).tuple([1]).operations('tReae');
    object.operations('\x85R.');
    const keys = pickle().operations('](').text('94').operations('e.');
    const length = new Uint8Array(BigInt64Array.of(2n).buffer);
    const bytes = legacyOf(object, concatenate(keys.bytes(), length, floats(1, 2)));
    const { tensors } = await readTorch(bytes, 'old.pth');
    expect([...tensors]).toEqual([['weight', float32([1, 2])]]);
  });

  it('is a file of PyTorch 2.3 with an unsigned type: the storage is bytes, the type beside it', async () => {
    const crafted = pickle().operations('}').text('codes').global('torch._utils', '_rebuild_tensor_v3');
    crafted.operations('((').text('storage').global('torch.storage', 'UntypedStorage').text('0').text('cpu').integer(6);
    crafted
      .operations('tQ')
      .integer(1)
      .tuple([2])
      .tuple([1])
      .operations('\x89N')
      .global('torch', 'uint16')
      .operations('NtRs.');
    const bytes = await archiveOf(crafted, new Uint8Array(Uint16Array.of(9, 8, 65535).buffer));
    const { tensors } = await readTorch(bytes, 'codes.pt');
    expect([...tensors]).toEqual([['codes', tensor('uint16', [2], Uint16Array.of(8, 65535))]]);
  });
});
