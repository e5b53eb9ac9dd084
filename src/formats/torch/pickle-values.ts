/** What the pickles of PyTorch files are made of here. Lists, tuples and sets are all arrays. */
import type { ShiboriError } from '../../errors.js';
import type { DType } from '../../tensor/dtype.js';

/** Any object of a pickle. Nothing in it can run. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | AllowedCall
  | UnknownName
  | ElementType
  | Storage
  | PickledTensor
  | OpaqueObject;

/** Makes the error for a problem found in the file being read. */
export type Fail = (problem: string) => ShiboriError;

/** A function or class of the allow-list, as the code here that stands for it. */
export class AllowedCall {
  constructor(
    readonly name: string,
    readonly call: (args: readonly PickleValue[], fail: Fail) => PickleValue,
  ) {}
}

/** A Python function or class that nothing here stands for. It is a name and nothing else. */
export class UnknownName {
  constructor(readonly name: string) {}
}

/** Describes a `torch.dtype` or a storage class: both name an element type. */
export class ElementType {
  constructor(
    readonly name: string,
    /** `undefined` where tensors here cannot hold such elements. */
    readonly dtype: DType | undefined,
    /** Counts the bytes of one element; `undefined` for an unknown type. */
    readonly bytes: number | undefined,
  ) {}
}

/** Elements in the file, one after the other, that one or more tensors look into. */
export class Storage {
  constructor(
    readonly key: string,
    readonly type: ElementType,
    /** Number of elements, as the pickle says; to be checked against the bytes that are there. */
    readonly length: number,
  ) {}
}

/** A tensor as it is pickled: a strided view of a storage. Unchecked. */
export class PickledTensor {
  constructor(
    /** Bytes: the elements themselves, where they lie in the pickle. */
    readonly storage: Storage | Uint8Array,
    readonly type: ElementType,
    /** In elements. */
    readonly offset: number,
    readonly dims: readonly number[],
    /** In elements. */
    readonly strides: readonly number[],
  ) {}
}

/** An object of a class that nothing here stands for: what the pickle writes down about it. It is never built. */
export class OpaqueObject {
  /** What the pickle sets on it: usually its attributes by name. */
  state: PickleValue = null;
  /** What the pickle puts into it, where it is a dictionary of its own class. */
  entries: Map<PickleValue, PickleValue> | undefined;

  constructor(
    /** The class, or the function that makes it. */
    readonly name: string,
    readonly args: readonly PickleValue[] = [],
  ) {}
}

/** Text of the file for an error message: quoted, escaped, of bounded length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

/** A Python name of the file for an error message: escaped, of bounded length, without quotation marks. */
export function formatPythonName(name: string): string {
  return quote(name).slice(1, -1);
}
