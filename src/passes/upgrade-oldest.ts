/**
 * Operator sets 1 to 6: broadcasting was asked for and aligned by an axis, results could overwrite inputs, and the mode
 * of training was an attribute. Source: ONNX's changelog of operators, versions 1 to 7.
 */
import { ShiboriError } from '../errors.js';
import { getElementTypeNumber } from '../graph/element-types.js';
import { type Attribute, type Node, OPSET, type Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import { dtypes } from '../tensor/dtype.js';
import { getIntsAttribute, getNumberAttribute, getStringAttribute } from './node-attributes.js';
import type { Inputs } from './upgrade.js';

/** What a node became: the same operator, as set 7 has it. */
interface RenewedNode {
  readonly node: Node;
  readonly inputs: Inputs;
}

type AttributeRecord = Readonly<Record<string, Attribute>>;
type Renewal = (node: Node, inputs: Inputs, builder: GraphBuilder) => { attributes?: AttributeRecord; inputs?: Inputs };

/** Appends axes of size 1 to the second operand, so that its first axis lies under `axis` of the first one. */
function alignAxes(b: GraphBuilder, value: Value, rank: number, axis: number, name: string): Value {
  const own = value.type?.dims.length ?? 0;
  const trailing = rank - axis - own;
  return trailing > 0 ? b.op('Unsqueeze', [value, b.ints(range(trailing).map((i) => own + i))], {}, { name }) : value;
}

/** Where no axis is named the last ones are aligned, as they always are since set 7. */
const renewBroadcast: Renewal = (node, [a, c], b) => {
  const { broadcast: _, axis: __, ...attributes } = node.attributes;
  const [axis, rank] = [getNumberAttribute(node.attributes, 'axis'), a?.type?.dims.length];
  if (!c || axis === undefined || rank === undefined) return { attributes };
  return { attributes, inputs: [a, alignAxes(b, c, rank, normalizeAxis(axis, rank), node.name)] };
};

/** An attribute that became the second input. */
const moveToInput =
  (name: string): Renewal =>
  (node, [x], b) => {
    const { [name]: _, ...attributes } = node.attributes;
    const values = getIntsAttribute(node.attributes, name);
    return values ? { attributes, inputs: [x, b.ints(values)] } : {};
  };

/** Refuses a node in training mode: it cannot be read as inference. */
const refuseTraining: Renewal = (node) => {
  const { is_test: test, ...attributes } = node.attributes;
  // Further outputs are those of training, which are computed: see `upgrade-training.ts`.
  if (node.outputs.slice(1).some((output) => output)) return {};
  if (test?.type === 'int' && test.value === 0) {
    throw new ShiboriError(
      `Node "${node.name}" (${node.op}): it is in training mode (is_test = 0). Export the model again in evaluation mode, with opset ${OPSET}.`,
      { code: 'unsupported-operator' },
    );
  }
  return { attributes };
};

const broadcastOperators = ['Add', 'Sub', 'Mul', 'Div', 'Pow', 'And', 'Or', 'Xor', 'Equal', 'Greater', 'Less'];

/** By operator, the first set that does not need it any more, and what it needs before. */
const renewals: ReadonlyMap<string, readonly [until: number, Renewal]> = new Map<string, readonly [number, Renewal]>([
  ...broadcastOperators.map((op) => [op, [7, renewBroadcast]] as const),
  ['Gemm', [7, ({ attributes: { broadcast: _, ...attributes } }) => ({ attributes })]],
  ['BatchNormalization', [7, refuseTraining]],
  ['Dropout', [7, refuseTraining]],
  // One slope a channel.
  [
    'PRelu',
    [
      7,
      (node, [x, slope], b) => {
        const [rank, dims] = [x?.type?.dims.length ?? 0, slope?.type?.dims];
        if (!slope || dims?.length !== 1 || dims[0] === 1) return {};
        return { inputs: [x, alignAxes(b, slope, rank, 1, node.name)] };
      },
    ],
  ],
  // The element type was a word.
  [
    'Cast',
    [
      6,
      (node) => {
        const word = getStringAttribute(node.attributes, 'to');
        const wanted = word
          ?.toLowerCase()
          .replace('double', 'float64')
          .replace(/^float$/, 'float32');
        const dtype = dtypes.find((name) => name === wanted);
        return dtype
          ? { attributes: { ...node.attributes, to: { type: 'int', value: getElementTypeNumber(dtype) } } }
          : {};
      },
    ],
  ],
  ['Reshape', [5, moveToInput('shape')]],
  ['Concat', [4, ({ attributes }) => ({ attributes: { axis: { type: 'int', value: 1 }, ...attributes } })]],
  [
    'Pad',
    [
      2,
      ({ attributes: { paddings, ...attributes } }) => ({
        attributes: paddings ? { ...attributes, pads: paddings } : attributes,
      }),
    ],
  ],
]);

/**
 * A node of operator set 1 to 6 in the form of set 7; other nodes come back as they are.
 *
 * @param inputs the node's inputs, in the new graph.
 * @throws ShiboriError for a node in training mode.
 */
export function renewNode(node: Node, inputs: Inputs, builder: GraphBuilder, opset: number): RenewedNode {
  if (opset >= 7) return { node, inputs };
  const { consumed_inputs: _, ...attributes } = node.attributes;
  const own = { ...node, attributes };
  const [until, renew] = renewals.get(node.op) ?? [0, undefined];
  if (!renew || opset >= until) return { node: own, inputs };
  const changed = renew(own, inputs, builder);
  return { node: { ...own, attributes: changed.attributes ?? attributes }, inputs: changed.inputs ?? inputs };
}
