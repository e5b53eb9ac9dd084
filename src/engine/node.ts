import { availableParallelism } from 'node:os';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import { UsageError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import type { Engine, Session } from './engine.js';
import { checkDTypes, createRuntimeEngine, RuntimeSession, throwFailure } from './onnx-runtime.js';

const runtime = { InferenceSession, Tensor };

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
export const getRuntimeVersion = (): string => env.versions.node ?? env.versions.common;

// Errors are thrown, with the same words: written to stderr as well, they would appear twice.
const FATAL_ONLY = 4;

/**
 * ONNX Runtime on the processor: what computes in Node. Loading and running block the event loop for as long as they
 * take; outputs of many megabytes cost more than their computation (page faults): `into` saves the
 * memory, and with 1.30, which still copies once, some of the time.
 *
 * @throws ShiboriError when `threads` is not a positive integer.
 * @example
 * const session = await nodeEngine().load(graph);
 * const { output } = await session.run({ input: images });
 * await session.dispose();
 */
export function nodeEngine(options: NodeEngineOptions = {}): Engine {
  return createRuntimeEngine('onnxruntime-node', runtime, buildSessionOptions(options));
}

/**
 * ONNX Runtime's session of a model file, read by the runtime itself.
 *
 * @param graph what the file holds: its inputs and outputs, and the nodes that errors name.
 */
export async function loadModelFile(path: string, graph: Graph, options: NodeEngineOptions = {}): Promise<Session> {
  checkDTypes(graph);
  const create = InferenceSession.create(path, buildSessionOptions(options));
  return new RuntimeSession(runtime, graph, await create.catch((cause) => throwFailure(graph, 'load', cause)));
}

function buildSessionOptions(options: NodeEngineOptions): InferenceSession.SessionOptions {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1) {
    throw new UsageError(`An engine needs a positive number of threads, found ${threads}.`, { option: 'threads' });
  }
  return {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: options.optimization ?? 'all',
    // Planning memory once for all runs takes a block of its own in addition to the arena: half as much again, no faster.
    enableMemPattern: false,
    logSeverityLevel: FATAL_ONLY,
  };
}
