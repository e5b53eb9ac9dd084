import { ShiboriError } from '../errors.js';
import { type Node, OPSET, type Value } from '../graph/model.js';
import type { GraphBuilder, NodeOptions } from '../ops/builder.js';

export type Inputs = readonly (Value | undefined)[];

/**
 * Writes a node of another operator set as set 18 has it.
 *
 * @returns the node's new outputs, or `undefined` when it means the same in set 18 and is copied.
 */
export type Upgrade = (
  node: Node,
  inputs: Inputs,
  builder: GraphBuilder,
  opset: number,
) => readonly (Value | undefined)[] | undefined;

/** The names that a node's replacement takes over. */
export function getNodeNames(node: Node): NodeOptions {
  return { name: node.name, ...(node.outputs[0] ? { outputName: node.outputs[0].name } : {}) };
}

/** An error that names the node and its operator. */
export function createNodeError(node: Node, message: string): ShiboriError {
  return new ShiboriError(`Node "${node.name}" (${node.op}): ${message}`, {
    code: 'unsupported-operator',
    node: node.name,
  });
}

/** The node without some of its attributes, and with `inputs`. */
export function copyWithoutAttributes(
  node: Node,
  inputs: Inputs,
  b: GraphBuilder,
  gone: readonly string[],
): readonly (Value | undefined)[] {
  const attributes = Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !gone.includes(name)));
  return b.copy({ ...node, attributes }, inputs);
}

/** The node with its first output only, without some of its attributes, and with `extra` inputs after the first. */
export function moveAttributesToInputs(
  node: Node,
  inputs: Inputs,
  b: GraphBuilder,
  gone: readonly string[],
  extra: Inputs,
): readonly (Value | undefined)[] {
  return copyWithoutAttributes(
    { ...node, outputs: node.outputs.slice(0, 1) },
    [...inputs.slice(0, 1), ...extra],
    b,
    gone,
  );
}

/** A number that was an attribute, as a scalar in the element type of the node's first input. */
export function scalarLike(node: Node, [x]: Inputs, b: GraphBuilder, value: number): Value {
  const dtype = x?.type?.dtype;
  if (dtype === 'float32' || dtype === 'float64') return b.scalar(value, dtype);
  throw new ShiboriError(
    `Node "${node.name}" (${node.op}): expected float32 or float64 elements, found ${dtype ?? 'an unknown type'}. Export the model again with opset ${OPSET}.`,
    { code: 'unsupported-operator' },
  );
}
