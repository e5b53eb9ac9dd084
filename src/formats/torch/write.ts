import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import { ShiboriError, UsageError } from '../../errors.js';
import { computeStrides } from '../../tensor/dims.js';
import type { DType } from '../../tensor/dtype.js';
import { getTensorBytes, type Tensor } from '../../tensor/tensor.js';
import { PickleWriter } from './pickle-writer.js';

/** Lists the element types that every PyTorch since 1.6 supports. */
const storageClasses: Readonly<Partial<Record<DType, string>>> = {
  float32: 'FloatStorage',
  float64: 'DoubleStorage',
  float16: 'HalfStorage',
  bfloat16: 'BFloat16Storage',
  int8: 'CharStorage',
  uint8: 'ByteStorage',
  int16: 'ShortStorage',
  int32: 'IntStorage',
  int64: 'LongStorage',
  bool: 'BoolStorage',
};

/**
 * Named tensors as a `.pt` file, an `OrderedDict` as `torch.save(model.state_dict(), …)` writes it: zip format, elements
 * aligned to 64 bytes, element types kept. `torch.load` reads it, `weights_only=True` included. The same tensors give the
 * same bytes.
 *
 * @param name The folder inside the archive. Default: "archive".
 * @throws ShiboriError for uint16, uint32 and uint64, which PyTorch before 2.3 cannot read.
 */
export async function writeTorch(tensors: ReadonlyMap<string, Tensor>, name = 'archive'): Promise<Uint8Array> {
  if (!/^[\w.-]+$/.test(name) || /^\.+$/.test(name)) {
    throw new UsageError(`The folder inside a PyTorch file must be a plain name, found "${name}".`);
  }
  const writer = new ZipWriter(new Uint8ArrayWriter(), {
    useWebWorkers: false,
    // The alignment that PyTorch wants too; stored, not compressed.
    usdz: true,
    level: 0,
    lastModDate: new Date(1980, 0, 1),
    extendedTimestamp: false,
  });
  const add = (entry: string, bytes: Uint8Array) => writer.add(`${name}/${entry}`, new Uint8ArrayReader(bytes));
  await add('data.pkl', encodePickle(tensors));
  let key = 0;
  for (const tensor of tensors.values()) await add(`data/${key++}`, getTensorBytes(tensor));
  await add('version', new TextEncoder().encode('3\n'));
  return writer.close();
}

function encodePickle(tensors: ReadonlyMap<string, Tensor>): Uint8Array {
  const pickle = new PickleWriter().operations('\x80\x02').global('collections', 'OrderedDict').operations(')R(');
  let key = 0;
  for (const [name, { dtype, dims, data }] of tensors) {
    const storageClass = storageClasses[dtype];
    if (storageClass === undefined) {
      throw new ShiboriError(
        `Writing a PyTorch file: tensor "${name}" has ${dtype} elements, which most versions of PyTorch cannot read. ` +
          `Convert it to one of ${Object.keys(storageClasses).join(', ')}, or write .safetensors.`,
        { code: 'invalid-file' },
      );
    }
    pickle.text(name).global('torch._utils', '_rebuild_tensor_v2').operations('((');
    pickle.text('storage').global('torch', storageClass).text(String(key++)).text('cpu').integer(data.length);
    pickle.operations('tQ').integer(0).tuple(dims).tuple(computeStrides(dims));
    // requires_grad, no hooks.
    pickle.operations('\x89').global('collections', 'OrderedDict').operations(')RtR');
  }
  return pickle.operations('u.').bytes();
}
