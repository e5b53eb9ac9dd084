import { ShiboriError } from '../errors.js';
import { formatDims, isStatic } from '../graph/dims.js';
import type { Attribute, Dim, Node, ValueType } from '../graph/model.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

/** How one attribute is read from a node and written to it. `T` includes `undefined` where there is no default. */
export interface AttributeSpec<T> {
  readonly type: Attribute['type'];
  readonly fallback: T;
  /** Whether the operator is meaningless without it. */
  readonly required: boolean;
}

/** Lists the attributes of an operator by name. */
export type AttributeSpecs = Readonly<Record<string, AttributeSpec<unknown>>>;

/** The typed attributes that a record of specs describes. */
export type ParsedAttributes<S extends AttributeSpecs> = {
  readonly [K in keyof S]: S[K] extends AttributeSpec<infer T> ? T : never;
};

export const int = (fallback: number): AttributeSpec<number> => ({ type: 'int', fallback, required: false });
export const optionalInt: AttributeSpec<number | undefined> = { type: 'int', fallback: undefined, required: false };
/** Single precision, as files hold it: an epsilon kept in double would differ from the one that an engine reads. */
export const float = (fallback: number): AttributeSpec<number> => ({
  type: 'float',
  fallback: Math.fround(fallback),
  required: false,
});
export const string = (fallback: string): AttributeSpec<string> => ({ type: 'string', fallback, required: false });
export const requiredString: AttributeSpec<string> = { type: 'string', fallback: '', required: true };
export const ints: AttributeSpec<readonly number[] | undefined> = {
  type: 'ints',
  fallback: undefined,
  required: false,
};
export const requiredInts: AttributeSpec<readonly number[]> = { type: 'ints', fallback: [], required: true };
export const requiredInt: AttributeSpec<number> = { type: 'int', fallback: 0, required: true };
export const optionalTensor: AttributeSpec<Tensor | undefined> = {
  type: 'tensor',
  fallback: undefined,
  required: false,
};

/** Describes what type inference reads of a node. */
export interface InferContext<A> {
  readonly node: Node;
  readonly attributes: A;
  /** Types of the inputs; `undefined` where an optional input is left out. */
  readonly types: readonly (ValueType | undefined)[];
  /** The type of a required input. Throws when it is missing or unknown. */
  type(index: number): ValueType;
  /** The value of an input that is known before running, as numbers: an initializer, or a shape of fixed dimensions. */
  constant(index: number): readonly number[] | undefined;
  /** The same, where entries may be symbols (`"N"`) or not known (`"?"`): what a shape computed from a shape holds. */
  dimensions(index: number): readonly Dim[] | undefined;
  /** An error that names the node, its operator and its input dimensions. */
  fail(message: string): ShiboriError;
}

/** Describes one operator, apart from how to run and differentiate it. */
export interface OpSpec<S extends AttributeSpecs = AttributeSpecs> {
  readonly attributes: S;
  /** Fewest and most inputs. */
  readonly inputs: readonly [number, number];
  /** Types of all outputs that the node may have (those beyond the node's own are ignored). */
  infer(context: InferContext<ParsedAttributes<S>>): readonly ValueType[];
  /** MACs of one run, for static dimensions. Default: 0. */
  countOperatorMacs?(
    attributes: ParsedAttributes<S>,
    inputs: readonly (readonly number[])[],
    output: readonly number[],
  ): number;
}

/** Types an operator's entry from its attribute specs. */
export function defineOp<const S extends AttributeSpecs>(spec: OpSpec<S>): OpSpec<S> {
  return spec;
}

/** What is known of a node's inputs before running. */
export interface KnownInputs {
  /** The tensor of an input. */
  tensor(index: number): Tensor | undefined;
  /** The elements of a small input of integers, see `contents.ts`. */
  contents?(index: number): readonly Dim[] | undefined;
}

/** The context in which `spec.infer` runs. */
export function createInferContext<A>(node: Node, attributes: A, known: KnownInputs): InferContext<A> {
  const types = node.inputs.map((input) => input?.type);
  const fail = (message: string): ShiboriError =>
    new ShiboriError(
      `Node "${node.name}" (${node.op}): ${message} Its inputs are ${
        node.inputs.map((input) => (input ? `${input.name} ${formatDims(input.type?.dims)}` : 'left out')).join(', ') ||
        'none'
      }.`,
      { code: 'invalid-graph' },
    );
  return {
    node,
    attributes,
    types,
    fail,
    constant(index) {
      const tensor = known.tensor(index);
      if (tensor) return Array.from(tensor.data, Number);
      const contents = known.contents?.(index);
      return contents && isStatic(contents) ? contents : undefined;
    },
    dimensions(index) {
      const tensor = known.tensor(index);
      return tensor ? Array.from(tensor.data, Number) : known.contents?.(index);
    },
    type(index) {
      const type = types[index];
      if (type) return type;
      const input = node.inputs[index];
      throw fail(input ? `the dimensions of input "${input.name}" are not known.` : `input ${index} is missing.`);
    },
  };
}

/** Shorthand for a type. */
export function makeValueType(dtype: DType, dims: readonly Dim[]): ValueType {
  return { dtype, dims };
}
