/*
 * A model file is run before it takes its place: ONNX Runtime reads the very file, and our own reader opens it as a user
 * would. Both give the outputs of the graph that was to be written, for one image and for several.
 */
import type { Engine, NamedTensors, Session } from '../../engine/engine.js';
import { loadModelFile } from '../../engine/node.js';
import { ShiboriError } from '../../errors.js';
import { formatDims } from '../../graph/dims.js';
import type { Graph } from '../../graph/model.js';
import type { StateDict } from '../../models/state-dict.js';
import { areDimsEqual, countElements } from '../../tensor/dims.js';
import { allocate, isFloat } from '../../tensor/dtype.js';
import { seeded } from '../../tensor/random.js';
import { float32, getTensorBytes, type Tensor, tensor } from '../../tensor/tensor.js';

/**
 * How far outputs may be apart, as a share of the largest: the same float32 products summed in another order differ by
 * 1e-5 at most in the deepest networks here; a wrong file differs by its scores themselves.
 */
const SAME_OUTPUT = 1e-3;
/** One image, and enough to tell a batch that a node holds on to. */
const VERIFIED_BATCHES = [1, 3];
/** Sides of the images of a graph that leaves them open. */
const OPEN_SIDE = 224;
const SEED = 20;

/** Seeded inputs of a graph: what is open is the batch in front, and the side of the images elsewhere. */
function buildProbe(graph: Graph, batch: number, size: readonly [number, number] | undefined): NamedTensors {
  const [height, width] = size ?? [OPEN_SIDE, OPEN_SIDE];
  const feeds: Record<string, Tensor> = {};
  for (const [i, { name, type }] of graph.inputs.entries()) {
    if (!type) throw new ShiboriError(`Input "${name}" has no type.`, { code: 'write-failed' });
    const dims = type.dims.map((dim, axis) =>
      typeof dim === 'number' ? dim : axis === 0 ? batch : axis === 2 ? height : axis === 3 ? width : 1,
    );
    const random = seeded(SEED, i, batch);
    const values = Array.from({ length: countElements(dims) }, () => random.uniform(-1, 1));
    feeds[name] = isFloat(type.dtype)
      ? float32(values, dims)
      : tensor(type.dtype, dims, allocate(type.dtype, countElements(dims)));
  }
  return feeds;
}

/** Where two outputs differ more than they may, in words; `undefined` where they do not. */
function measureDifference(found: Tensor | undefined, promised: Tensor): string | undefined {
  if (!found || !areDimsEqual(found.dims, promised.dims)) {
    return `has the dimensions ${formatDims(found?.dims)} instead of ${formatDims(promised.dims)}`;
  }
  let [largest, distance] = [0, 0];
  for (let i = 0; i < promised.data.length; i++) {
    const [a, b] = [Number(found.data[i]), Number(promised.data[i])];
    if (Number.isFinite(b)) largest = Math.max(largest, Math.abs(b));
    if (Object.is(a, b)) continue;
    const apart = Math.abs(a - b);
    distance = Math.max(distance, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart);
  }
  if (distance <= SAME_OUTPUT * largest) return undefined;
  return `differs by up to ${distance.toPrecision(3)} (the largest number is ${largest.toPrecision(3)}, ${SAME_OUTPUT} of it is allowed)`;
}

/** Something that should compute what was promised. */
interface GraphUnderTest {
  /** `the file in ONNX Runtime`. */
  readonly who: string;
  readonly graph: Graph;
  load(): Promise<Session>;
}

/** What is compared before a file takes its place. */
export interface Verification {
  /** The graph that was to be written. */
  readonly promised: Graph;
  /** What the written file opens as; `undefined` where nothing can build a graph of it. */
  readonly reopened?: Graph;
  /** The written file, where ONNX Runtime reads it. */
  readonly onnxFile?: string;
  /** A graph that the promised one should equal: nothing was to be lost. */
  readonly equals?: Graph;
  /** Height and width of the images, where the graph leaves them open. */
  readonly size?: readonly [number, number] | undefined;
}

/**
 * Runs a written file and compares it with what was promised.
 *
 * @throws ShiboriError saying what does not run or differs, at which batch.
 */
export async function verifyOutputs(engine: Engine, about: Verification): Promise<void> {
  const { promised, reopened, onnxFile, equals } = about;
  const buildForEngine = (who: string, graph: Graph): GraphUnderTest => ({
    who,
    graph,
    load: () => engine.load(graph),
  });
  const tested: GraphUnderTest[] = [];
  if (onnxFile !== undefined) {
    tested.push({ who: 'the file in ONNX Runtime', graph: promised, load: () => loadModelFile(onnxFile, promised) });
  }
  if (reopened) tested.push(buildForEngine('the file, opened again,', reopened));
  if (equals) tested.push(buildForEngine('the original, which it should equal,', equals));
  const [batch] = promised.inputs[0]?.type?.dims ?? [];
  const feeds = (typeof batch === 'number' ? [batch] : VERIFIED_BATCHES).map((count) =>
    buildProbe(promised, count, about.size),
  );
  const expected = await runUnderTest(buildForEngine('the model', promised), feeds);
  for (const underTest of tested) {
    const found = await runUnderTest(underTest, feeds);
    for (const [i, outputs] of expected.entries()) {
      for (const [k, output] of outputs.entries()) {
        const difference = measureDifference(found[i]?.[k], output);
        if (difference === undefined) continue;
        const count = Object.values(feeds[i] ?? {})[0]?.dims[0];
        throw new ShiboriError(
          `at batch ${count}, output "${promised.outputs[k]?.name}" of ${underTest.who} ${difference}`,
          { code: 'write-failed' },
        );
      }
    }
  }
}

/** The outputs for each of some inputs, in the order of the graph's. Inputs are given by their places. */
async function runUnderTest({ who, graph, load }: GraphUnderTest, feeds: readonly NamedTensors[]): Promise<Tensor[][]> {
  const describeRunError = (error: unknown, batch?: number) => {
    if (!(error instanceof ShiboriError)) return error;
    const what = batch === undefined ? 'cannot be loaded' : `does not run at batch ${batch}`;
    return new ShiboriError(`${who} ${what}: ${error.message}`, { code: 'write-failed', cause: error });
  };
  const session = await load().catch((error: unknown) => {
    throw describeRunError(error);
  });
  try {
    const all: Tensor[][] = [];
    for (const feed of feeds) {
      const given = Object.values(feed);
      const named: Record<string, Tensor> = {};
      for (const [i, { name }] of graph.inputs.entries()) if (given[i]) named[name] = given[i];
      const outputs = await session.run(named).catch((error: unknown) => {
        throw describeRunError(error, given[0]?.dims[0]);
      });
      all.push(graph.outputs.flatMap(({ name }) => outputs[name] ?? []));
    }
    return all;
  } finally {
    await session.dispose();
  }
}

/** Compares the tensors of a written file with those that were to be written, bit by bit. Throws a ShiboriError. */
export function verifyTensors(found: StateDict, promised: StateDict): void {
  for (const [name, tensor] of promised) {
    const read = found.get(name);
    if (!read) throw new ShiboriError(`the tensor "${name}" is missing in the file`, { code: 'write-failed' });
    if (read.dtype !== tensor.dtype || !areDimsEqual(read.dims, tensor.dims)) {
      const [is, should] = [read, tensor].map(({ dtype, dims }) => `${dtype} ${formatDims(dims)}`);
      throw new ShiboriError(`the tensor "${name}" is ${is} in the file, not ${should}`, { code: 'write-failed' });
    }
    if (Buffer.compare(getTensorBytes(read), getTensorBytes(tensor)) !== 0) {
      throw new ShiboriError(`the elements of the tensor "${name}" are not those that were written`, {
        code: 'write-failed',
      });
    }
  }
  const extra = [...found.keys()].find((name) => !promised.has(name));
  if (extra !== undefined)
    throw new ShiboriError(`the file holds a tensor "${extra}" that was not to be written`, { code: 'write-failed' });
}
