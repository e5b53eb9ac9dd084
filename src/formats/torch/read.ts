import { ShiboriError } from '../../errors.js';
import type { DType } from '../../tensor/dtype.js';
import type { Tensor } from '../../tensor/tensor.js';
import { openArchive } from './archive.js';
import { selectWeights } from './checkpoint.js';
import type { Container, OpenContainer } from './container.js';
import { kindOfFile } from './file-kind.js';
import { openLegacy } from './legacy.js';
import { Materializer } from './materialize.js';
import { type Fail, quote, type Storage } from './values.js';

/** How the tensors lay in a PyTorch file. */
export interface TorchSource {
  /** `zip` since PyTorch 1.6, `legacy` before. */
  readonly format: 'zip' | 'legacy';
  /** Keys that led to the weights (`state_dict`), joined by dots; empty when they were the top level. */
  readonly unwrapped: string;
  /** Prefix that was taken off every name (`module.`); empty when there was none. */
  readonly prefix: string;
  /** Entries that are not weights (epoch, optimizer state), by path. */
  readonly ignored: readonly string[];
  /** Number of tensors of each element type. */
  readonly dtypes: Readonly<Partial<Record<DType, number>>>;
}

/** The weights of a PyTorch file. */
export interface TorchFile {
  /** In the order of the state dict, row-major, element types as stored. Tied weights share memory. */
  readonly tensors: Map<string, Tensor>;
  readonly source: TorchSource;
}

/**
 * The state dict in a file of `torch.save` (`.pt`, `.pth`), zip or legacy, on its own or inside a checkpoint. The pickle
 * in it builds tensors from an allow-list and executes nothing.
 *
 * @param file Its name, for error messages.
 * @throws ShiboriError for any other file, a damaged one, a whole pickled model, and one that asks to call code.
 */
export async function readTorch(bytes: Uint8Array, file: string): Promise<TorchFile> {
  const fail: Fail = (problem) => new ShiboriError(`Reading ${file}: ${problem}`);
  const container = await openerOf(bytes, fail)(bytes, fail);
  const { tensors: pickled, unwrapped, prefix, ignored } = selectWeights(container.value, fail);
  const storageBytes = storageReader(container, fail);
  const materializer = new Materializer(bytes.length, fail);
  const tensors = new Map<string, Tensor>();
  const dtypes: Partial<Record<DType, number>> = {};
  for (const [name, view] of pickled) {
    const elements = await storageBytes(view.storage, view.type.dtype === 'bool');
    const tensor = materializer.tensorOf(view, elements, `tensor ${quote(name)}`);
    tensors.set(name, tensor);
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + 1;
  }
  const { format } = container;
  return { tensors, source: { format, unwrapped, prefix, ignored: [...ignored, ...container.ignored], dtypes } };
}

function openerOf(bytes: Uint8Array, fail: Fail): OpenContainer {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return openArchive;
  if (bytes[0] === 0x80) return openLegacy;
  throw fail(
    `it is ${kindOfFile(bytes)}, not a PyTorch file. Give the file that torch.save wrote, or rename this one.`,
  );
}

/** Reads each storage once, and checks once that booleans are 0 or 1. */
function storageReader(container: Container, fail: Fail): (storage: Storage, bool: boolean) => Promise<Uint8Array> {
  const read = new Map<string, Uint8Array>();
  const checked = new Set<string>();
  return async (storage, bool) => {
    const bytes = read.get(storage.key) ?? (await container.bytesOf(storage));
    read.set(storage.key, bytes);
    if (bool && !checked.has(storage.key)) {
      if (bytes.some((byte) => byte > 1))
        throw fail(`the booleans of storage ${quote(storage.key)} are not all 0 or 1.`);
      checked.add(storage.key);
    }
    return bytes;
  };
}
