import type { Model } from '../graph/model.js';
import { dequantize } from './dequantize.js';
import { type EvaluateNode, foldConstants } from './fold-constants.js';
import { upgradeOpset } from './upgrade-opset.js';
import { type Noted, widenHalf } from './widen-half.js';

/**
 * The graph of a model file in the one form that everything here works on: float32, operator set 18, not quantised,
 * constants folded, dimensions known but for the batch.
 *
 * @param file names the file in errors.
 * @param evaluate computes a node: `evaluateNode` of the reference engine.
 * @returns the graph, and what a user should know of what was done, in sentences.
 * @throws ShiboriError as `upgradeOpset` does.
 */
export function importGraph(model: Model, file: string, evaluate: EvaluateNode): Noted {
  const widened = widenHalf(model.graph);
  const upgraded = upgradeOpset({ ...model, graph: widened.graph }, file);
  const floats = dequantize(upgraded);
  return { graph: foldConstants(floats.graph, evaluate), notes: [...widened.notes, ...floats.notes] };
}
