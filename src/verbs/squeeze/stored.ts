import { evaluateNode } from '../../engine/reference.js';
import { OPSET } from '../../graph/model.js';
import type { LoadedModel } from '../../node/model-file.js';
import { importGraph } from '../../passes/import-graph.js';
import { type StorageType, storeWeights } from '../../passes/store-weights.js';

/** A model as it is written, weights in their small form, and with the same values in float32, as the file opens again. */
export function importStored(
  float: LoadedModel,
  store: StorageType,
): { readonly stored: LoadedModel; readonly model: LoadedModel } {
  const graph = storeWeights(float.graph, store);
  const stored = { ...float, graph };
  if (graph === float.graph) return { stored, model: float };
  const opened = importGraph({ graph, opset: OPSET, domains: {}, metadata: {} }, graph.name, evaluateNode);
  return { stored, model: { ...float, graph: opened.graph } };
}
