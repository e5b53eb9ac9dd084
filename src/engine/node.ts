import { availableParallelism } from 'node:os';
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { ShiboriError } from '../errors.js';
import { writeGraph } from '../formats/onnx/write.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, ValueType } from '../graph/model.js';
import { type DType, dtypes } from '../tensor/dtype.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { Engine, NamedTensors, Session } from './engine.js';
import { orderForRuntime } from './execution-order.js';
import { checkFeeds, checkInto } from './feeds.js';

/** How ONNX Runtime is to execute graphs. */
export interface NodeEngineOptions {
  /** Threads inside an operator, 1 or more. Default: as many as the machine runs at once. */
  readonly threads?: number;
  /**
   * How far a graph is rewritten when it is loaded. Default: `all`, which folds constants, fuses operators and lays
   * convolutions out for the processor's vectors: 1.2 to 1.3 times as fast on VGG16 as PyTorch, but only where weights
   * *and* biases are initializers. `basic` loads faster; `disabled` runs the nodes as they are written.
   */
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
}

/** Finds the version of ONNX Runtime. */
export const runtimeVersion = (): string => env.versions.node ?? env.versions.common;

// Errors are thrown, with the same words: written to stderr as well, they would be said twice.
const FATAL_ONLY = 4;

/**
 * ONNX Runtime on the processor: what computes in Node. Loading and running block the event loop for as long as they
 * take; outputs of many megabytes cost more than their computation (page faults): `into` saves the
 * memory, and with 1.30, which still copies once, some of the time.
 *
 * @throws ShiboriError when `threads` is not a positive integer.
 * @example
 * const session = await nodeEngine().load(graph);
 * const { output } = await session.run({ input: float32(pixels, [1, 3, 64, 64]) });
 * await session.dispose();
 */
export function nodeEngine(options: NodeEngineOptions = {}): Engine {
  const settings = sessionOptions(options);
  return {
    name: 'onnxruntime-node',
    async load(graph) {
      checkDTypes(graph);
      const bytes = writeGraph(orderForRuntime(graph));
      const create = InferenceSession.create(bytes, settings);
      return new NodeSession(graph, await create.catch((cause) => fail(graph, 'load', cause)));
    },
  };
}

/**
 * ONNX Runtime's session of a model file, read by the runtime itself.
 *
 * @param graph what the file holds: its inputs and outputs, and the nodes that errors name.
 */
export async function loadModelFile(path: string, graph: Graph, options: NodeEngineOptions = {}): Promise<Session> {
  checkDTypes(graph);
  const create = InferenceSession.create(path, sessionOptions(options));
  return new NodeSession(graph, await create.catch((cause) => fail(graph, 'load', cause)));
}

function sessionOptions(options: NodeEngineOptions): InferenceSession.SessionOptions {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1) {
    throw new ShiboriError(`An engine needs a positive number of threads, found ${threads}.`, {
      code: 'engine-failed',
    });
  }
  return {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: options.optimization ?? 'all',
    // Planning memory once for all runs takes a block of its own beside the arena: half as much again, no faster.
    enableMemPattern: false,
    logSeverityLevel: FATAL_ONLY,
  };
}

class NodeSession implements Session {
  readonly #graph: Graph;
  #session: InferenceSession | undefined;

  constructor(graph: Graph, session: InferenceSession) {
    this.#graph = graph;
    this.#session = session;
  }

  async run(feeds: NamedTensors, into: NamedTensors = {}): Promise<Record<string, Tensor>> {
    const graph = this.#graph;
    if (!this.#session)
      throw new ShiboriError(`Graph "${graph.name}" was run after its session was disposed of.`, {
        code: 'engine-failed',
      });
    const sizes = checkFeeds(graph, feeds);
    checkInto(graph, into, outputTypes(graph, sizes));
    const inputs: Record<string, OrtTensor> = {};
    for (const [name, feed] of Object.entries(feeds)) inputs[name] = wrap(feed);
    const fetches: Record<string, OrtTensor | null> = {};
    for (const { name } of graph.outputs) {
      const target = into[name];
      if (target?.data.buffer instanceof SharedArrayBuffer) {
        throw new ShiboriError(
          `ONNX Runtime cannot write output "${name}" into shared memory. Give a tensor of its own.`,
          { code: 'engine-failed' },
        );
      }
      fetches[name] = target ? wrap(target) : null;
    }
    const outputs = await this.#session.run(inputs, fetches).catch((cause) => fail(graph, 'run', cause));
    const results: Record<string, Tensor> = {};
    for (const { name } of graph.outputs) results[name] = into[name] ?? unwrap(graph, name, outputs[name]);
    return results;
  }

  async dispose(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.release();
  }
}

/** What is known of the outputs' types before running, symbols replaced by the sizes that the feeds give them. */
function outputTypes(graph: Graph, sizes: ReadonlyMap<string, number>): Record<string, ValueType> {
  const resolve = ({ dtype, dims }: ValueType) => ({ dtype, dims: dims.map((dim) => sizes.get(String(dim)) ?? dim) });
  return Object.fromEntries(graph.outputs.flatMap(({ name, type }) => (type ? [[name, resolve(type)]] : [])));
}

/** Throws where a caller could not be given, or give, a value's elements. */
function checkDTypes(graph: Graph): void {
  for (const { name, type } of [...graph.inputs, ...graph.outputs]) {
    if (type?.dtype !== 'bfloat16') continue;
    throw new ShiboriError(
      `Graph "${graph.name}": ONNX Runtime takes and returns no bfloat16 tensors in Node, but "${name}" is one. Cast it to float32 inside the graph.`,
      { code: 'engine-failed' },
    );
  }
}

/** The same elements as ONNX Runtime takes them: without a copy, except from shared memory, which it refuses. */
function wrap(source: Tensor): OrtTensor {
  const { dtype, dims } = source;
  if (dtype === 'bfloat16')
    throw new ShiboriError('ONNX Runtime takes no bfloat16 tensors in Node.', { code: 'engine-failed' });
  const shared = source.data.buffer instanceof SharedArrayBuffer;
  return new OrtTensor(dtype, shared ? source.data.slice() : source.data, [...dims]);
}

const returned: ReadonlySet<string> = new Set(dtypes.filter((dtype) => dtype !== 'bfloat16'));

const isReturned = (type: string): type is Exclude<DType, 'bfloat16'> => returned.has(type);

function unwrap(graph: Graph, name: string, output: OrtTensor | undefined): Tensor {
  if (!output || !isReturned(output.type)) {
    throw new ShiboriError(`Graph "${graph.name}": output "${name}" came back as ${output?.type ?? 'nothing'}.`, {
      code: 'engine-failed',
    });
  }
  const { data } = output;
  // Newer runtimes hold float16 in an array of its own; tensors here hold its bits.
  const bits = output.type === 'float16' && ArrayBuffer.isView(data);
  const elements = bits ? new Uint16Array(data.buffer, data.byteOffset, output.size) : data;
  return tensor<DType>(output.type, output.dims, elements as Tensor['data']);
}

/** How ONNX Runtime's messages name the node that they are about. */
const NODE_NAMES = [/Name:'([^']*)'/, /node with name '([^']*)'/, /Node ?(?:\(|:\s?)([^)\s]+)\)/];

/** ONNX Runtime's error in terms of the graph: which node, on what types, without source files and signatures. */
function fail(graph: Graph, doing: 'load' | 'run', cause: unknown): never {
  const message = cause instanceof Error ? cause.message : String(cause);
  const name = NODE_NAMES.map((pattern) => pattern.exec(message)?.[1]).find((found) => found !== undefined);
  const node = graph.nodes.find((candidate) => candidate.name === name);
  const types = node?.inputs.map((input) => (input?.type ? `${input.type.dtype} ${formatDims(input.type.dims)}` : '?'));
  const where = node ? ` Node "${node.name}" (${node.op}) of ${types?.join(', ')}:` : '';
  const reason = message
    .replace(/^.*Status Message: /s, '')
    .replace(/\[ONNXRuntimeError\] : \d+ : \w+ : /, '')
    .replace(/\/onnxruntime_src\S+:\d+ (?:.* was false\. |.*?\) (?=\[|[A-Z]))/s, '');
  const unimplemented = message.includes('Could not find an implementation');
  const next = unimplemented ? ' This operator has no kernel for that element type: cast its inputs to float32.' : '';
  throw new ShiboriError(`ONNX Runtime could not ${doing} graph "${graph.name}".${where} ${reason.trim()}${next}`, {
    code: 'engine-failed',
    cause,
  });
}
