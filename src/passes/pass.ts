import { type Graph, OPSET } from '../graph/model.js';
import type { Tensor } from '../tensor/tensor.js';

/** Reports what a pass did to a graph, or why it left a part as it was. */
export interface Note {
  /** Name of the node or initializer that it is about; absent where it is about the whole graph. */
  readonly node?: string;
  /** Whether the graph was changed. */
  readonly applied: boolean;
  /** The report, for a reader. */
  readonly text: string;
}

/** Holds a rewritten graph and what was done to it. The graph is the same, by identity, where nothing was changed. */
export interface PassResult {
  readonly graph: Graph;
  readonly notes: readonly Note[];
}

/** Runs a graph once, from tensors by input name to tensors by output name. */
export type GraphRunner = (
  graph: Graph,
  feeds: Readonly<Record<string, Tensor>>,
) => Promise<Readonly<Record<string, Tensor>>>;

/** Holds what a pass may need besides the graph. */
export interface PassContext {
  /** Version of ONNX's operator set that the graph is written in. */
  readonly opset: number;
  /** Name of the graph's file in errors. */
  readonly file: string;
}

/** Holds what a pass needs that runs a part of the graph. */
export interface ProbingContext extends PassContext {
  readonly run: GraphRunner;
}

/** Rewrites a graph into another one, and reports what was done. It never changes the graph that it is given. */
export type Pass = (graph: Graph, context: PassContext) => PassResult;

/** Rewrites a graph by what a part of it computes: the pass runs that part on inputs of its own. */
export type ProbingPass = (graph: Graph, context: ProbingContext) => PassResult | Promise<PassResult>;

/** Returns the context of a graph that was built in memory: operator set 18, and its own name for errors. */
export function createPassContext(graph: Graph): PassContext {
  return { opset: OPSET, file: graph.name };
}

/**
 * Runs passes one after the other, each on the result of the one before.
 *
 * @param context Default: that of a graph in memory.
 * @returns the last graph, and the notes of all passes in order.
 *
 * @example
 * ```ts
 * const { graph, notes } = runPasses(model.graph, [foldConstants, foldBatchNorms]);
 * ```
 */
export function runPasses(
  graph: Graph,
  passes: readonly Pass[],
  context: PassContext = createPassContext(graph),
): PassResult {
  const notes: Note[] = [];
  let current = graph;
  for (const pass of passes) {
    const result = pass(current, context);
    current = result.graph;
    notes.push(...result.notes);
  }
  return { graph: current, notes };
}

/** Runs passes as `runPasses` does, with a runner for those that need one. */
export async function runProbingPasses(
  graph: Graph,
  passes: readonly ProbingPass[],
  context: ProbingContext,
): Promise<PassResult> {
  const notes: Note[] = [];
  let current = graph;
  for (const pass of passes) {
    const result = await pass(current, context);
    current = result.graph;
    notes.push(...result.notes);
  }
  return { graph: current, notes };
}
