/** ONNX's own backend tests: models with inputs and the outputs expected of them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ShiboriError } from '../../src/errors.js';
import { type OnnxModel, readOnnx } from '../../src/formats/onnx/read.js';
import { readOnnxTensor } from '../../src/formats/onnx/tensor.js';
import type { Graph, Value } from '../../src/graph/model.js';
import { importGraph } from '../../src/passes/import-graph.js';
import { isFloat } from '../../src/tensor/dtype.js';
import { toFloat32 } from '../../src/tensor/float16.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';

/** Where Debian's package `libonnx-testdata` installs them. */
const root = '/usr/share/libonnx-testdata/data';
const suites = ['node', 'simple', 'pytorch-converted', 'pytorch-operator'];

/** Whether the tests are installed, by Debian's package libonnx-testdata. */
export const installed = existsSync(root);

/** One test: a folder with a model and its data. */
export interface BackendTest {
  /** Such as `node/test_add`. */
  readonly name: string;
  readonly folder: string;
  /** The model's file. */
  readonly file: string;
}

/** All tests, in the order of their names. */
export const backendTests: readonly BackendTest[] = suites.flatMap((suite) =>
  existsSync(join(root, suite))
    ? readdirSync(join(root, suite)).map((name) => {
        const folder = join(root, suite, name);
        return { name: `${suite}/${name}`, folder, file: join(folder, 'model.onnx') };
      })
    : [],
);

/** One run of a model, half precision widened. A tensor is missing where the folder has no file for it. */
export interface DataSet {
  readonly inputs: ReadonlyMap<Value, Tensor>;
  readonly outputs: ReadonlyMap<Value, Tensor>;
}

/** `input_0.pb`, `input_1.pb`, … are for the inputs that are no initializers, in this order. */
function tensorsOf(folder: string, kind: 'input' | 'output', values: readonly Value[]): ReadonlyMap<Value, Tensor> {
  return new Map(
    values.flatMap((value, i): [Value, Tensor][] => {
      const file = join(folder, `${kind}_${i}.pb`);
      return existsSync(file) ? [[value, widened(value, readOnnxTensor(readFileSync(file), file))]] : [];
    }),
  );
}

/** What a half tensor is after import. NumPy has no bfloat16: its bits are in the files as uint16. */
function widened(value: Value, found: Tensor): Tensor {
  if (value.type?.dtype === 'bfloat16' && found.dtype === 'uint16') {
    return toFloat32(tensor('bfloat16', found.dims, found.data));
  }
  return found.dtype === 'float16' || found.dtype === 'bfloat16' ? toFloat32(found) : found;
}

/**
 * The model of a test.
 *
 * @throws ShiboriError for what `readOnnx` refuses.
 */
export function readModel({ file }: BackendTest): OnnxModel {
  return readOnnx(readFileSync(file), file);
}

/** Every data set of a test. */
export function dataSets({ folder }: BackendTest, { graph }: OnnxModel): DataSet[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('test_data_set_'))
    .map((name) => ({
      inputs: tensorsOf(join(folder, name), 'input', graph.inputs),
      outputs: tensorsOf(join(folder, name), 'output', graph.outputs),
    }));
}

/** Float inputs by operator that are settings: a graph is typed with them, and nothing is differentiated by them. */
const settings: Readonly<Record<string, readonly number[]>> = {
  Dropout: [1],
  OneHot: [1],
  Range: [0, 1, 2],
  Resize: [1, 2],
  Upsample: [1],
};

/** The inputs that are shapes, axes, counts, conditions and the like, with their tensors. */
function settingsOf({ graph }: OnnxModel, { inputs }: DataSet): Map<Value, Tensor> {
  const named = new Set(graph.nodes.flatMap(({ op, inputs: read }) => (settings[op] ?? []).map((i) => read[i])));
  return new Map([...inputs].filter(([value, { dtype }]) => !isFloat(dtype) || named.has(value)));
}

/** A test's model as files are opened, and what it is fed. */
export interface Imported {
  readonly graph: Graph;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/**
 * Imports a model as `openModel` does.
 *
 * @param fixed whether settings (axes, shapes, conditions) are constants with the values that the data set has for them,
 *   instead of inputs that are fed.
 * @throws ShiboriError for what is not supported.
 */
export function importTest(test: BackendTest, model: OnnxModel, set: DataSet, fixed: boolean): Imported {
  const known = fixed ? settingsOf(model, set) : new Map<Value, Tensor>();
  const inputs = model.graph.inputs.filter((input) => !known.has(input));
  const initializers = new Map([...model.graph.initializers, ...known]);
  const { graph } = importGraph({ ...model, graph: { ...model.graph, inputs, initializers } }, test.file);
  const given = new Map(Array.from(set.inputs, ([{ name }, data]) => [name, data]));
  const feeds: Record<string, Tensor> = {};
  for (const { name } of graph.inputs) {
    const data = given.get(name);
    if (data) feeds[name] = data;
  }
  return { graph, feeds };
}

/** For which reasons a test may be refused, by what the message says. */
const refusals: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/is not a tensor but of the type (sequence|optional|map)/, 'sequences and optionals are no tensors'],
  [/elements? of type (STRING|COMPLEX64)/, 'strings are no numbers'],
  [/loops and sequences have no place/, 'loops and sequences'],
  [/it draws random numbers when the model runs/, 'random numbers'],
  [/Dropout in training mode draws random numbers/, 'random numbers'],
  [/operator ai\.onnx\.preview\.training\./, 'training inside of the model'],
  [
    /operator (NegativeLogLikelihoodLoss|SoftmaxCrossEntropyLoss),/,
    'losses as one operator (expanded ones are computed)',
  ],
  [/it computes in integers/, 'quantised operators (the format QDQ is computed)'],
  [/operator (RNN|LSTM|GRU),/, 'recurrent networks'],
  [/operator (DFT|STFT|(Hann|Hamming|Blackman)Window|MelWeightMatrix),/, 'signal processing'],
  [/operator (NonMaxSuppression|RoiAlign),/, 'detection and warping'],
  [/operator (TfIdfVectorizer|Unique|Compress|BitShift|Det),/, 'other operators that no classifier of images has'],
  [/has no kernel for that element type/, 'no kernel of ONNX Runtime for the element type'],
];

/**
 * Why a test may be refused with this error.
 *
 * @param more reasons of the check that runs.
 * @returns `undefined` where no reason is listed: a failure.
 */
export function refusalOf(error: unknown, more: typeof refusals = []): string | undefined {
  if (!(error instanceof ShiboriError)) return undefined;
  return [...refusals, ...more].find(([pattern]) => pattern.test(error.message))?.[1];
}
