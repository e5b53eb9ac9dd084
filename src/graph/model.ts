import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * One dimension: a fixed size, or a symbol such as `"N"`. A multiple of a symbol is written `"112*N"` (a reshape that
 * merges a batch with 112 rows); an unknown size is `"?"`.
 */
export type Dim = number | string;

/** Element type and dimensions of a value. */
export interface ValueType {
  readonly dtype: DType;
  readonly dims: readonly Dim[];
}

/**
 * An edge of the graph. Values are compared by identity, never looked up by name: two values with the same name are
 * two values. A graph is immutable; a rewrite makes new values where something changed.
 */
export class Value {
  constructor(
    /** Unique within its graph; names are given by the builder or by the file. */
    readonly name: string,
    /** Known after type inference; `undefined` straight from a file that declares nothing. */
    readonly type: ValueType | undefined,
  ) {}
}

/** An attribute, tagged as ONNX's `AttributeProto` tags it. */
export type Attribute =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'ints'; readonly value: readonly number[] }
  | { readonly type: 'strings'; readonly value: readonly string[] };

/** One operation. `inputs` holds `undefined` where an optional input is left out. */
export interface Node {
  /** The ONNX operator, verbatim (`Conv`). */
  readonly op: string;
  /** The operator's domain; `""` is ONNX's own. */
  readonly domain: string;
  /** Unique within its graph. Holds the module path: see `modulePath`. */
  readonly name: string;
  readonly inputs: readonly (Value | undefined)[];
  /** `undefined` where an optional output is not wanted. */
  readonly outputs: readonly (Value | undefined)[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A computation: nodes in topological order. */
export interface Graph {
  readonly name: string;
  /** What a caller feeds (initializers excluded). */
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly nodes: readonly Node[];
  /** Constants and parameters: values that have their tensor. */
  readonly initializers: ReadonlyMap<Value, Tensor>;
}

/** Who made a model and what they wrote about it: the fields of `ModelProto` that say nothing about the computation. */
export interface ModelDescription {
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly domain?: string;
  readonly modelVersion?: number;
  /** `doc_string` of the model, and of its graph. */
  readonly docString?: string;
  readonly graphDocString?: string;
}

/** A graph with what a file says about it. */
export interface Model {
  readonly graph: Graph;
  /** Version of ONNX's own operator set. */
  readonly opset: number;
  /** Versions of other domains that nodes use. */
  readonly domains: Readonly<Record<string, number>>;
  /** `metadata_props`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly about?: ModelDescription;
}

/** The operator set that graphs built here are written in: every `Reduce*` takes its axes as an input from 18 on. */
export const OPSET = 18;
