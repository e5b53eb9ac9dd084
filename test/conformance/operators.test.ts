import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { ShiboriError } from '../../src/errors.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { readOnnxTensor } from '../../src/formats/onnx/tensor.js';
import type { Graph } from '../../src/graph/model.js';
import { upgradeOpset } from '../../src/passes/upgrade-opset.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** ONNX's own backend tests, as Debian's package `libonnx-testdata` installs them. */
const root = '/usr/share/libonnx-testdata/data/node';

/** ONNX's own tolerances for these files: its expected values are of float32 arithmetic. */
const RELATIVE = 1e-3;
const ABSOLUTE = 1e-6;

/** The reasons for which a file is refused: types, versions and operators that no image classifier has. */
const refusals = [
  /uses operator \S+, which is not supported/,
  /is not a tensor but of the type (sequence|optional|map)/,
  /elements? of type (STRING|COMPLEX64)/,
  /operator set [1-6];/,
];

/** Files that are not computed as they say, and why. */
const exceptions: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/BFLOAT16|(max|min|sign)_float16|FLOAT16/, 'the reference engine does not compute in half precision'],
  [/^test_training_dropout/, 'it draws random numbers'],
  [/^test_dynamicquantizelinear_expanded$/, 'its expected value is at a tie that float32 rounds to the other side'],
  [/^test_maxunpool_export_with_output_shape$/, 'ONNX Runtime counts positions in the given output shape'],
  [
    /^test_resize_downsample_scales_(cubic|linear)_align_corners$/,
    'ONNX Runtime aligns the corners of whole positions',
  ],
];

if (!existsSync(root)) {
  console.warn(`SKIPPED: ONNX's backend tests are not at ${root}. Debian's package libonnx-testdata has them.`);
}

function tensors(folder: string, kind: 'input' | 'output', count: number): (Tensor | undefined)[] {
  return Array.from({ length: count }, (_, i) => {
    const file = join(folder, 'test_data_set_0', `${kind}_${i}.pb`);
    return existsSync(file) ? readOnnxTensor(readFileSync(file), file) : undefined;
  });
}

/** The file's graph in set 18, its inputs as constants: many pass as an input what only a constant can be. */
function opened(folder: string): Graph {
  const file = join(folder, 'model.onnx');
  const model = readOnnx(readFileSync(file), file);
  const initializers = new Map(model.graph.initializers);
  const given = tensors(folder, 'input', model.graph.inputs.length);
  for (const [i, value] of model.graph.inputs.entries()) {
    const tensor = given[i];
    if (tensor) initializers.set(value, tensor);
  }
  return upgradeOpset({ ...model, graph: { ...model.graph, inputs: [], initializers } }, file);
}

/** The first element of `expected` that `found` does not have, or -1. */
function firstDifference(found: Tensor, expected: Tensor): number {
  const [a, b] = [Array.from(found.data, Number), Array.from(expected.data, Number)];
  return b.findIndex((value, i) => {
    const own = a[i] ?? Number.NaN;
    return !Object.is(own, value) && !(Math.abs(own - value) <= ABSOLUTE + RELATIVE * Math.abs(value));
  });
}

describe.skipIf(!existsSync(root))("ONNX's own examples of operators", () => {
  const folders = existsSync(root) ? readdirSync(root).map((name) => join(root, name)) : [];

  it('are computed as they say, or refused for a reason that is named', async () => {
    const engine = referenceEngine();
    let computed = 0;
    const wrong: string[] = [];
    for (const folder of folders) {
      const name = basename(folder);
      if (exceptions.some(([pattern]) => pattern.test(name))) continue;
      let graph: Graph;
      try {
        graph = opened(folder);
      } catch (error) {
        if (!(error instanceof ShiboriError)) throw error;
        if (!refusals.some((pattern) => pattern.test(error.message))) wrong.push(`${name}: ${error.message}`);
        continue;
      }
      const results = await runOnce(engine, graph, {});
      const expected = tensors(folder, 'output', graph.outputs.length);
      for (const [i, { name: output }] of graph.outputs.entries()) {
        const [found, wanted] = [results[output], expected[i]];
        const same = found && wanted && `${found.dims}` === `${wanted.dims}` && firstDifference(found, wanted) === -1;
        if (!same) wrong.push(`${name}: output ${i}`);
      }
      computed++;
    }
    console.info(`ONNX's examples of operators: ${computed} of ${folders.length} computed.`);
    expect(wrong).toEqual([]);
    expect(computed).toBeGreaterThan(600);
  }, 60_000);
});
