import { describe, expect, it } from 'vitest';
import {
  correctedOptions,
  denseOption,
  fittedPrice,
  type LayerOption,
  pointsToMeasure,
  priceAlone,
} from '../../src/compression/curves.js';
import { schemes } from '../../src/compression/schemes/schemes.js';
import { spend } from '../../src/compression/spend.js';
import { leftDense } from '../../src/compression/study.js';
import { oneConvolution, onlyLayer } from './support.js';

const graph = oneConvolution([16, 8, 3, 3], [6, 6]);
const layer = onlyLayer(graph);
const dense = denseOption(layer, 'parameters');

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
    const corrected = correctedOptions(options, points);
    expect(corrected.map(({ alone }) => alone)).toEqual([24, expect.closeTo(Math.sqrt(3 * 24), 10), 3, 1.5, 0]);
    // What is predicted stays as it was.
    expect(corrected.map(({ loss }) => loss)).toEqual([4, 2, 1, 0.5, 0]);
  });

  it('never falls where more is predicted to be lost, whatever was measured', () => {
    const corrected = correctedOptions(options, [
      { predicted: 1, measured: 5 },
      { predicted: 4, measured: 2 },
    ]);
    expect(corrected.map(({ alone }) => alone)).toEqual([5, 5, 5, 2.5, 0]);
  });

  it('leaves a layer dense of which nothing was measured', () => {
    expect(correctedOptions(options, [])).toEqual([dense]);
  });

  it('keeps what is predicted to lose nothing, and believes what was measured of it', () => {
    const free = [option(10, 0), dense];
    expect(correctedOptions(free, [])).toEqual(free);
    expect(correctedOptions(free, [{ predicted: 0, measured: -1e-12 }])).toEqual(free);
    const [cheap] = correctedOptions(free, [{ predicted: 0, measured: 0.25 }]);
    expect(cheap).toMatchObject({ loss: 0.25, alone: 0.25 });
  });

  it('is measured at the options nearest to the shares asked for, each once', () => {
    const share = (cost: number) => cost / dense.cost;
    const picked = pointsToMeasure(options, [share(19), share(21), share(100)]);
    expect(picked.map(({ cost }) => cost)).toEqual([20, 80]);
  });
});

describe('layers that are compared', () => {
  // The first is predicted to lose more, the second loses more alone.
  const first = { ...option(10, 4), alone: 5 };
  const second = { ...option(10, 2), alone: 20 };
  const studied = (path: string, small: LayerOption) => ({
    ...leftDense({ ...layer, path }, 'parameters', ''),
    options: [small, dense],
  });
  const network = { graph, goal: 'parameters', layers: [studied('a', first), studied('b', second)] } as const;
  const whole = layer.weight.data.length + layer.outputs;

  it.each([
    ['that is predicted', fittedPrice(1), 'b'],
    ['measured alone', priceAlone, 'a'],
  ] as const)('by the price %s give up what costs least', (_, price, squeezed) => {
    // The graph holds one of the two layers; the budget is what is left of both when one of them is squeezed.
    const { chosen } = spend(network, dense.cost + 10 - whole, price);
    const small = [...chosen].flatMap(([path, { scheme }]) => (scheme ? [path] : []));
    expect(small).toEqual([squeezed]);
  });

  it('count less the more layers are fitted behind them, to a fifth', () => {
    const price = (behind: number) => fittedPrice(0.9)(first, behind);
    expect([price(0), price(1), price(2)]).toEqual([4, 3.6, expect.closeTo(3.24, 10)]);
    expect(price(100)).toBeCloseTo(0.8, 10);
    expect(priceAlone(first, 100)).toBe(5);
  });
});
