/** One node as files of several operator sets have it. */
import type { Attribute } from '../../src/graph/model.js';
import { countElements } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, int64, type Tensor, tensor } from '../../src/tensor/tensor.js';

/** An input: fed when it runs, or known when the file is written. */
export interface NodeInput {
  readonly data: Tensor;
  readonly constant: boolean;
}

export type Attributes = Readonly<Record<string, Attribute>>;

/** A node of one operator set. */
export interface NodeForm {
  readonly inputs: readonly (NodeInput | undefined)[];
  readonly attributes?: Attributes;
  /** Default: 1. */
  readonly outputs?: number;
}

/** A node by operator set. */
export interface NodeCase {
  /** The first operator set that has it in this form. */
  readonly since: number;
  /** The last one; default: the newest. */
  readonly until?: number;
  readonly form: (opset: number) => NodeForm;
  /** The last set in which ONNX Runtime runs it; the file of this set tells what later ones compute. */
  readonly runsUntil?: number;
}

const SEED = 20261130;
let random = seeded(SEED);

/** Begins the random numbers anew, so that the forms of a case in several sets hold the same ones. */
export function restartNumbers(): void {
  random = seeded(SEED);
}

/** Random numbers, fed. */
export const fed = (dims: readonly number[], from = -2, to = 2): NodeInput => ({
  data: float32(
    Array.from({ length: countElements(dims) }, () => random.uniform(from, to)),
    dims,
  ),
  constant: false,
});
/** Random weights. */
export const weight = (dims: readonly number[], from = -2, to = 2): NodeInput => ({
  ...fed(dims, from, to),
  constant: true,
});
export const constant = (data: Tensor): NodeInput => ({ data, constant: true });
export const constants = (...values: number[]): NodeInput => constant(int64(values));
export const number = (value: number): NodeInput => constant(float32([value], []));
/** Fed integers. */
export const integers = (values: readonly number[], dims: readonly number[] = [values.length]): NodeInput => ({
  data: int64(values, dims),
  constant: false,
});
export const bools = (values: readonly number[], dims: readonly number[] = [values.length]): NodeInput => ({
  data: tensor('bool', dims, Uint8Array.from(values)),
  constant: false,
});

export const int = (value: number): Attribute => ({ type: 'int', value });
export const ints = (...value: number[]): Attribute => ({ type: 'ints', value });
export const float = (value: number): Attribute => ({ type: 'float', value });
export const text = (value: string): Attribute => ({ type: 'string', value });

/** The same form in every set from `since` on. */
export const same = (since: number, form: NodeForm, until?: number): NodeCase => ({
  since,
  form: () => form,
  ...(until === undefined ? {} : { until }),
});
/** One fed input and attributes. */
export const unary = (since: number, attributes: Attributes = {}, x = fed([2, 3, 4])): NodeCase =>
  same(since, { inputs: [x], attributes });
