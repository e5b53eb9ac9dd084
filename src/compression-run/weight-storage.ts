import { OPSET } from '../graph/model.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { importGraph } from '../passes/import-graph.js';
import { type StorageType, storeWeights } from '../passes/store-weights.js';
import type { CompressionPlan } from './compression-plan.js';

/** How the weights of a compressed file are stored: as the plan wants it, else as the original's are. */
export function getStorage(plan: CompressionPlan, original: LoadedModel): StorageType {
  return plan.store ?? original.info.store ?? 'float32';
}

/** A model as it is written, weights in their small form, and with the same values in float32, as the file opens again. */
export function storeAndImport(
  float: LoadedModel,
  store: StorageType,
): { readonly stored: LoadedModel; readonly model: LoadedModel } {
  const { graph } = storeWeights(float.graph, store);
  const stored = { ...float, graph, info: { ...float.info, store } };
  if (graph === float.graph) return { stored, model: float };
  const opened = importGraph({ graph, opset: OPSET, domains: {}, metadata: {} }, graph.name);
  return { stored, model: { ...float, graph: opened.graph } };
}
