import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildLayerNetwork, planContraction } from '../../src/decompose/contraction.js';
import {
  type Execution,
  emitTtLinear,
  findTtDescriptors,
  readTtDescriptor,
  type TtLayer,
} from '../../src/decompose/tt-layer.js';
import { runOnce } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { countElements } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { expectFloat32, float32, type Tensor } from '../../src/tensor/tensor.js';

function random(dims: readonly number[], ...keys: number[]): Tensor<'float32'> {
  const stream = seeded(...keys);
  return float32(
    Array.from({ length: countElements(dims) }, () => stream.uniform(-1, 1)),
    dims,
  );
}

/** Walks over all index tuples of a network and sums: the definition, without any plan. */
function denseWeight(layer: TtLayer, cores: readonly Tensor<'float32'>[]): Float64Array {
  const network = buildLayerNetwork(layer, 1);
  const outs = countElements(layer.outModes);
  const ins = countElements(layer.inModes);
  const weight = new Float64Array(outs * ins);
  const digits = (value: number, modes: readonly number[]) => {
    const result = modes.map(() => 0);
    let rest = value;
    for (let k = modes.length - 1; k >= 0; k--) {
      result[k] = rest % (modes[k] ?? 1);
      rest = Math.floor(rest / (modes[k] ?? 1));
    }
    return result;
  };
  const bonds = countElements(layer.bonds);
  for (let o = 0; o < outs; o++) {
    for (let i = 0; i < ins; i++) {
      for (let r = 0; r < bonds; r++) {
        const at: Record<string, number> = {};
        digits(o, layer.outModes).forEach((d, k) => {
          at[`o${k}`] = d;
        });
        digits(i, layer.inModes).forEach((d, k) => {
          at[`i${k}`] = d;
        });
        digits(r, layer.bonds).forEach((d, k) => {
          at[`r${k + 1}`] = d;
        });
        let product = 1;
        network.cores.forEach(({ indices }, k) => {
          const flat = indices.reduce((sum, index) => sum * (network.sizes[index] ?? 1) + (at[index] ?? 0), 0);
          product *= cores[k]?.data[flat] ?? 0;
        });
        weight[o * ins + i] = (weight[o * ins + i] ?? 0) + product;
      }
    }
  }
  return weight;
}

function build(layer: TtLayer, cores: readonly Tensor<'float32'>[], bias: Tensor<'float32'> | undefined) {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', countElements(layer.inModes)]);
  const values = cores.map((core, k) => b.initializer(`${layer.path}.tt_W${k}`, core));
  const biasValue = bias && b.initializer(`${layer.path}.B`, bias);
  const y = b.within(layer.path, () => emitTtLinear(b, x, values, biasValue, layer));
  b.output(b.op('Identity', [y], {}, { name: 'out', outputName: 'output' }));
  return b.build('tt');
}

const modesArbitrary = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 });
const layerArbitrary = fc
  .record({
    layout: fc.constantFrom('tt' as const, 'tt-matrix' as const),
    outModes: modesArbitrary,
    inModes: modesArbitrary,
    bondSeed: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 6, maxLength: 6 }),
  })
  .map(({ layout, outModes, inModes, bondSeed }) => {
    const paired = layout === 'tt-matrix';
    const ins = paired ? outModes.map((_, k) => inModes[k % inModes.length] ?? 1) : inModes;
    const cores = paired ? outModes.length : outModes.length + ins.length;
    return { path: 'm.fc', layout, outModes, inModes: ins, bonds: bondSeed.slice(0, cores - 1) };
  });

/** Sums of at most a few hundred float32 products of numbers below 1: an absolute error well under this. */
const FLOAT32_ROUNDING = 1e-4;

describe('a tensor-train layer as ONNX nodes', () => {
  it('computes x Wᵀ + b for any layout, modes, bonds and execution', async () => {
    await fc.assert(
      fc.asyncProperty(
        layerArbitrary,
        fc.boolean(),
        fc.constantFrom<Execution>('factored', 'rebuilt'),
        async (descriptor, hasBias, execution) => {
          const layer: TtLayer = { ...descriptor, execution };
          const network = buildLayerNetwork(layer, 1);
          const cores = network.cores.map(({ indices }, k) =>
            random(
              indices.map((index) => network.sizes[index] ?? 1),
              1,
              k,
            ),
          );
          const bias = hasBias ? random(layer.outModes, 2) : undefined;
          const graph = build(layer, cores, bias);
          const x = random([3, countElements(layer.inModes)], 3);
          const { output } = await runOnce(referenceEngine(), graph, { input: x });
          const weight = denseWeight(layer, cores);
          const [outs, ins] = [countElements(layer.outModes), countElements(layer.inModes)];
          const y = expectFloat32(output, 'output');
          expect(y.dims).toEqual([3, outs]);
          for (let n = 0; n < 3; n++) {
            for (let o = 0; o < outs; o++) {
              let sum = bias?.data[o] ?? 0;
              for (let i = 0; i < ins; i++) sum += (x.data[n * ins + i] ?? 0) * (weight[o * ins + i] ?? 0);
              expect(Math.abs((y.data[n * outs + o] ?? Number.NaN) - sum)).toBeLessThan(FLOAT32_ROUNDING);
            }
          }
          expect(
            graph.nodes.every(({ op }) => ['Reshape', 'Transpose', 'MatMul', 'Gemm', 'Add', 'Identity'].includes(op)),
          ).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is recognised again by the names and shapes of its cores, with and without a bias', () => {
    const layer: TtLayer = {
      path: 'm.fc',
      layout: 'tt',
      outModes: [2, 3],
      inModes: [4, 5],
      bonds: [2, 3, 4],
      execution: 'rebuilt',
    };
    const network = buildLayerNetwork(layer, 1);
    const cores = network.cores.map(({ indices }, k) =>
      random(
        indices.map((index) => network.sizes[index] ?? 1),
        1,
        k,
      ),
    );
    const { execution: _, ...descriptor } = layer;
    expect(findTtDescriptors(build(layer, cores, random([2, 3], 2)))).toEqual([descriptor]);
    expect(findTtDescriptors(build(layer, cores, undefined))).toEqual([descriptor]);
    expect(findTtDescriptors(build({ ...layer, execution: 'factored' }, cores, undefined))).toEqual([descriptor]);
  });

  it('refuses cores that do not form a train', () => {
    expect(() =>
      readTtDescriptor(
        'fc',
        [
          [2, 3],
          [4, 5],
        ],
        [2],
        5,
      ),
    ).toThrow(/tt_W1 of a tt layer: expected 3 axes, bonds included, the first of size 3/);
    expect(() => readTtDescriptor('fc', [[2], [4, 5]], [2], 5)).toThrow(/tt_W0 of a tt layer/);
  });
});

describe('planContraction', () => {
  /** Multiply-adds of contracting in every possible order of pairs, by brute force. */
  function cheapest(
    tensors: readonly (readonly string[])[],
    sizes: Readonly<Record<string, number>>,
    output: readonly string[],
  ): number {
    if (tensors.length === 1) return 0;
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < tensors.length; i++) {
      for (let j = i + 1; j < tensors.length; j++) {
        const rest = tensors.filter((_, k) => k !== i && k !== j);
        const union = [...new Set([...(tensors[i] ?? []), ...(tensors[j] ?? [])])];
        const stays = union.filter((index) => output.includes(index) || rest.some((other) => other.includes(index)));
        const work = union.reduce((product, index) => product * (sizes[index] ?? 1), 1);
        best = Math.min(best, work + cheapest([stays, ...rest], sizes, output));
      }
    }
    return best;
  }

  it('finds the cheapest order there is', () => {
    fc.assert(
      fc.property(layerArbitrary, fc.integer({ min: 1, max: 9 }), (layer, batch) => {
        const network = buildLayerNetwork(layer, batch);
        const tensors = [network.input, ...network.cores];
        if (tensors.length > 5) return;
        // Nothing constant: every contraction counts, as the brute force counts it.
        const counted = tensors.map(({ indices }) => ({ indices }));
        const plan = planContraction(counted, network.sizes, network.output);
        expect(plan.macs).toBe(
          cheapest(
            counted.map(({ indices }) => indices),
            network.sizes,
            network.output,
          ),
        );
        expect(plan.steps.reduce((sum, step) => sum + step.macs, 0)).toBe(plan.macs);
      }),
      { numRuns: 100 },
    );
  });

  it('never needs more than the dense product at run time, since cores alone are folded', () => {
    const layer = { layout: 'tt' as const, outModes: [16, 32], inModes: [112, 224], bonds: [16, 100, 150] };
    const network = buildLayerNetwork(layer, 1);
    const plan = planContraction([network.input, ...network.cores], network.sizes, network.output);
    // 25088 × 100 for the inputs, 100 × 512 for the outputs.
    expect(plan.macs).toBe(25_088 * 100 + 100 * 512);
  });
});
