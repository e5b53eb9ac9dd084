import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { importGraph } from '../../src/passes/import-graph.js';
import { float32 } from '../../src/tensor/tensor.js';
import { type Attributes, constant, int, type NodeForm } from './node-case.js';
import { expectEqual, feedsOf, fileOf, opOf, runFile, runImported } from './node-file.js';

const x = { data: float32([1, 2, 3, 4], [1, 2, 2]), constant: false };
const [scale, bias, mean, variance] = [
  [1, 2],
  [0, 1],
  [0.5, 0.25],
  [1, 4],
].map((values) => constant(float32(values)));

/** A BatchNormalization with this many outputs, all of which are outputs of the graph. */
const normalization = (outputs: number, attributes: Attributes = {}): NodeForm => ({
  inputs: [x, scale, bias, mean, variance],
  attributes,
  outputs,
});

const op = opOf('BatchNormalization');

describe('a BatchNormalization whose statistics are outputs of the graph', () => {
  it.each([1, 5, 6])('is applied with the statistics that it was given where set %i says is_test', async (opset) => {
    const tested = normalization(5, { is_test: int(1) });
    const { y0, ...statistics } = await runImported(fileOf(op, tested, opset), tested);
    const alone = normalization(1);
    const applied = await runFile(fileOf(op, alone, 7), feedsOf(alone));
    expectEqual({ y0: y0 ?? failed() }, applied, 'the normalised values');
    const given = [
      [0.5, 0.25],
      [1, 4],
    ];
    expect(Object.keys(statistics)).toEqual(['y1', 'y2', 'y3', 'y4']);
    expect(Object.values(statistics).map(({ data }) => data)).toEqual([...given, ...given]);
  });

  it.each([6, 7, 8, 9, 13])('normalises by the batch itself in set %i, where they mean training', async (opset) => {
    for (const attributes of opset < 7 ? [{}, { is_test: int(0) }] : [{}]) {
      const trained = normalization(5, attributes);
      const expected = await runFile(fileOf(op, normalization(5), 7), feedsOf(trained));
      expectEqual(await runImported(fileOf(op, trained, opset), trained), expected, `set ${opset}`);
    }
  });

  it('is noted to depend on the batch', () => {
    const opened = (outputs: number, opset: number) =>
      importGraph(readOnnx(fileOf(op, normalization(outputs), opset), 'f'), 'f').notes;
    expect(
      opened(5, 9)
        .map(({ text }) => text)
        .join(),
    ).toMatch(/in training mode: 1 BatchNormalization .*evaluation mode/);
    expect(opened(1, 9)).toEqual([]);
  });
});

function failed(): never {
  throw new Error('there is no output y0');
}
