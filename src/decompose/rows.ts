import { ShiboriError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';

/**
 * Emits a linear layer of any number of axes (`[N, tokens, C]`) by what computes it on the rows of a matrix.
 *
 * @param x `[…, inputs]`, all dimensions but one known.
 * @param outputName name of the output; default: derived.
 * @param emit adds the layer for rows `[n, inputs]`, and gives its output the name that it gets.
 * @returns `[…, outputs]`.
 */
export function emitOnRows(
  b: GraphBuilder,
  x: Value,
  inputs: number,
  outputName: string | undefined,
  emit: (rows: Value, outputName: string | undefined) => Value,
): Value {
  const dims = x.type?.dims ?? [];
  if (dims.length === 2) return emit(x, outputName);
  const shape = dims.slice(0, -1).map((dim) => (typeof dim === 'number' ? dim : -1));
  if (shape.length === 0 || shape.filter((size) => size < 0).length > 1) {
    throw new ShiboriError(
      `A linear layer cannot be decomposed on "${x.name}" ${formatDims(dims)}: its rows are not known.`,
      { code: 'unsupported-model' },
    );
  }
  const rows = emit(
    b.op('Reshape', [x, b.ints([-1, inputs])]),
    outputName === undefined ? undefined : `${outputName}/rows`,
  );
  const outputs = Number(rows.type?.dims[1]);
  return b.op('Reshape', [rows, b.ints([...shape, outputs])], {}, outputName === undefined ? {} : { outputName });
}
