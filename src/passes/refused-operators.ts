import { formatSuggestion, ShiboriError } from '../errors.js';
import { type Node, OPSET } from '../graph/model.js';
import { isOp, ops } from '../ops/table.js';

const control = 'loops and sequences have no place in a feed-forward classifier. Export the model traced, not scripted';
const operatorFormat =
  'it computes in integers. Quantise with the format QDQ (QuantizeLinear and DequantizeLinear), or give the float model';
const random = 'it draws random numbers when the model runs. Export the model in evaluation mode';

const state =
  'it carries a state from one token to the next. Export a model with attention or convolutions in its place';
const detection = 'it finds objects; a classifier gives one list of scores an image';
const cache = 'it keeps a cache of earlier tokens. Export the model without a cache';

/** Why operators of ONNX's own domain are refused, and what to do. */
const reasons: Readonly<Record<string, string>> = {
  Loop: control,
  Scan: control,
  SequenceAt: control,
  SequenceConstruct: control,
  SequenceEmpty: control,
  SequenceErase: control,
  SequenceInsert: control,
  SequenceLength: control,
  SequenceMap: control,
  SplitToSequence: control,
  ConcatFromSequence: control,
  Optional: control,
  OptionalGetElement: control,
  OptionalHasElement: control,
  TensorScatter: cache,
  LinearAttention: state,
  CausalConvWithState: state,
  RNN: state,
  LSTM: state,
  GRU: state,
  NonMaxSuppression: detection,
  RoiAlign: detection,
  MaxRoiPool: detection,
  BitCast: 'it reads the bits of one element type as another. Export the model without it',
  QLinearConv: operatorFormat,
  QLinearMatMul: operatorFormat,
  ConvInteger: operatorFormat,
  MatMulInteger: operatorFormat,
  DynamicQuantizeLinear: operatorFormat,
  RandomNormal: random,
  RandomNormalLike: random,
  RandomUniform: random,
  RandomUniformLike: random,
  Bernoulli: random,
  Multinomial: random,
};

/** Domains whose operators are made by a tool that can leave them out. */
const domains: Readonly<Record<string, string>> = {
  'com.microsoft': 'ONNX Runtime fuses operators into it. Give the model as it was before optimisation',
  'com.microsoft.nchwc': 'ONNX Runtime fuses operators into it. Give the model as it was before optimisation',
  'org.pytorch.aten': `PyTorch had no ONNX operator for it. Export the model again with opset ${OPSET} or newer`,
  'ai.onnx.ml': 'it is of classical machine learning, not of a neural network',
};

/**
 * Throws for an operator that a graph here cannot hold.
 *
 * @param opset the operator set of the file, for the message.
 * @param rewritten the operators that are written in others when a file is read.
 * @throws ShiboriError naming the node, the reason and what to do.
 */
export function checkSupported(node: Node, opset: number, rewritten: readonly string[]): void {
  const own = node.domain === '' || node.domain === 'ai.onnx';
  const reason = own ? reasons[node.op] : domains[node.domain];
  const known = reason !== undefined && Object.hasOwn(own ? reasons : domains, own ? node.op : node.domain);
  if (!known && own && (isOp(node.op) || rewritten.includes(node.op))) return;
  const name = own ? node.op : `${node.domain}.${node.op}`;
  const advice = known
    ? `: ${reason}.`
    : `.${formatSuggestion(node.op, [...Object.keys(ops), ...rewritten])} Export the model without it; \`ops\` of the library lists what is supported.`;
  const set = own ? ` The file is of operator set ${opset}.` : '';
  throw new ShiboriError(`Node "${node.name}" uses operator ${name}, which is not supported${advice}${set}`, {
    code: 'unsupported-operator',
  });
}
