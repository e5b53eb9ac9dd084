/**
 * A linear layer y = x Wᵀ + b whose weight is a tensor train, as stock ONNX nodes.
 *
 * `factored`: the cheapest order of contracting the input with the cores (Reshape, Transpose, MatMul).
 * `rebuilt`: the cores are contracted to the dense weight first. They are constants in a finished model, so a runtime
 * folds that part when it loads: the file stays small and the layer runs at dense speed.
 */
import { ShiboriError } from '../errors.js';
import type { Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';

/** How a tensor-train layer runs. */
export type Execution = 'factored' | 'rebuilt';
export type Layout = 'tt' | 'tt-matrix';

/** What describes a tensor-train layer beside its numbers. */
export interface TtDescriptor {
  /** The module path of the layer. */
  readonly path: string;
  readonly layout: Layout;
  readonly outModes: readonly number[];
  readonly inModes: readonly number[];
  /** Inner bond dimensions r(1) … r(d−1). */
  readonly bonds: readonly number[];
}

export declare function ttDescriptorOf(
  path: string,
  coreDims: readonly (readonly number[])[],
  biasDims: readonly number[] | undefined,
  inFeatures: number | undefined,
  channels?: number,
): TtDescriptor;

export declare function emitTtLinear(
  builder: GraphBuilder,
  x: Value,
  cores: readonly Value[],
  bias: Value | undefined,
  layer: TtDescriptor & { readonly execution: Execution },
): Value;
void ShiboriError;
