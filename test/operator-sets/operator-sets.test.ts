import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { evaluateNode } from '../../src/engine/reference.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { writeGraph, writeOnnx } from '../../src/formats/onnx/write.js';
import { type Node, Value } from '../../src/graph/model.js';
import { ops } from '../../src/ops/table.js';
import { decompositions } from '../../src/passes/decompositions.js';
import { importGraph } from '../../src/passes/import-graph.js';
import { NEWEST_OPSET } from '../../src/passes/upgrade-opset.js';
import { range } from '../../src/tensor/dims.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { type NodeCase, type NodeForm, restartNumbers } from './node-case.js';
import { activation, elementwise, linear, normalization, reductions } from './table-core.js';
import { convolution, indexing, quantization, resample, shape } from './table-shape.js';

/** The newest operator set that ONNX Runtime reads. */
const NEWEST_RUN = 26;
/** Kernels and decompositions order float32 sums differently: as a share of the largest element. */
const ROUNDING = 4e-6;

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

const opOf = (name: string): string => name.split(/[ ,]/)[0] ?? name;

/** A file of this one node. */
function fileOf(name: string, { inputs, attributes = {}, outputs = 1 }: NodeForm, opset: number): Uint8Array {
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

const feedsOf = ({ inputs }: NodeForm): Record<string, Tensor> =>
  Object.fromEntries(inputs.flatMap((input, i) => (input && !input.constant ? [[`x${i}`, input.data] as const] : [])));

interface Result {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

async function runFile(bytes: Uint8Array, feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Result>> {
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

/** The imported file as a file of the set that graphs are written in, and what it computes. */
async function runImported(bytes: Uint8Array, form: NodeForm, known: Map<string, Record<string, Result>>) {
  const { graph } = importGraph(readOnnx(bytes, 'layer.onnx'), 'layer.onnx', evaluateNode);
  const written = writeGraph(graph);
  // Most operators are the same in several sets.
  const key = Buffer.from(written).toString('base64');
  const own = new Set(graph.inputs.map(({ name }) => name));
  const feeds = Object.fromEntries(Object.entries(feedsOf(form)).filter(([name]) => own.has(name)));
  const results = known.get(key) ?? (await runFile(written, feeds));
  known.set(key, results);
  return results;
}

function expectEqual(found: Record<string, Result>, expected: Record<string, Result>, what: string): void {
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

describe('a file of one node in every operator set', () => {
  it('is there for every operator of the table and every one that is written in others', () => {
    const tested = new Set(Object.keys(table).map(opOf));
    expect([...Object.keys(ops), ...decompositions.keys()].filter((op) => !tested.has(op))).toEqual([]);
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
