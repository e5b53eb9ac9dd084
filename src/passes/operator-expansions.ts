/**
 * Operators that operator set 18 does not have, or has with another meaning, written in operators that it has. A graph
 * in memory never holds these: what brings a file to set 18 writes the decomposition instead.
 */
import { ShiboriError } from '../errors.js';
import type { Attribute, Dim, Value } from '../graph/model.js';
import type { GraphBuilder, NodeOptions } from '../ops/builder.js';
import { castLike, numberLike, scaleBy } from '../ops/terms.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import { float32 } from '../tensor/tensor.js';
import { getIntsAttribute, getNumberAttribute, getStringAttribute } from './node-attributes.js';

/**
 * The output of an operator, computed by others.
 *
 * @param inputs the operator's inputs, in the new graph.
 * @param attributes the operator's, as the file has them.
 * @param names of the replaced node: all new nodes are called as it is, and the last one's output as its output.
 * @throws ShiboriError for inputs and attributes that the decomposition does not cover.
 */
export type OperatorExpansion = (
  builder: GraphBuilder,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, Attribute>>,
  names?: NodeOptions,
) => Value;

function getRequiredInput(inputs: readonly (Value | undefined)[], i: number, op: string, { name }: NodeOptions): Value {
  const value = inputs[i];
  if (value) return value;
  throw new ShiboriError(`Node "${name ?? op}" (${op}): input ${i} is missing.`, { code: 'unsupported-operator' });
}

function getKnownDims(value: Value, op: string, { name }: NodeOptions): readonly Dim[] {
  if (value.type) return value.type.dims;
  throw new ShiboriError(`Node "${name ?? op}" (${op}): the dimensions of "${value.name}" are not known.`, {
    code: 'unsupported-operator',
  });
}

/** Everything of a name but the output's: for the nodes before the last one. */
const dropOutputName = ({ name }: NodeOptions): NodeOptions => (name === undefined ? {} : { name });

// Y = X Phi(X) = X (1 + erf(X / sqrt 2)) / 2, or with approximate = "tanh"
// Y = X (1 + tanh(sqrt(2 / pi) (X + 0.044715 X^3))) / 2. Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.
const gelu: OperatorExpansion = (b, inputs, attributes, names = {}) => {
  const x = getRequiredInput(inputs, 0, 'Gelu', names);
  const own = dropOutputName(names);
  const like = (number: number) => numberLike(b, number, x);
  const approximate = getStringAttribute(attributes, 'approximate') ?? 'none';
  let curve: Value;
  if (approximate === 'none') {
    curve = b.op('Erf', [b.op('Div', [x, like(Math.SQRT2)], {}, own)], {}, own);
  } else if (approximate === 'tanh') {
    const cube = b.op('Mul', [b.op('Mul', [b.op('Mul', [x, x], {}, own), x], {}, own), like(0.044715)], {}, own);
    const argument = b.op('Mul', [b.op('Add', [x, cube], {}, own), like(Math.sqrt(2 / Math.PI))], {}, own);
    curve = b.op('Tanh', [argument], {}, own);
  } else {
    throw new ShiboriError(
      `Node "${names.name ?? 'Gelu'}" (Gelu): attribute "approximate" should be "none" or "tanh", found "${approximate}".`,
      { code: 'unsupported-operator' },
    );
  }
  const share = b.op('Add', [curve, like(1)], {}, own);
  return b.op('Mul', [b.op('Mul', [x, share], {}, own), like(0.5)], {}, names);
};

// Y = X sigmoid(alpha X)
const swish: OperatorExpansion = (b, inputs, attributes, names = {}) => {
  const x = getRequiredInput(inputs, 0, 'Swish', names);
  const gate = b.op(
    'Sigmoid',
    [scaleBy(b, x, getNumberAttribute(attributes, 'alpha') ?? 1)],
    {},
    dropOutputName(names),
  );
  return b.op('Mul', [x, gate], {}, names);
};

// InstanceNormalization of the groups as if they were channels. Scale and bias are those of the groups in operator set
// 18, of the channels from 21 on: their lengths tell. Source: Wu and He 2018, arXiv:1803.08494.
const groupNormalization: OperatorExpansion = (b, inputs, attributes, names = {}) => {
  const op = 'GroupNormalization';
  const [x, scale, bias] = [0, 1, 2].map((i) => getRequiredInput(inputs, i, op, names)) as [Value, Value, Value];
  const own = dropOutputName(names);
  const dims = getKnownDims(x, op, names);
  const fail = (message: string) =>
    new ShiboriError(`Node "${names.name ?? op}" (${op}): ${message}`, { code: 'unsupported-operator' });
  const [channels, groups] = [dims[1], getNumberAttribute(attributes, 'num_groups') ?? 0];
  if (typeof channels !== 'number' || groups < 1 || channels % groups !== 0) {
    throw fail(`${channels} channels cannot be divided into ${groups} groups (attribute "num_groups").`);
  }
  // Axis 0 is copied from the input (0); one other axis may be open (-1).
  const shape = dims.map((dim, axis) => (axis === 0 ? 0 : typeof dim === 'number' ? dim : -1));
  if (shape.filter((size) => size === -1).length > 1) {
    throw fail(`of its dimensions [${dims.join(', ')}] more than one is open besides the batch. Fix the image size.`);
  }
  const [length] = getKnownDims(scale, op, names);
  const perGroup = length === groups;
  for (const [what, value] of Object.entries({ scale, bias })) {
    const [count] = getKnownDims(value, op, names);
    if ((perGroup || count === channels) && count === length) continue;
    throw fail(
      `its ${what} "${value.name}" has ${count} elements; expected one for each of ${groups} groups or ${channels} channels.`,
    );
  }
  const constant = (value: number) =>
    castLike(b, b.initializer('constant/groups', float32(new Float32Array(groups).fill(value))), x);
  const grouped = b.op('Reshape', [x, b.ints([0, groups, -1])], {}, own);
  const normalized = b.op(
    'InstanceNormalization',
    [grouped, perGroup ? scale : constant(1), perGroup ? bias : constant(0)],
    { epsilon: getNumberAttribute(attributes, 'epsilon') ?? 1e-5 },
    own,
  );
  if (perGroup) return b.op('Reshape', [normalized, b.ints(shape)], {}, names);
  const restored = b.op('Reshape', [normalized, b.ints(shape)], {}, own);
  const wide = b.ints([channels, ...dims.slice(2).map(() => 1)]);
  const [factor, term] = [scale, bias].map((value) => b.op('Reshape', [value, wide], {}, own));
  return b.op('Add', [b.op('Mul', [restored, factor], {}, own), term], {}, names);
};

// Y = X / sqrt(mean(X^2) + epsilon) scale, over the axes from `axis` on. Source: Zhang and Sennrich 2019,
// arXiv:1910.07467.
const rmsNormalization: OperatorExpansion = (b, inputs, attributes, names = {}) => {
  const op = 'RMSNormalization';
  const [x, scale] = [getRequiredInput(inputs, 0, op, names), getRequiredInput(inputs, 1, op, names)];
  const own = dropOutputName(names);
  const rank = getKnownDims(x, op, names).length;
  const axes = range(rank).slice(normalizeAxis(getNumberAttribute(attributes, 'axis') ?? -1, rank));
  const square = b.op('ReduceMean', [b.op('Mul', [x, x], {}, own), b.ints(axes)], { keepdims: 1 }, own);
  const shifted = b.op('Add', [square, numberLike(b, getNumberAttribute(attributes, 'epsilon') ?? 1e-5, x)], {}, own);
  const normalized = b.op('Div', [x, b.op('Sqrt', [shifted], {}, own)], {}, own);
  return b.op('Mul', [normalized, scale], {}, names);
};

// Y = X / (|X|_p along the axis); 0 stays 0, as in ONNX Runtime
const lpNormalization: OperatorExpansion = (b, inputs, attributes, names = {}) => {
  const x = getRequiredInput(inputs, 0, 'LpNormalization', names);
  const own = dropOutputName(names);
  const reduce = (getNumberAttribute(attributes, 'p') ?? 2) === 1 ? 'ReduceL1' : 'ReduceL2';
  const norm = b.op(reduce, [x, b.ints([getNumberAttribute(attributes, 'axis') ?? -1])], { keepdims: 1 }, own);
  const isZero = b.op('Equal', [norm, numberLike(b, 0, x)], {}, own);
  return b.op('Div', [x, b.op('Where', [isZero, numberLike(b, 1, x), norm], {}, own)], {}, names);
};

/** ONNX's own small number, which keeps a constant channel from being divided by 0. */
const MEAN_VARIANCE_EPSILON = 1e-9;

// Y = (X - mean) / (sqrt(var) + 1e-9) over the axes
const meanVarianceNormalization: OperatorExpansion = (b, inputs, attributes, names = {}) => {
  const x = getRequiredInput(inputs, 0, 'MeanVarianceNormalization', names);
  const own = dropOutputName(names);
  const axes = b.ints(getIntsAttribute(attributes, 'axes') ?? [0, 2, 3]);
  const mean = (value: Value) => b.op('ReduceMean', [value, axes], { keepdims: 1 }, own);
  const centred = b.op('Sub', [x, mean(x)], {}, own);
  const deviation = b.op('Sqrt', [mean(b.op('Mul', [centred, centred], {}, own))], {}, own);
  return b.op('Div', [centred, b.op('Add', [deviation, numberLike(b, MEAN_VARIANCE_EPSILON, x)], {}, own)], {}, names);
};

/** The decomposition of each operator that has one; all have one output. */
export const operatorExpansions: ReadonlyMap<string, OperatorExpansion> = new Map([
  ['Gelu', gelu],
  ['Swish', swish],
  ['GroupNormalization', groupNormalization],
  ['RMSNormalization', rmsNormalization],
  ['LpNormalization', lpNormalization],
  ['MeanVarianceNormalization', meanVarianceNormalization],
]);
