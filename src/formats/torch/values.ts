/** What the pickles of PyTorch files are made of here. Lists and tuples are both arrays. */
import type { ShiboriError } from '../../errors.js';
import type { DType } from '../../tensor/dtype.js';

/** Any object of a pickle. Nothing in it can run. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Value[]
  | Map<Value, Value>
  | AllowedCall
  | ElementType
  | Storage
  | PickledTensor
  | Opaque;

/** Makes the error for a problem found in the file being read. */
export type Fail = (problem: string) => ShiboriError;

/** A function or class of the allow-list, as the code here that stands for it. */
export class AllowedCall {
  constructor(
    readonly name: string,
    readonly call: (args: readonly Value[], fail: Fail) => Value,
  ) {}
}

/** A `torch.dtype` or a storage class, which comes to the same. */
export class ElementType {
  constructor(
    readonly name: string,
    /** `undefined` where tensors here cannot hold such elements. */
    readonly dtype: DType | undefined,
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
    readonly storage: Storage,
    readonly type: ElementType,
    /** In elements. */
    readonly offset: number,
    readonly dims: readonly number[],
    /** In elements. */
    readonly strides: readonly number[],
  ) {}
}

/** An object that a model does not need: known by name, its content forgotten. */
export class Opaque {
  constructor(readonly name: string) {}
}

/** Text of the file for an error message: quoted, escaped, of bounded length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
