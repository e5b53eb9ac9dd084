/// <reference lib="esnext.disposable" preserve="true" />
import type { Graph } from '../graph/model.js';
import type { Tensor } from '../tensor/tensor.js';

/** Tensors by the name of a graph input or output. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

/** A graph made ready to run. Dispose it when done: it holds memory outside of JavaScript's heap. */
export interface Session {
  /**
   * Runs the graph once.
   *
   * @param feeds a tensor for every input, with the dtype and dimensions that the graph declares.
   * @param into tensors that outputs are written into, by name: fresh memory for large outputs costs more than the
   *   computation (page faults).
   * @throws ShiboriError naming the input that is missing or does not fit, or the node that failed.
   */
  run(feeds: NamedTensors, into?: NamedTensors): Promise<Record<string, Tensor>>;
  /** Gives its memory back; it cannot run afterwards. */
  dispose(): Promise<void>;
  /** As `dispose`, for `await using session = …`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What executes graphs. */
export interface Engine {
  readonly name: string;
  /** Compiles a graph. Initializers are constants from then on. */
  load(graph: Graph): Promise<Session>;
}

/** Loads, runs once and disposes. */
export async function runOnce(engine: Engine, graph: Graph, feeds: NamedTensors): Promise<Record<string, Tensor>> {
  const session = await engine.load(graph);
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
}
