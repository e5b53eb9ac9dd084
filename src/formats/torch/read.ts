import { ShiboriError } from '../../errors.js';
import type { DType } from '../../tensor/dtype.js';
import type { Tensor } from '../../tensor/tensor.js';
import { describeFileKind, isZip } from '../file-kind.js';
import type { WeightSet } from '../weight-sets.js';
import { openArchive } from './archive.js';
import type { Container, ContainerOpener } from './container.js';
import { isLegacyFile, openLegacy } from './legacy.js';
import { Materializer } from './materializer.js';
import { type Fail, type PickledTensor, quote } from './pickle-values.js';
import { selectWeights } from './select-weights.js';
import { listSuspiciousCalls } from './suspicious-calls.js';

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
  /** Other weights in the file, such as averaged ones, by the key that chooses them. */
  readonly others: readonly WeightSet[];
  /** What a person should know of how the weights were found, in sentences. */
  readonly notes: readonly string[];
  /** Number of tensors of each element type. */
  readonly dtypes: Readonly<Partial<Record<DType, number>>>;
}

/** The weights of a PyTorch file. */
export interface TorchFile {
  /** In the order of the state dict, row-major, element types as stored. Tied weights share memory. */
  readonly tensors: Map<string, Tensor>;
  readonly source: TorchSource;
}

/** Options of `readTorch`. */
export interface ReadTorchOptions {
  /** Key of the weights to read, where there are several, such as `model_ema`. Default: the first that are not averaged. */
  readonly weights?: string;
  /** Take the names as they are, prefixes and averaged weights included. Default: false. */
  readonly keepNames?: boolean;
}

/**
 * The state dict in a file of `torch.save` (`.pt`, `.pth`, `.ckpt`, `.th`), zip or legacy, on its own, inside a
 * checkpoint or in a pickled module. The pickle in it builds tensors from an allow-list and executes nothing; objects of
 * other kinds are left out.
 *
 * @param file Its name, for error messages.
 * @throws ShiboriError for any other file, a damaged one, and one whose weights need code; UsageError for an unknown key.
 */
export async function readTorch(bytes: Uint8Array, file: string, options: ReadTorchOptions = {}): Promise<TorchFile> {
  const fail: Fail = (problem) => new ShiboriError(`Reading ${file}: ${problem}`, { code: 'invalid-file' });
  const container = await chooseOpener(bytes, fail)(bytes, fail);
  const suspicious = listSuspiciousCalls(container.called);
  const warning = `the file asks to call ${suspicious.join(', ')}, which no weights need and which is refused`;
  const selecting: Fail = (problem) => {
    return fail(
      suspicious.length === 0 ? problem : `${warning}: do not trust it, nor load it in Python. And ${problem}`,
    );
  };
  const { tensors: pickled, ...selection } = selectWeights(container.value, selecting, options);
  const readElements = createStorageReader(container, fail);
  const materializer = new Materializer(bytes.length, fail);
  const tensors = new Map<string, Tensor>();
  const dtypes: Partial<Record<DType, number>> = {};
  for (const [name, view] of pickled) {
    const what = `tensor ${quote(name)}`;
    materializer.checkElementType(view, what);
    const tensor = materializer.materialize(view, await readElements(view), what);
    tensors.set(name, tensor);
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + 1;
  }
  const { unwrapped, prefix, ignored, others, notes } = selection;
  const warnings = suspicious.length === 0 ? [] : [`Careful: ${warning} here. Do not load it in Python.`];
  const source = {
    format: container.format,
    unwrapped,
    prefix,
    ignored: [...ignored, ...container.ignored],
    others,
    notes: [...notes, ...warnings],
    dtypes,
  };
  return { tensors, source };
}

function chooseOpener(bytes: Uint8Array, fail: Fail): ContainerOpener {
  if (isZip(bytes)) return openArchive;
  if (isLegacyFile(bytes)) return openLegacy;
  throw fail(
    `it is ${describeFileKind(bytes)}, not a PyTorch file. Give the file that torch.save wrote, or rename this one.`,
  );
}

/** Reads each storage once, and checks once that booleans are 0 or 1. */
function createStorageReader(container: Container, fail: Fail): (view: PickledTensor) => Promise<Uint8Array> {
  const read = new Map<string, Uint8Array>();
  const checked = new Set<Uint8Array>();
  return async ({ storage, type }) => {
    const isInPickle = storage instanceof Uint8Array;
    const bytes = isInPickle ? storage : (read.get(storage.key) ?? (await container.readBytes(storage)));
    if (!isInPickle) read.set(storage.key, bytes);
    if (type.dtype === 'bool' && !checked.has(bytes)) {
      if (bytes.some((byte) => byte > 1)) {
        throw fail(`the booleans of ${isInPickle ? 'an array' : `storage ${quote(storage.key)}`} are not all 0 or 1.`);
      }
      checked.add(bytes);
    }
    return bytes;
  };
}
