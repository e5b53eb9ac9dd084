import { describe, expect, it } from 'vitest';
import { chooseLayerOptions } from '../../src/compression/decompose-network.js';
import { schemes } from '../../src/compression/schemes/scheme-table.js';
import { buildDenseSensitivity } from '../../src/compression/sensitivity-analysis.js';
import {
  buildDenseOption,
  choosePointsToMeasure,
  correctOptions,
  createFittedLossEstimate,
  estimateLossAlone,
  type LayerOption,
} from '../../src/compression/sensitivity-curves.js';
import { oneConvolution, onlyLayer } from './support.js';

const graph = oneConvolution([16, 8, 3, 3], [6, 6]);
const layer = onlyLayer(graph);
const dense = buildDenseOption(layer, 'parameters');

/** An option of a cost with a prediction. */
const option = (cost: number, loss: number): LayerOption => ({
  scheme: schemes.svd,
  ranks: [1],
  parameters: cost,
  multiplyAdds: cost,
  cost,
  loss,
  alone: loss,
});

describe('a curve', () => {
  const options = [option(10, 8), option(20, 4), option(40, 2), option(80, 1), option(160, 0.5), dense];

  it('goes through the points that were measured, in between by their logarithms, and below by their ratio', () => {
    const points = [
      { predicted: 1, measured: 3 },
      { predicted: 4, measured: 24 },
    ];
    const corrected = correctOptions(options, points);
    expect(corrected.map(({ alone }) => alone)).toEqual([24, expect.closeTo(Math.sqrt(3 * 24), 10), 3, 1.5, 0]);
    // What is predicted stays as it was.
    expect(corrected.map(({ loss }) => loss)).toEqual([4, 2, 1, 0.5, 0]);
  });

  it('never falls where more is predicted to be lost, whatever was measured', () => {
    const corrected = correctOptions(options, [
      { predicted: 1, measured: 5 },
      { predicted: 4, measured: 2 },
    ]);
    expect(corrected.map(({ alone }) => alone)).toEqual([5, 5, 5, 2.5, 0]);
  });

  it('leaves a layer dense of which nothing was measured', () => {
    expect(correctOptions(options, [])).toEqual([dense]);
  });

  it('keeps what is predicted to lose nothing, and believes what was measured of it', () => {
    const free = [option(10, 0), dense];
    expect(correctOptions(free, [])).toEqual(free);
    expect(correctOptions(free, [{ predicted: 0, measured: -1e-12 }])).toEqual(free);
    const [cheap] = correctOptions(free, [{ predicted: 0, measured: 0.25 }]);
    expect(cheap).toMatchObject({ loss: 0.25, alone: 0.25 });
  });

  it('is measured at the options nearest to the shares asked for, each once', () => {
    const share = (cost: number) => cost / dense.cost;
    const picked = choosePointsToMeasure(options, [share(19), share(21), share(100)]);
    expect(picked.map(({ cost }) => cost)).toEqual([20, 80]);
  });
});

describe('layers that are compared', () => {
  // The first is predicted to lose more, the second loses more alone.
  const first = { ...option(10, 4), alone: 5 };
  const second = { ...option(10, 2), alone: 20 };
  const studied = (path: string, small: LayerOption) => ({
    ...buildDenseSensitivity({ ...layer, path }, 'parameters', ''),
    options: [small, dense],
  });
  const network = { graph, unit: 'parameters', layers: [studied('a', first), studied('b', second)] } as const;
  const whole = layer.weight.data.length + layer.outputs;

  it.each([
    ['that is predicted', createFittedLossEstimate(1), 'b'],
    ['measured alone', estimateLossAlone, 'a'],
  ] as const)('by the price %s give up what costs least', (_, price, squeezed) => {
    // The graph holds one of the two layers; the budget is what is left of both when one of them is squeezed.
    const { chosen } = chooseLayerOptions(network, dense.cost + 10 - whole, price);
    const small = [...chosen].flatMap(([path, { scheme }]) => (scheme ? [path] : []));
    expect(small).toEqual([squeezed]);
  });

  it('count less the more layers are fitted behind them, to a fifth', () => {
    const price = (behind: number) => createFittedLossEstimate(0.9)(first, behind);
    expect([price(0), price(1), price(2)]).toEqual([4, 3.6, expect.closeTo(3.24, 10)]);
    expect(price(100)).toBeCloseTo(0.8, 10);
    expect(estimateLossAlone(first, 100)).toBe(5);
  });
});
