import { formatSuggestion, ShiboriError } from '../errors.js';
import type { Attribute, Node, ValueType } from '../graph/model.js';
import { activation } from './activation.js';
import { convolution } from './convolution.js';
import { elementwise } from './elementwise.js';
import { indexing } from './indexing.js';
import { linear } from './linear.js';
import { normalization } from './normalization.js';
import { quantization } from './quantization.js';
import { reduction } from './reduction.js';
import { resample } from './resample.js';
import { shape } from './shape.js';
import {
  type AttributeSpec,
  createInferContext,
  type KnownInputs,
  type OpSpec,
  type ParsedAttributes,
} from './spec.js';

/** The one table of operators: attributes, type inference, cost. Rules and kernels are tables over the same keys. */
export const ops = {
  ...elementwise,
  ...activation,
  ...quantization,
  ...linear,
  ...convolution,
  ...normalization,
  ...reduction,
  ...shape,
  ...indexing,
  ...resample,
};

/** An operator of the table, named as in ONNX. */
export type Op = keyof typeof ops;

/** The typed attributes of an operator, defaults filled in. */
export type AttributesOf<K extends Op> = ParsedAttributes<(typeof ops)[K]['attributes']>;

/** What a caller may give: any of the attributes, the rest take their defaults. */
export type AttributeValues<K extends Op> = { readonly [A in keyof AttributesOf<K>]?: AttributesOf<K>[A] };

/** Whether the table has this operator. */
export function isOp(name: string): name is Op {
  return Object.hasOwn(ops, name);
}

/**
 * The operator of a node.
 *
 * @throws ShiboriError for an operator that is not in the table, with the nearest one that is.
 */
export function readOp(node: Node): Op {
  if ((node.domain === '' || node.domain === 'ai.onnx') && isOp(node.op)) return node.op;
  const name = node.domain ? `${node.domain}.${node.op}` : node.op;
  throw new ShiboriError(
    `Node "${node.name}" uses operator ${name}, which is not supported.${formatSuggestion(node.op, Object.keys(ops))} Export the model with standard ONNX operators; \`ops\` of the library lists those that are supported.`,
    { code: 'invalid-graph' },
  );
}

/** The table's entry for an operator, seen without its particular attribute types. */
export function getSpec(op: Op): OpSpec {
  return ops[op] as OpSpec;
}

function parseAttribute(node: Node, name: string, spec: AttributeSpec<unknown>): unknown {
  const attribute = node.attributes[name];
  if (attribute === undefined) {
    if (spec.required) {
      throw new ShiboriError(`Node "${node.name}" (${node.op}): attribute "${name}" (${spec.type}) is missing.`, {
        code: 'invalid-graph',
      });
    }
    return spec.fallback;
  }
  if (attribute.type !== spec.type) {
    throw new ShiboriError(
      `Node "${node.name}" (${node.op}): attribute "${name}" should be of type ${spec.type}, found ${attribute.type}.`,
      { code: 'invalid-graph' },
    );
  }
  return attribute.type === 'float' ? Math.fround(attribute.value) : attribute.value;
}

/**
 * The attributes of a node, parsed once into their types.
 *
 * @throws ShiboriError for a missing required attribute or one of another type.
 */
export function readAttributes<K extends Op>(op: K, node: Node): AttributesOf<K> {
  const parsed: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(getSpec(op).attributes)) parsed[name] = parseAttribute(node, name, spec);
  return parsed as AttributesOf<K>;
}

/**
 * Attribute values in the tagged form that a node holds; those left out or `undefined` are not written.
 *
 * @throws ShiboriError for an attribute that the operator does not have.
 */
export function encodeAttributes<K extends Op>(op: K, values: AttributeValues<K>): Record<string, Attribute> {
  const encoded: Record<string, Attribute> = {};
  const specs = getSpec(op).attributes;
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const spec = specs[name];
    if (spec === undefined) {
      const known = Object.keys(specs);
      throw new ShiboriError(
        `${op} has no attribute "${name}".${formatSuggestion(name, known)} It has ${known.join(', ') || 'none'}.`,
        { code: 'invalid-graph' },
      );
    }
    encoded[name] = { type: spec.type, value } as Attribute;
  }
  return encoded;
}

/**
 * Types of a node's outputs.
 *
 * @param known the tensors and small vectors among the inputs.
 * @throws ShiboriError when the node's inputs do not fit its operator.
 */
export function inferTypes(node: Node, known: KnownInputs): readonly ValueType[] {
  const op = readOp(node);
  const spec = getSpec(op);
  const context = createInferContext(node, readAttributes(op, node), known);
  const [fewest, most] = spec.inputs;
  const given = node.inputs.length;
  if (given < fewest || given > most) {
    throw context.fail(`it takes ${fewest === most ? fewest : `${fewest} to ${most}`} inputs, found ${given}.`);
  }
  return spec.infer(context);
}
