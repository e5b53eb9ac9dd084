/**
 * Attention and RotaryEmbedding (operator set 23) in operators of set 18.
 *
 * Y = softmax(cap(scale Q K') + M) V, with cap(S) = c tanh(S / c) where a softcap c is given. Sources: Vaswani et al. 2017,
 * arXiv:1706.03762; grouped queries: Ainslie et al. 2023, arXiv:2305.13245; rotary embeddings: Su et al. 2021,
 * arXiv:2104.09864.
 */
import { isStatic } from '../graph/dims.js';
import type { Dim, Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { castLike, numberLike, scaleBy } from '../ops/terms.js';
import { range } from '../tensor/dims.js';
import { int64, tensor } from '../tensor/tensor.js';
import { getNumberAttribute } from './node-attributes.js';
import { createNodeError, getNodeNames, type Inputs, type Upgrade } from './upgrade.js';

function getTypedInput(node: Node, inputs: Inputs, i: number, name: string): { value: Value; dims: readonly Dim[] } {
  const value = inputs[i];
  if (!value) throw createNodeError(node, `its input ${name} is missing.`);
  if (!value.type) throw createNodeError(node, `the dimensions of its input ${name} are not known.`);
  return { value, dims: value.type.dims };
}

/** A tensor of heads, `[N, heads, tokens, size]`. */
interface Heads {
  readonly value: Value;
  readonly count: number;
  readonly tokens: Dim;
  readonly size: number;
}

/** An input as heads: of rank 4 it is already, of rank 3 `[N, tokens, heads size]` it is divided. */
function splitHeads(
  b: GraphBuilder,
  node: Node,
  { value, dims }: { readonly value: Value; readonly dims: readonly Dim[] },
  attribute: string,
): Heads {
  if (dims.length === 4) {
    const [, count, tokens = '?', size] = dims;
    if (typeof count !== 'number' || typeof size !== 'number') {
      throw createNodeError(node, `heads and their size must be fixed, found [${dims.join(', ')}].`);
    }
    return { value, count, tokens, size };
  }
  const count = getNumberAttribute(node.attributes, attribute);
  const [, tokens = '?', hidden] = dims;
  if (dims.length !== 3)
    throw createNodeError(node, `expected inputs of 3 or 4 dimensions, found [${dims.join(', ')}].`);
  if (count === undefined) throw createNodeError(node, `inputs of 3 dimensions need attribute "${attribute}".`);
  if (typeof hidden !== 'number' || hidden % count !== 0) {
    throw createNodeError(
      node,
      `its ${hidden} features cannot be divided into ${count} heads (attribute "${attribute}").`,
    );
  }
  const own = { name: node.name };
  const divided = b.op('Reshape', [value, b.ints([0, 0, count, hidden / count])], {}, own);
  return { value: b.op('Transpose', [divided], { perm: [0, 2, 1, 3] }, own), count, tokens, size: hidden / count };
}

/** The heads of keys or values, each repeated for the queries that share it: [h0, h0, h1, h1, …]. */
function repeatHeads(b: GraphBuilder, node: Node, { value, count }: Heads, queries: number): Value {
  if (count === queries) return value;
  if (queries % count !== 0) throw createNodeError(node, `${queries} query heads cannot share ${count} key heads.`);
  const heads = b.initializer('constant/heads', int64(range(queries).map((i) => Math.floor((i * count) / queries))));
  return b.op('Gather', [value, heads], { axis: 1 }, { name: node.name });
}

/** Which keys each query may attend to, as a constant: those up to its own position. */
function buildCausalMask(b: GraphBuilder, node: Node, queries: Dim, keys: Dim): Value {
  if (!isStatic([queries, keys]) || typeof queries !== 'number' || typeof keys !== 'number') {
    throw createNodeError(
      node,
      `a causal mask needs fixed numbers of tokens, found ${queries} and ${keys}. Fix the image size.`,
    );
  }
  const lower = Uint8Array.from({ length: queries * keys }, (_, i) => (i % keys <= Math.floor(i / keys) ? 1 : 0));
  return b.initializer('constant/causal', tensor('bool', [queries, keys], lower));
}

/** The mask as long as the keys: what is missing at its end is not attended to. */
function lengthenMask(b: GraphBuilder, node: Node, mask: Value, keys: Dim): Value {
  const length = mask.type?.dims.at(-1);
  if (length === keys || length === 1 || typeof length !== 'number' || typeof keys !== 'number') return mask;
  const own = { name: node.name };
  const isBool = mask.type?.dtype === 'bool';
  const rank = mask.type?.dims.length ?? 1;
  const pads = b.ints([...range(2 * rank - 1).map(() => 0), keys - length]);
  // ONNX Runtime pads no bool before operator set 13's integers.
  const padded = isBool ? b.op('Cast', [mask], { to: 6 }, own) : mask;
  const filler = isBool ? b.initializer('constant/none', tensor('int32', [], Int32Array.of(0))) : undefined;
  const wider = b.op('Pad', [padded, pads, filler ?? numberLike(b, Number.NEGATIVE_INFINITY, mask)], {}, own);
  return isBool ? b.op('Cast', [wider], { to: 9 }, own) : wider;
}

export const attention: Upgrade = (node, inputs, b) => {
  for (const [i, name] of [
    [4, 'past_key'],
    [5, 'past_value'],
    [6, 'nonpad_kv_seqlen'],
  ] as const) {
    if (inputs[i]) {
      throw createNodeError(
        node,
        `its input ${name} (a cache of earlier tokens) is not supported: a classifier sees its tokens at once. Export the model without a cache.`,
      );
    }
  }
  const own = { name: node.name };
  const [Q, K, V] = ['Q', 'K', 'V'].map((name, i) => getTypedInput(node, inputs, i, name));
  if (!Q || !K || !V) throw createNodeError(node, 'it has no inputs.');
  const q = splitHeads(b, node, Q, 'q_num_heads');
  const [k, v] = [splitHeads(b, node, K, 'kv_num_heads'), splitHeads(b, node, V, 'kv_num_heads')];
  const [presentKey, presentValue] = [k.value, v.value];
  const infinity = (like: Value) => numberLike(b, Number.NEGATIVE_INFINITY, like);

  const keys = b.op('Transpose', [repeatHeads(b, node, k, q.count)], { perm: [0, 1, 3, 2] }, own);
  const factor = getNumberAttribute(node.attributes, 'scale') ?? 1 / Math.sqrt(q.size);
  const product = b.op('MatMul', [scaleBy(b, q.value, factor), keys], {}, own);
  const softcap = getNumberAttribute(node.attributes, 'softcap') ?? 0;
  const capped =
    softcap > 0
      ? scaleBy(b, b.op('Tanh', [b.op('Div', [product, numberLike(b, softcap, product)], {}, own)], {}, own), softcap)
      : product;
  let scores = capped;
  const allowed: Value[] = [];
  if (getNumberAttribute(node.attributes, 'is_causal') === 1)
    allowed.push(buildCausalMask(b, node, q.tokens, k.tokens));
  const mask = inputs[3] && lengthenMask(b, node, inputs[3], k.tokens);
  if (mask?.type?.dtype === 'bool') allowed.push(mask);
  else if (mask) scores = b.op('Add', [scores, castLike(b, mask, scores)], {}, own);
  const [first, second] = allowed;
  const kept = first && second ? b.op('And', [first, second], {}, own) : first;
  if (kept) scores = b.op('Where', [kept, scores, infinity(scores)], {}, own);
  const softmax = b.op('Softmax', [scores], { axis: -1 }, own);
  // A query that may attend to nothing gives 0, as in ONNX Runtime, instead of 0 / 0.
  const weights = mask && kept ? b.op('Where', [kept, softmax, numberLike(b, 0, softmax)], {}, own) : softmax;
  const values = repeatHeads(b, node, v, q.count);
  const isFlat = Q.dims.length === 3;
  const mixed = b.op('MatMul', [weights, values], {}, isFlat ? own : getNodeNames(node));
  const named = (value: Value, output: Value | undefined) =>
    output && b.op('Identity', [value], {}, { ...own, outputName: output.name });
  const joined = isFlat
    ? b.op(
        'Reshape',
        [b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }, own), b.ints([0, 0, q.count * v.size])],
        {},
        getNodeNames(node),
      )
    : mixed;
  const intermediates = [product, capped, scores, weights];
  const mode = getNumberAttribute(node.attributes, 'qk_matmul_output_mode') ?? 0;
  const intermediate = intermediates[mode];
  if (!intermediate) throw createNodeError(node, `qk_matmul_output_mode should be 0, 1, 2 or 3, found ${mode}.`);
  const [, keyOutput, valueOutput, intermediateOutput] = node.outputs;
  return [
    joined,
    named(presentKey, keyOutput),
    named(presentValue, valueOutput),
    named(intermediate, intermediateOutput),
  ];
};

// [X1, X2] becomes [X1 cos - X2 sin, X1 sin + X2 cos], with X1 and X2 the halves of each head or, interleaved, its even
// and odd features
export const rotaryEmbedding: Upgrade = (node, inputs, b) => {
  const own = { name: node.name };
  const X = getTypedInput(node, inputs, 0, 'X');
  const heads = splitHeads(b, node, X, 'num_heads');
  const rotated = getNumberAttribute(node.attributes, 'rotary_embedding_dim') || heads.size;
  const interleaved = getNumberAttribute(node.attributes, 'interleaved') === 1;
  const position = inputs[3];
  // One row a token: [N, 1, tokens, rotated / 2]
  const [cosine, sine] = (['cos_cache', 'sin_cache'] as const).map((name, i) => {
    const { value: cache } = getTypedInput(node, inputs, i + 1, name);
    const rows = position ? b.op('Gather', [cache, position], { axis: 0 }, own) : cache;
    return b.op('Unsqueeze', [rows, b.ints([1])], {}, own);
  });
  if (!cosine || !sine) throw createNodeError(node, 'its caches are missing.');
  const part = (value: Value, start: number, end: number, step: number) =>
    b.op('Slice', [value, b.ints([start]), b.ints([end]), b.ints([3]), b.ints([step])], {}, own);
  const x = rotated === heads.size ? heads.value : part(heads.value, 0, rotated, 1);
  const half = rotated / 2;
  const [x1, x2] = interleaved
    ? [part(x, 0, rotated, 2), part(x, 1, rotated, 2)]
    : [part(x, 0, half, 1), part(x, half, rotated, 1)];
  const times = (value: Value, other: Value) => b.op('Mul', [value, other], {}, own);
  const real = b.op('Sub', [times(cosine, x1), times(sine, x2)], {}, own);
  const imaginary = b.op('Add', [times(sine, x1), times(cosine, x2)], {}, own);
  let turned: Value;
  if (interleaved) {
    const pairs = [real, imaginary].map((value) => b.op('Unsqueeze', [value, b.ints([4])], {}, own));
    const joined = b.op('Concat', pairs, { axis: 4 }, own);
    turned = b.op('Reshape', [joined, b.ints([0, heads.count, -1, rotated])], {}, own);
  } else turned = b.op('Concat', [real, imaginary], { axis: 3 }, own);
  if (rotated !== heads.size) {
    turned = b.op('Concat', [turned, part(heads.value, rotated, heads.size, 1)], { axis: 3 }, own);
  }
  if (X.dims.length === 4) return [b.op('Identity', [turned], {}, getNodeNames(node))];
  const back = b.op('Transpose', [turned], { perm: [0, 2, 1, 3] }, own);
  return [b.op('Reshape', [back, b.ints([0, 0, heads.count * heads.size])], {}, getNodeNames(node))];
};
