import { describe, expect, it } from 'vitest';
import { ops } from '../../src/ops/table.js';
import { operatorExpansions } from '../../src/passes/operator-expansions.js';
import { NEWEST_OPSET } from '../../src/passes/upgrade-opset.js';
import { range } from '../../src/tensor/dims.js';
import { type NodeCase, restartNumbers } from './node-case.js';
import { expectEqual, feedsOf, fileOf, opOf, type Result, runFile, runImported } from './node-file.js';
import { activation, elementwise, linear, normalization, reductions } from './table-core.js';
import { convolution, indexing, quantization, resample, shape } from './table-shape.js';

/** The newest operator set that ONNX Runtime reads. */
const NEWEST_RUN = 26;
const table: Readonly<Record<string, NodeCase>> = {
  ...elementwise,
  ...activation,
  ...linear,
  ...reductions,
  ...normalization,
  ...shape,
  ...indexing,
  ...convolution,
  ...resample,
  ...quantization,
};

describe('a file of one node in every operator set', () => {
  it('is there for every operator of the table and every one that is written in others', () => {
    const tested = new Set(Object.keys(table).map(opOf));
    expect([...Object.keys(ops), ...operatorExpansions.keys()].filter((op) => !tested.has(op))).toEqual([]);
  });

  it.each(Object.entries(table))('%s computes what ONNX Runtime makes of the file itself', async (name, one) => {
    const sets = range(NEWEST_OPSET + 1).filter((opset) => opset >= one.since && opset <= (one.until ?? NEWEST_OPSET));
    const known = new Map<string, Record<string, Result>>();
    const formOf = (opset: number) => {
      restartNumbers();
      return one.form(opset);
    };
    for (const opset of sets) {
      const form = formOf(opset);
      const bytes = fileOf(name, form, opset);
      const found = await runImported(bytes, form, known);
      // The runtime does not read set 27: what changed in it is an attribute for other element types.
      const last = one.runsUntil ?? NEWEST_RUN;
      const original = opset > last ? fileOf(name, formOf(last), last) : bytes;
      expectEqual(found, await runFile(original, feedsOf(form)), `set ${opset}`);
    }
  });
});
