import { describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { readTorch } from '../../src/formats/torch/read.js';
import { computeWeights } from '../../src/models/reparametrize.js';
import { toFloat32 } from '../../src/tensor/float16.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';
import { checkpoint, expectedIn } from '../formats/checkpoint-golden.js';

/** float32 sums in PyTorch against float64 ones here, on elements up to 2. */
const ROUNDING = 5e-7;

function refusal(tensors: Readonly<Record<string, Tensor>>): string {
  try {
    computeWeights(new Map(Object.entries(tensors)), 'a.pt');
  } catch (error) {
    if (!(error instanceof ShiboriError)) throw error;
    return error.message;
  }
  throw new Error('was not refused');
}

describe('Weights that are stored as what they are computed from', () => {
  it('weight norm, spectral norm and pruning, old and as parametrizations, are what PyTorch computes in eval()', async () => {
    const { tensors: stored } = await readTorch(checkpoint('forms.pt'), 'forms.pt');
    const { tensors, notes } = computeWeights(stored, 'forms.pt');
    const expected = expectedIn('forms.pt');
    for (const [name, { dims, values }] of Object.entries(expected)) {
      const found = tensors.get(name);
      expect(found?.dims, name).toEqual(dims);
      const data = [...toFloat32(found ?? float32([])).data];
      for (const [i, value] of values.entries()) {
        expect(Math.abs((data[i] ?? Number.NaN) - value), `${name}[${i}]`).toBeLessThanOrEqual(ROUNDING);
      }
    }
    const biases = [...stored.keys()].filter((key) => key.includes('bias') || key === 'lstm.weight_ih_l0');
    expect([...tensors.keys()].sort()).toEqual([...Object.keys(expected), ...biases].sort());
    expect(notes).toEqual([
      'pruned.weight is stored with pruning: computed from orig, mask.',
      'old.weight and 3 more are stored with weight norm: computed from v, g.',
      'new.weight is stored with weight norm: computed from original1, original0.',
      'spectral.weight and 1 more are stored with spectral norm: computed from orig, u, v.',
      'spectral2.weight is stored with spectral norm: computed from original, 0._u, 0._v.',
    ]);
  });

  it('are refused by name where their code would be needed', async () => {
    const { tensors } = await readTorch(checkpoint('orthogonal.pt'), 'orthogonal.pt');
    expect(() => computeWeights(tensors, 'a.pt')).toThrow(
      /weight "fc\.weight" is computed from "fc\.parametrizations\.weight\.original".*remove_parametrizations\(model\.get_submodule\("fc"\), "weight"\)/,
    );
  });

  it.each([
    [
      'a g of another length',
      { 'a.weight_v': float32([1, 2], [2, 1]), 'a.weight_g': float32([1, 2, 3], [3, 1]) },
      /"a\.weight".*g is \[3, 1\].*v is \[2, 1\]/,
    ],
    [
      'a zero direction',
      { weight_v: float32([1, 0], [2, 1]), weight_g: float32([1, 2], [2, 1]) },
      /"weight".*slice 1 of its v is zero/,
    ],
    [
      'a mask of another shape',
      { weight_orig: float32([1, 2]), weight_mask: float32([1]) },
      /\[2\], but its mask is \[1\]/,
    ],
    [
      'a u that does not fit',
      { weight_orig: float32([1, 2], [1, 2]), weight_u: float32([1, 2, 3]), weight_v: float32([1]) },
      /u \[3\] and v \[1\] do not fit/,
    ],
    [
      'a norm of zero',
      { weight_orig: float32([0], [1, 1]), weight_u: float32([1]), weight_v: float32([1]) },
      /uᵀWv of what is stored is 0/,
    ],
  ])('are refused by name for %s', (_, tensors, message) => {
    expect(refusal(tensors)).toMatch(message);
  });

  it('are left alone where a part is missing or the names mean something else', () => {
    const tensors = new Map<string, Tensor>([
      ['a.weight_g', float32([1])],
      ['query_v', float32([1])],
      ['query_g', float32([1, 2])],
      ['b.weight', float32([1])],
    ]);
    expect([...computeWeights(tensors, 'a.pt').tensors]).toEqual([...tensors]);
  });

  it('that share one storage under many names are refused before they fill the memory', () => {
    const v = float32(new Float32Array(1e6).fill(1), [1000, 1000]);
    const g = float32(new Float32Array(1000).fill(1), [1000, 1]);
    const names = Array.from({ length: 100 }, (_, i) => `layer${i}.weight`);
    const tensors = Object.fromEntries(names.flatMap((name) => [[`${name}_v`, v] as const, [`${name}_g`, g] as const]));
    expect(refusal(tensors)).toMatch(/fill the memory/);
  });
});
