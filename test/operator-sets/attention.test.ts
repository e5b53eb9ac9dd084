import { describe, expect, it } from 'vitest';
import { checkGradient, GRADIENT_TOLERANCE } from '../../src/autodiff/gradient-check.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { isFloat } from '../../src/tensor/dtype.js';
import { int64 } from '../../src/tensor/tensor.js';
import { upgraded } from '../support/upgraded.js';
import {
  type Attributes,
  bools,
  constant,
  fed,
  float,
  int,
  type NodeForm,
  type NodeInput,
  text,
  weight,
} from './node-case.js';
import { expectEqual, feedsOf, fileOf, imported, runFile, runImported } from './node-file.js';

/** The sets that define Attention, and the newest that ONNX Runtime reads. */
const SETS = [23, 24, 26];

const heads = (): NodeInput[] => [fed([2, 4, 3, 2]), fed([2, 4, 5, 2]), fed([2, 4, 5, 3])];
const grouped = (): NodeInput[] => [fed([2, 4, 3, 2]), fed([2, 2, 5, 2]), fed([2, 2, 5, 3])];
const flat = (): NodeInput[] => [fed([2, 3, 8]), fed([2, 5, 4]), fed([2, 5, 6])];
const self = (): NodeInput[] => [fed([1, 2, 4, 2]), fed([1, 2, 4, 2]), fed([1, 2, 4, 2])];
const flatHeads = { q_num_heads: int(4), kv_num_heads: int(2) };
/** Each query may attend to some key. */
const allowed = bools([1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1], [3, 5]);
const withEmptyRow = bools([1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [3, 5]);

const attentions: Readonly<Record<string, NodeForm>> = {
  'of heads': { inputs: heads() },
  'of grouped queries': { inputs: grouped() },
  'of one key head': { inputs: [fed([1, 3, 2, 4]), fed([1, 1, 2, 4]), fed([1, 1, 2, 4])] },
  'of 3 dimensions': { inputs: flat(), attributes: flatHeads },
  'with a scale': { inputs: heads(), attributes: { scale: float(0.3) } },
  'with a softcap': { inputs: heads(), attributes: { softcap: float(1.5) } },
  'with a causal mask': { inputs: self(), attributes: { is_causal: int(1) } },
  'with a causal mask, more keys than queries': { inputs: heads(), attributes: { is_causal: int(1) } },
  'with a mask of numbers': { inputs: [...heads(), weight([3, 5])] },
  'with a mask of numbers for each head': { inputs: [...heads(), fed([2, 4, 3, 5])] },
  'with a mask of bools': { inputs: [...heads(), allowed] },
  'with a mask that leaves a query nothing': { inputs: [...heads(), withEmptyRow] },
  'with masks of both kinds': {
    inputs: [...self(), bools([1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1], [4, 4])],
    attributes: { is_causal: int(1) },
  },
  'with a mask, a softcap and a causal mask': {
    inputs: [...self(), weight([4, 4])],
    attributes: { is_causal: int(1), softcap: float(2), scale: float(0.8) },
  },
};

const stages: Readonly<Record<string, Attributes>> = {
  'the products': { qk_matmul_output_mode: int(0) },
  'the products after the softcap': { qk_matmul_output_mode: int(1) },
  'the masked products': { qk_matmul_output_mode: int(2) },
  'the weights': { qk_matmul_output_mode: int(3) },
};

const rotaries: Readonly<Record<string, NodeForm>> = {
  'of heads': { inputs: [fed([2, 3, 4, 6]), weight([2, 4, 3]), weight([2, 4, 3])] },
  interleaved: {
    inputs: [fed([2, 3, 4, 6]), weight([2, 4, 3]), weight([2, 4, 3])],
    attributes: { interleaved: int(1) },
  },
  'of a part of each head': {
    inputs: [fed([2, 3, 4, 6]), weight([2, 4, 2]), weight([2, 4, 2])],
    attributes: { rotary_embedding_dim: int(4) },
  },
  'of 3 dimensions, by positions': {
    inputs: [fed([2, 4, 12]), weight([8, 2]), weight([8, 2]), constant(int64([0, 1, 2, 3, 4, 5, 6, 7], [2, 4]))],
    attributes: { num_heads: int(3) },
  },
};

async function expectSame(op: string, form: NodeForm, sets: readonly number[]) {
  for (const opset of sets) {
    const bytes = fileOf(op, form, opset);
    expectEqual(await runImported(bytes, form), await runFile(bytes, feedsOf(form)), `set ${opset}`);
  }
}

async function expectGradients(op: string, form: NodeForm, opset: number) {
  const graph = imported(fileOf(op, form, opset));
  const wrt = graph.inputs.filter(({ type }) => type && isFloat(type.dtype));
  const worst = await checkGradient(graph, referenceEngine(), { wrt, feeds: feedsOf(form) });
  expect(worst.error, JSON.stringify(worst)).toBeLessThan(GRADIENT_TOLERANCE);
}

describe.each(Object.entries(attentions))('Attention %s', (_, form) => {
  it('computes what ONNX Runtime makes of the operator itself', () => expectSame('Attention', form, SETS));
  it('has gradients that agree with finite differences', () => expectGradients('Attention', form, 23));
});

describe('Attention', () => {
  it.each(Object.entries(stages))('gives %s, keys and values', async (_, attributes) => {
    const softcap = { softcap: float(1.5) };
    const form: NodeForm = {
      inputs: [...heads(), weight([3, 5])],
      attributes: { ...attributes, ...softcap },
      outputs: 4,
    };
    await expectSame('Attention', form, SETS);
  });

  it('takes a mask that is shorter than the keys: what it does not name is left out', async () => {
    const [q, k, v] = heads();
    if (!q || !k || !v) throw new Error('three inputs');
    const cut = ({ data: { data, dims } }: NodeInput): NodeInput => {
      const size = dims[3] ?? 1;
      const kept = Array.from(data, Number).filter((_, i) => Math.floor(i / size) % 5 < 4);
      return {
        data: { ...fed([2, 4, 4, size]).data, data: Float32Array.from(kept) } as NodeInput['data'],
        constant: false,
      };
    };
    for (const mask of [weight([3, 4]), bools([1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1], [3, 4])]) {
      const short: NodeForm = { inputs: [q, k, v, mask] };
      const same: NodeForm = { inputs: [q, cut(k), cut(v), mask] };
      const found = await runImported(fileOf('Attention', short, 24), short);
      expectEqual(found, await runFile(fileOf('Attention', same, 24), feedsOf(same)), 'the rest of the keys');
    }
  });

  it.each<[string, NodeForm, RegExp]>([
    [
      'a cache of earlier tokens',
      { inputs: [...heads(), undefined, fed([2, 4, 2, 2]), fed([2, 4, 2, 3])] },
      /Node "layer" \(Attention\): its input past_key .*without a cache/,
    ],
    ['3 dimensions without the number of heads', { inputs: flat() }, /"layer" \(Attention\).* attribute "q_num_heads"/],
    [
      'heads that do not divide the features',
      { inputs: flat(), attributes: { q_num_heads: int(3), kv_num_heads: int(2) } },
      /8 features cannot be divided into 3 heads \(attribute "q_num_heads"\)/,
    ],
    [
      'queries that do not divide among the keys',
      { inputs: [fed([1, 3, 2, 2]), fed([1, 2, 2, 2]), fed([1, 2, 2, 2])] },
      /3 query heads cannot share 2 key heads/,
    ],
  ])('refuses %s', (_, form, expected) => {
    expect(() => upgraded(readOnnx(fileOf('Attention', form, 23), 'f'), 'f')).toThrow(expected);
  });
});

describe.each(Object.entries(rotaries))('RotaryEmbedding %s', (_, form) => {
  it('computes what ONNX Runtime makes of the operator itself', () => expectSame('RotaryEmbedding', form, [23, 26]));
  it('has gradients that agree with finite differences', () => expectGradients('RotaryEmbedding', form, 23));
});

const others: Readonly<Record<string, readonly [opset: number, NodeForm]>> = {
  CumProd: [26, { inputs: [fed([2, 3, 2], 0.5, 2), constant(int64([1], []))], attributes: { reverse: int(1) } }],
  Col2Im: [18, { inputs: [fed([1, 4, 6]), constant(int64([3, 4])), constant(int64([2, 2]))] }],
  CenterCropPad: [18, { inputs: [fed([1, 5, 2]), constant(int64([1, 2, 5]))] }],
  AffineGrid: [20, { inputs: [fed([2, 2, 3]), constant(int64([2, 1, 3, 2]))] }],
  RMSNormalization: [23, { inputs: [fed([2, 3, 4]), fed([4])] }],
  Swish: [24, { inputs: [fed([2, 3])], attributes: { alpha: float(0.7) } }],
  Gelu: [20, { inputs: [fed([2, 3])], attributes: { approximate: text('tanh') } }],
};

describe.each(Object.entries(others))('%s', (op, [opset, form]) => {
  it('has gradients that agree with finite differences', () => expectGradients(op, form, opset));
});
