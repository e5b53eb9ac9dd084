/** Files of one node, what ONNX Runtime makes of them and of what they are imported as. */
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { expect } from 'vitest';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { writeGraph, writeOnnx } from '../../src/formats/onnx/write.js';
import { type Graph, type Node, Value } from '../../src/graph/model.js';
import { importGraph } from '../../src/passes/import-graph.js';
import { range } from '../../src/tensor/dims.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { NodeForm } from './node-case.js';

/** Kernels and decompositions order float32 sums differently: as a share of the largest element. */
const ROUNDING = 4e-6;

/** The operator of a case that is called `Operator, variant` or `Operator in a variant`. */
export const opOf = (name: string): string => name.split(/[ ,]/)[0] ?? name;

/** A file of this one node. */
export function fileOf(name: string, { inputs, attributes = {}, outputs = 1 }: NodeForm, opset: number): Uint8Array {
  const values = inputs.map((input, i) => input && new Value(`x${i}`, input.data));
  const made = range(outputs).map((i) => new Value(`y${i}`, undefined));
  const given = inputs.flatMap((input, i) => {
    const value = values[i];
    return input && value ? [{ value, input }] : [];
  });
  const node: Node = { op: opOf(name), domain: '', name: 'layer', inputs: values, outputs: made, attributes };
  return writeOnnx({
    graph: {
      name,
      inputs: given.flatMap(({ value, input }) => (input.constant ? [] : [value])),
      outputs: made,
      nodes: [node],
      initializers: new Map(
        given.flatMap(({ value, input }) => (input.constant ? [[value, input.data] as const] : [])),
      ),
    },
    opset,
    domains: {},
    metadata: {},
  });
}

/** What is fed to the file. */
export const feedsOf = ({ inputs }: NodeForm): Record<string, Tensor> =>
  Object.fromEntries(inputs.flatMap((input, i) => (input && !input.constant ? [[`x${i}`, input.data] as const] : [])));

/** One result as plain data. */
export interface Result {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** What ONNX Runtime makes of a file. */
export async function runFile(
  bytes: Uint8Array,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Result>> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4, intraOpNumThreads: 1 });
  const entries = Object.entries(feeds).map(([name, { dtype, data, dims }]) => [
    name,
    new OrtTensor(dtype as 'float32', data as Float32Array, [...dims]),
  ]);
  const results = await session.run(Object.fromEntries(entries));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { type, dims, data }]) => [
      name,
      { type, dims, data: Array.from(data as Float32Array, Number) },
    ]),
  );
}

/** The graph of a file, as files are opened. */
export const imported = (bytes: Uint8Array): Graph => importGraph(readOnnx(bytes, 'layer.onnx'), 'layer.onnx').graph;

/** What ONNX Runtime makes of the imported file, written in the set that graphs are written in. */
export async function runImported(
  bytes: Uint8Array,
  form: NodeForm,
  known = new Map<string, Record<string, Result>>(),
) {
  const graph = imported(bytes);
  const written = writeGraph(graph);
  // Most operators are the same in several sets.
  const key = Buffer.from(written).toString('base64');
  const own = new Set(graph.inputs.map(({ name }) => name));
  const feeds = Object.fromEntries(Object.entries(feedsOf(form)).filter(([name]) => own.has(name)));
  const results = known.get(key) ?? (await runFile(written, feeds));
  known.set(key, results);
  return results;
}

/** Expects the same types and dimensions, and elements that differ by rounding alone. */
export function expectEqual(found: Record<string, Result>, expected: Record<string, Result>, what: string): void {
  expect(Object.keys(found), what).toEqual(Object.keys(expected));
  for (const [name, { type, dims, data }] of Object.entries(expected)) {
    const other = found[name];
    expect([other?.type, other?.dims], `${what}: ${name}`).toEqual([type, dims]);
    const largest = Math.max(1e-3, ...data.filter(Number.isFinite).map(Math.abs));
    for (const [i, value] of data.entries()) {
      if (Object.is(other?.data[i], value)) continue;
      const error = Math.abs((other?.data[i] ?? Number.NaN) - value) / largest;
      expect(error, `${what}: ${name}[${i}] is ${other?.data[i]} for ${value}`).toBeLessThan(ROUNDING);
    }
  }
}
