import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { appendGradients } from '../../src/autodiff/gradient.js';
import { runOnce } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { computeGradCamMaps, finishMaps } from '../../src/explain/map.js';
import { openModel } from '../../src/io/models/model-file.js';
import { startRewrite } from '../../src/passes/index.js';
import { float32 } from '../../src/tensor/tensor.js';
import { findLargestDifference } from '../support/differences.js';
import { requires } from '../support/requires.js';
import {
  at,
  caseFile,
  explainedMap,
  hasCases,
  PIXELS,
  pixelsOf,
  runInOrt,
  runJson,
  scratch,
  seededImages,
} from './support.js';

/** Maps by the same gradients, gathered from the tokens by hand. */
const SAME_MAP = 1e-5;
/** Two float32 networks of a few layers that compute the same in another order. */
const SAME_OUTPUT = 1e-5;

const image = caseFile('tokens', 'i.png');
const file = (name: string) => caseFile('tokens', `${name}.onnx`);

/** Grad-CAM from the gradient of a value `[1, T, C]`, with the tokens of the patches given by hand. */
async function mapByHand(name: string, valueName: string, first: number): Promise<Float32Array> {
  const [rows, columns] = [4, 6];
  const { graph } = await openModel(file(name));
  const [input] = graph.inputs;
  const value = graph.nodes.flatMap(({ outputs }) => outputs).find((output) => output?.name === valueName);
  const [scores] = graph.outputs;
  if (!input || !value || !scores) throw new Error(`${name} has no value ${valueName}.`);
  const pixels = await pixelsOf(image);
  const { builder: b, mapValue: of } = startRewrite(graph, {
    inputDims: { [input.name]: [...pixels.dims] },
    outputs: [scores, value],
  });
  const best = b.op('ReduceMax', [of(scores)], { keepdims: 0 });
  const gradient = appendGradients(b, best, [of(value)]).get(of(value));
  if (!gradient) throw new Error('No gradient.');
  b.output(b.op('Identity', [of(value)], {}, { outputName: 'a' }));
  b.output(b.op('Identity', [gradient], {}, { outputName: 'g' }));
  const results = await runOnce(nodeEngine(), b.build('by-hand'), {
    [input.name]: float32(pixels.data, [...pixels.dims]),
  });
  const grid = (key: string) => {
    const tensor = results[key];
    const [, , channels = 0] = tensor?.dims ?? [];
    const out = new Float32Array(channels * rows * columns);
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < rows * columns; p++)
        out[c * rows * columns + p] = Number(tensor?.data[(first + p) * channels + c]);
    return float32(out, [1, channels, rows, columns]);
  };
  const [, , height = 0, width = 0] = pixels.dims;
  return finishMaps(computeGradCamMaps(grid('a'), grid('g')), height, width).data;
}

describe('tokens', requires('cases', hasCases), () => {
  const layouts = [
    ['v3_4x6_cls', 3],
    ['suffix1', 0],
    ['v2_4x6_cls', 2],
  ] as const;
  for (const [name, first] of layouts) {
    it(`${name}.onnx: blocks.1.n1 has the map of the patch convolution’s 4×6 tokens`, async () => {
      const { map } = await explainedMap(file(name), image, [...PIXELS, '--layer', 'blocks.1.n1']);
      const expected = await mapByHand(name, '/blocks.1/n1/Add_1_output_0', first);
      expect(Math.max(...expected)).toBeGreaterThan(0.5);
      expect(findLargestDifference(map, expected)).toBeLessThanOrEqual(SAME_MAP);
    });

    it(`${name}.onnx: every layer of tokens lies on the 4×6 grid, the default one too`, async () => {
      const { json } = await runJson(['explain', file(name), '--layer', 'list']);
      if (!Array.isArray(json)) throw new Error('No list of layers.');
      const grids = json.map((layer) => `${at(layer, 'grid', 'height')}×${at(layer, 'grid', 'width')}`);
      expect(new Set(grids)).toEqual(new Set(['4×6']));
      expect(json.filter((layer) => at(layer, 'isDefault') === true)).toHaveLength(1);
    });
  }

  it('tokens.onnx: f1 takes ranks by hand, and the file runs at every batch size as the original does', async () => {
    const folder = scratch();
    const output = join(folder, 'small.onnx');
    const { code, stderr } = await runJson(
      [
        'compress',
        file('tokens'),
        '--layer',
        'f1',
        '--in',
        '4,6',
        '--out',
        '8,12',
        '--execution',
        'factored',
        '-o',
        output,
      ],
      folder,
    );
    expect(code, stderr).toBe(0);
    const { inputs } = (await openModel(file('tokens'))).graph;
    const dims = (inputs[0]?.type?.dims.slice(1) ?? []).map(Number);
    for (const batch of [1, 2, 5]) {
      const images = seededImages(batch, dims);
      const difference = findLargestDifference(await runInOrt(output, images), await runInOrt(file('tokens'), images));
      expect(difference).toBeLessThanOrEqual(SAME_OUTPUT);
    }
    const evaluated = await runJson(['evaluate', output, '--data', caseFile('val'), '--batch', '7', ...PIXELS], folder);
    expect(evaluated.code, evaluated.stderr).toBe(0);
  });

  it('mha.onnx: the projections in and out of attention are compressed', async () => {
    const folder = scratch();
    const { code, json, stderr } = await runJson(
      [
        ...['compress', file('mha'), '--data', caseFile('train'), '--validation-data', caseFile('val'), ...PIXELS],
        ...['--params', '60%', '--allow-slower', '-o', join(folder, 'small.onnx')],
      ],
      folder,
    );
    expect(code, stderr).toBe(0);
    const layers = at(json, 'layers');
    if (!Array.isArray(layers)) throw new Error('No layers.');
    const attention = layers.filter((layer) => String(at(layer, 'path')).startsWith('at'));
    expect(attention.length).toBeGreaterThanOrEqual(2);
    expect(JSON.stringify(at(json, 'refused'))).not.toMatch(/another such layer/);
  });
});
