import { readOnnx } from '../formats/onnx/read.js';
import type { Graph } from '../graph/model.js';
import { importGraph } from '../passes/import-graph.js';

/** Holds a graph that was read from the bytes of an ONNX file. */
export interface ModelGraph {
  /** Operator set 18, float32, constants folded. */
  readonly graph: Graph;
  /** What was changed to get there, in sentences. */
  readonly notes: readonly string[];
}

/**
 * Opens the bytes of an ONNX file without any file system: for browsers, and for files that a program holds in memory.
 *
 * @param name names the file in errors.
 * @throws ShiboriError for a damaged file, an operator that is not supported, or external data.
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 *
 * const { graph } = openGraph(await readFile('model.onnx'), 'model.onnx');
 * ```
 */
export function openGraph(bytes: Uint8Array, name = 'model.onnx'): ModelGraph {
  const { graph, notes } = importGraph(readOnnx(bytes, name), name);
  return { graph, notes: notes.map(({ text }) => text) };
}
