/// <reference lib="esnext.disposable" preserve="true" />
import type { InferenceSession as OrtSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { ShiboriError } from '../errors.js';
import { writeGraph } from '../formats/onnx/write.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, ValueType } from '../graph/model.js';
import { type DType, dtypes } from '../tensor/dtype.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { Engine, NamedTensors, Session } from './engine.js';
import { orderForRuntime } from './execution-order.js';
import { checkFeeds, checkOutputTargets } from './feeds.js';

/** Describes what is used of `onnxruntime-node` or `onnxruntime-web`. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    /** Loads a model from its bytes. */
    create(model: Uint8Array, options?: OrtSession.SessionOptions): Promise<OrtSession>;
  };
  readonly Tensor: new (type: OrtTensor.Type, data: OrtTensor.DataType, dims: readonly number[]) => OrtTensor;
}

/** Makes an engine of an ONNX Runtime. */
export function createRuntimeEngine(name: string, runtime: OnnxRuntime, options: OrtSession.SessionOptions): Engine {
  return {
    name,
    async load(graph) {
      checkDTypes(graph);
      const bytes = writeGraph(orderForRuntime(graph));
      const create = runtime.InferenceSession.create(bytes, options);
      return new RuntimeSession(runtime, graph, await create.catch((cause) => throwFailure(graph, 'load', cause)));
    },
  };
}

/** Runs a graph that ONNX Runtime has loaded. */
export class RuntimeSession implements Session {
  readonly #runtime: OnnxRuntime;
  readonly #graph: Graph;
  #session: OrtSession | undefined;

  constructor(runtime: OnnxRuntime, graph: Graph, session: OrtSession) {
    this.#runtime = runtime;
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
    checkOutputTargets(graph, into, outputTypes(graph, sizes));
    const inputs: Record<string, OrtTensor> = {};
    for (const [name, feed] of Object.entries(feeds)) inputs[name] = wrap(this.#runtime, feed);
    const fetches: Record<string, OrtTensor | null> = {};
    for (const { name } of graph.outputs) {
      const target = into[name];
      if (target && isShared(target)) {
        throw new ShiboriError(
          `ONNX Runtime cannot write output "${name}" into shared memory. Give a tensor of its own.`,
          { code: 'engine-failed' },
        );
      }
      fetches[name] = target ? wrap(this.#runtime, target) : null;
    }
    const outputs = await this.#session.run(inputs, fetches).catch((cause) => throwFailure(graph, 'run', cause));
    const results: Record<string, Tensor> = {};
    for (const { name } of graph.outputs) results[name] = into[name] ?? unwrap(graph, name, outputs[name]);
    return results;
  }

  async dispose(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** What is known of the outputs' types before running, symbols replaced by the sizes that the feeds give them. */
function outputTypes(graph: Graph, sizes: ReadonlyMap<string, number>): Record<string, ValueType> {
  const resolve = ({ dtype, dims }: ValueType) => ({ dtype, dims: dims.map((dim) => sizes.get(String(dim)) ?? dim) });
  return Object.fromEntries(graph.outputs.flatMap(({ name, type }) => (type ? [[name, resolve(type)]] : [])));
}

/** Throws for inputs and outputs whose elements ONNX Runtime neither takes nor returns in JavaScript. */
export function checkDTypes(graph: Graph): void {
  for (const { name, type } of [...graph.inputs, ...graph.outputs]) {
    if (type?.dtype !== 'bfloat16') continue;
    throw new ShiboriError(
      `Graph "${graph.name}": ONNX Runtime takes and returns no bfloat16 tensors in Node, but "${name}" is one. Cast it to float32 inside the graph.`,
      { code: 'engine-failed' },
    );
  }
}

/** Tells whether a tensor lies in shared memory, which pages without cross-origin isolation do not have at all. */
const isShared = ({ data }: Tensor): boolean =>
  typeof SharedArrayBuffer !== 'undefined' && data.buffer instanceof SharedArrayBuffer;

/** The same elements as ONNX Runtime takes them: without a copy, except from shared memory, which it refuses. */
function wrap(runtime: OnnxRuntime, source: Tensor): OrtTensor {
  const { dtype, dims } = source;
  if (dtype === 'bfloat16')
    throw new ShiboriError('ONNX Runtime takes no bfloat16 tensors in Node.', { code: 'engine-failed' });
  const shared = isShared(source);
  return new runtime.Tensor(dtype, shared ? source.data.slice() : source.data, [...dims]);
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
export function throwFailure(graph: Graph, doing: 'load' | 'run', cause: unknown): never {
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
